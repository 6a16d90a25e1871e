"""Exact sums of products of integers at floating-point speed.

A matrix product of integers is exact in any order of summation while every partial sum stays below
2**24 (float32) or 2**53 (float64); the bound is proved for each layer from its own weights. On the
CPU a convolution is oneDNN's direct one, or a matrix product; elsewhere it is unfolded to a plain
matrix product, because the Winograd, FFT and NNPACK algorithms that a convolution call may choose
err even below the bound. NNPACK and reduced precision (TF32, bfloat16) are switched off. Each
number type is first compared with `nas.evaluation.oracle` at its bound on the device at hand; one
that fails is never used, and the oracle itself is the last resort. Design section 6.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch

from nas.evaluation import oracle
from nas.evaluation.oracle import Codes
from nas.networks.windows import Pair, conv_same, pad_same

LIMITS = {torch.float32: 1 << 24, torch.float64: 1 << 53}


class EvaluationError(ValueError):
    """A model whose numbers are too wide for the exact evaluation."""


@dataclass(frozen=True, eq=False)
class ExactLayer:
    """A convolution on integer codes; a fully connected layer is one on 1 x 1 maps.

    `weights` [out][in][height][width]; `biases` [out], already shifted to the fraction bits of the
    sums; `input_high` bounds the size of an input code; `dtypes` may be used to add up. Sums come
    divided by 2**`shift`, which only moves exponents.
    Raises EvaluationError if a sum may reach 2**53.
    """

    weights: Codes
    biases: Codes
    stride: Pair
    input_high: int
    device: str
    dtypes: Sequence[torch.dtype]
    shift: int = 0

    def __post_init__(self) -> None:
        if self.bound >= LIMITS[torch.float64]:
            raise EvaluationError(
                f"a sum may reach {self.bound}, but exact evaluation ends below 2**53"
            )

    @cached_property
    def bound(self) -> int:
        """No partial sum, in whatever order, is larger than this."""
        sizes = np.abs(self.weights).sum(axis=(1, 2, 3))
        # Python integers: the product may not fit 64 bits before it is refused.
        return max(
            int(size) * self.input_high + abs(int(bias))
            for size, bias in zip(sizes, self.biases, strict=True)
        )

    @cached_property
    def dtype(self) -> torch.dtype | None:
        """The fastest type that is exact here; None if only the oracle is."""
        fitting = (dtype for dtype in self.dtypes if self.bound < LIMITS[dtype])
        return next(fitting, None)

    @cached_property
    def _kernel(self) -> torch.Tensor:
        """Weights [out, in, height, width] in `dtype`, divided by 2**shift."""
        kernel = torch.from_numpy(self.weights).to(self.device, self.dtype) * 2.0**-self.shift
        return kernel.contiguous(memory_format=torch.channels_last)

    @cached_property
    def _offsets(self) -> torch.Tensor:
        return torch.from_numpy(self.biases).to(self.device, self.dtype) * 2.0**-self.shift

    def sums(self, codes: torch.Tensor) -> torch.Tensor:
        """Sums [n, out, rows, columns] in `dtype`, of codes [n, in, height, width]."""
        if self.dtype is None:
            return self._oracle_sums(codes)
        maps = codes.to(self.dtype, memory_format=torch.channels_last)
        if self.device == "cpu":
            return conv_same(maps, self._kernel, self._offsets, self.stride)
        return self._unfolded_sums(maps)

    def _unfolded_sums(self, maps: torch.Tensor) -> torch.Tensor:
        height, width = self.weights.shape[2:]
        padded = pad_same(maps, (height, width), self.stride)
        windows = padded.unfold(2, height, self.stride[0]).unfold(3, width, self.stride[1])
        count, _, rows, columns = windows.shape[:4]
        operand = windows.permute(0, 2, 3, 1, 4, 5).reshape(count * rows * columns, -1)
        sums = operand @ self._kernel.flatten(1).T + self._offsets
        return sums.reshape(count, rows, columns, -1).permute(0, 3, 1, 2)

    def _oracle_sums(self, codes: torch.Tensor) -> torch.Tensor:
        images = codes.cpu().numpy().astype(np.int64)
        offsets = self.biases[:, None, None]
        sums = [oracle.convolve(image, self.weights, self.stride) + offsets for image in images]
        return torch.from_numpy(np.stack(sums)).to(self.device, torch.float64) * 2.0**-self.shift


@lru_cache
def verified_dtypes(device: str) -> tuple[torch.dtype, ...]:
    """The types, fastest first, whose products agree with the oracle on this device."""
    forbid_reduced_precision()
    return tuple(dtype for dtype in LIMITS if all(_agrees(dtype, device, k) for k in (1, 3)))


def forbid_reduced_precision() -> None:
    """Keep float32 products in float32 (no TF32, no bfloat16), whatever was set before.

    NNPACK, whose sums are not exact either, is switched off with them.
    """
    torch.set_float32_matmul_precision("highest")
    torch.backends.mkldnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    torch.backends.nnpack.set_flags(False)  # type: ignore[no-untyped-call]


def _agrees(dtype: torch.dtype, device: str, kernel: int) -> bool:
    """Whether sums that reach the type's bound, with odd and with extreme codes, are right."""
    rng = np.random.default_rng(kernel)
    limit, high, inputs, outputs = LIMITS[dtype], 255, 64, 32
    largest = (limit - 1) // (high * inputs * kernel * kernel)
    weights = rng.integers(-largest, largest + 1, (outputs, inputs, kernel, kernel))
    weights[0], weights[1] = largest, -largest
    sizes = np.abs(weights).sum(axis=(1, 2, 3))
    biases = (limit - 1 - high * sizes) * np.where(weights.sum(axis=(1, 2, 3)) < 0, -1, 1)
    images = rng.integers(0, high + 1, (4, inputs, 6, 6))
    images[0] = high
    layer = ExactLayer(weights, biases, (1, 1), high, device, (dtype,))
    codes = torch.from_numpy(images).to(device, torch.float32)
    return torch.equal(layer.sums(codes).double(), layer._oracle_sums(codes))
