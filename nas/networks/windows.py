"""Windows over maps with TensorFlow's SAME padding, as the child networks use it throughout.

A window of `window` and stride s over n positions gives ceil(n / s); the zeros that this takes
are split evenly, the odd one behind (section 1.2 of the notes on the authors' code).
"""

import torch
from torch.nn import functional

Pair = tuple[int, int]


def in_fast_order(maps: torch.Tensor) -> torch.Tensor:
    """The same `maps` [n, channels, height, width], on the CPU with the channels last in memory.

    oneDNN's kernels for that order are the faster ones, and every operation after keeps it.
    """
    if maps.device.type != "cpu":
        return maps
    return maps.contiguous(memory_format=torch.channels_last)


def pad_same(maps: torch.Tensor, window: Pair, stride: Pair) -> torch.Tensor:
    """`maps` [n, channels, height, width] with the zeros that SAME padding adds."""
    top, bottom = padding(maps.shape[2], window[0], stride[0])
    left, right = padding(maps.shape[3], window[1], stride[1])
    if top == bottom == left == right == 0:
        return maps
    return functional.pad(maps, (left, right, top, bottom))


def conv_same(
    maps: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, stride: Pair
) -> torch.Tensor:
    """Convolution of `maps` [n, in, height, width] with `weight` [out, in, height, width].

    Rows and columns of a kernel that lie on padding at every position are left out. They add
    nothing but zeros, and on the 1 x 1 maps in which most networks end they are most of the work.
    """
    rows = _Reach(maps.shape[2], weight.shape[2], stride[0])
    columns = _Reach(maps.shape[3], weight.shape[3], stride[1])
    kernel = weight[:, :, rows.first : rows.last, columns.first : columns.last]
    if maps.shape[2:] == (1, 1):
        sums = functional.linear(maps.flatten(1), kernel.flatten(1), bias)
        return sums[:, :, None, None]
    if rows.pads_evenly and columns.pads_evenly:
        # The convolution pads by itself, without a copy.
        return functional.conv2d(maps, kernel, bias, stride, (rows.before, columns.before))
    padded = functional.pad(maps, (columns.before, columns.after, rows.before, rows.after))
    return functional.conv2d(padded, kernel, bias, stride)


def max_pool_same(maps: torch.Tensor, size: int) -> torch.Tensor:
    """The maxima of windows of `size` x `size`, stride `size`; maps [n, channels, height, width].

    Padding zeros take part, so that the result is right where no value is negative, or where
    ReLU follows.
    """
    if size == 1:
        return maps
    return functional.max_pool2d(pad_same(maps, (size, size), (size, size)), size)


class _Reach:
    """The part `first` to `last` of a window that meets anything but padding, along one axis.

    `before` and `after` are the padding that this part still needs.
    """

    def __init__(self, length: int, window: int, stride: int) -> None:
        before, _ = padding(length, window, stride)
        count = -(-length // stride)
        reach = (count - 1) * stride
        self.first = max(0, before - reach)
        self.last = min(window, length + before)
        size = self.last - self.first
        self.before = before - self.first
        self.after = max(0, reach + size - length - self.before)
        # As much padding behind as in front must not make room for another window.
        evenly = length + 2 * self.before - size
        self.pads_evenly = self.after <= self.before and evenly // stride == count - 1


def padding(length: int, window: int, stride: int) -> Pair:
    """Zeros before and behind `length` positions along one axis."""
    missing = max(0, (-(-length // stride) - 1) * stride + window - length)
    return missing // 2, missing - missing // 2
