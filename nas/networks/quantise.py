"""Fixed-point grids and their straight-through quantiser.

A tensor on a grid is held as floating-point numbers that are whole multiples of 2^-frac_bits, so
the same values can be trained with and turned into integer codes without loss. Rounding is half to
even and out-of-range values saturate, as design section 6 asks and as the authors of
arXiv 1911.00105 quantise.
"""

from dataclasses import dataclass

import torch

from nas.designs.shapes import INPUT_FRAC_BITS, INPUT_INT_BITS
from nas.evaluation.model_format import CLASSIFIER_BITS, CLASSIFIER_FRAC_BITS
from nas.evaluation.oracle import HIDDEN_BITS, HIDDEN_FRAC_BITS, Codes


@dataclass(frozen=True)
class Grid:
    """A fixed-point format: `bits` bits in all, `frac_bits` of them after the binary point."""

    bits: int
    frac_bits: int
    signed: bool

    def __post_init__(self) -> None:
        if self.bits < 1:
            raise ValueError(f"a fixed-point format needs at least one bit, not {self.bits}")

    @property
    def low(self) -> int:
        """The smallest integer code."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """The largest integer code."""
        return (1 << (self.bits - 1 if self.signed else self.bits)) - 1

    @property
    def step(self) -> float:
        """The distance of two neighbouring values."""
        return 2.0**-self.frac_bits


def signed(int_bits: int, frac_bits: int) -> Grid:
    """The format of weights and biases; `int_bits` counts the sign bit."""
    return Grid(int_bits + frac_bits, frac_bits, signed=True)


def unsigned(int_bits: int, frac_bits: int) -> Grid:
    """The format of activations after ReLU."""
    return Grid(int_bits + frac_bits, frac_bits, signed=False)


INPUT = signed(INPUT_INT_BITS, INPUT_FRAC_BITS)
CLASSIFIER = Grid(CLASSIFIER_BITS, CLASSIFIER_FRAC_BITS, signed=True)
HIDDEN = Grid(HIDDEN_BITS, HIDDEN_FRAC_BITS, signed=False)


def to_codes(values: torch.Tensor, grid: Grid) -> torch.Tensor:
    """The nearest integer codes of `values`, in the dtype of `values`.

    Exact when `values` are exact: the scale is a power of two.
    """
    return torch.round(values * 2.0**grid.frac_bits).clamp(grid.low, grid.high)


def to_integers(values: torch.Tensor, grid: Grid) -> Codes:
    """The codes of trained weights as int64. Raises ValueError if one is not finite."""
    if not torch.isfinite(values).all():
        raise ValueError("training diverged: a weight is not finite")
    codes: Codes = to_codes(values.detach(), grid).long().cpu().numpy()
    return codes


def fake_quantise(values: torch.Tensor, grid: Grid, leak: float = 0.0) -> torch.Tensor:
    """`values` moved to the grid; the gradient passes as through a (leaky) clip.

    Straight-through estimator: backward is 1 inside the range of the grid and `leak` outside
    (Bengio et al., arXiv 1308.3432; clipped as by Hubara et al., arXiv 1609.07061).
    """
    clipped = values.clamp(grid.low * grid.step, grid.high * grid.step)
    quantised = torch.round(clipped.detach() / grid.step) * grid.step
    surrogate = clipped if leak == 0.0 else torch.lerp(clipped, values, leak)
    # Exactly `quantised` in value, because the bracket is exactly zero.
    return quantised + (surrogate - surrogate.detach())
