"""Windows over maps with TensorFlow's SAME padding, as the child networks use it throughout.

A window of `window` and stride s over n positions gives ceil(n / s); the zeros that this takes
are split evenly, the odd one behind (section 1.2 of the notes on the authors' code).
"""

import torch
from torch.nn import functional

Pair = tuple[int, int]


def pad_same(maps: torch.Tensor, window: Pair, stride: Pair) -> torch.Tensor:
    """`maps` [n, channels, height, width] with the zeros that SAME padding adds."""
    top, bottom = _padding(maps.shape[2], window[0], stride[0])
    left, right = _padding(maps.shape[3], window[1], stride[1])
    if top == bottom == left == right == 0:
        return maps
    return functional.pad(maps, (left, right, top, bottom))


def max_pool_same(maps: torch.Tensor, size: int) -> torch.Tensor:
    """The maxima of windows of `size` x `size`, stride `size`.

    `maps` [n, channels, height, width] must hold no negative value: padding zeros take part.
    """
    if size == 1:
        return maps
    return functional.max_pool2d(pad_same(maps, (size, size), (size, size)), size)


def _padding(length: int, window: int, stride: int) -> Pair:
    missing = max(0, (-(-length // stride) - 1) * stride + window - length)
    return missing // 2, missing - missing // 2
