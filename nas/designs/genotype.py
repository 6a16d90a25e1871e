"""A genotype: the ten hyperparameters of every layer of a child network, and its bytes.

The hyperparameters are those of Tables 1 and 2 of the PoNAS paper (section 4.1.4), in its order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from operator import attrgetter
from typing import Self, cast


class GenotypeError(ValueError):
    """Bytes or values that are no genotype."""


@dataclass(frozen=True)
class Layer:
    """One convolutional layer; every value fits a byte (0 to 255).

    `act_*` is the unsigned format of the layer's output, `weight_*` the signed format of its
    weights and biases, whose integer bits count the sign. Strides and bits may be 0 in a genotype
    (the paper's S3 prints such values): `nas.designs.design` refuses those with the reason.

    Raises GenotypeError for a value that does not fit a byte.
    """

    kernel_height: int
    kernel_width: int
    num_kernels: int
    stride_height: int
    stride_width: int
    pool_size: int
    act_int_bits: int
    act_frac_bits: int
    weight_int_bits: int
    weight_frac_bits: int

    def __post_init__(self) -> None:
        for name, value in zip(HYPERPARAMETERS, self.tokens, strict=True):
            if not 0 <= value <= 255:
                raise GenotypeError(f"{name} is {value}, but a byte holds 0 to 255")

    @property
    def tokens(self) -> tuple[int, ...]:
        """The ten values in the order of HYPERPARAMETERS."""
        return _tokens_of(self)

    @property
    def act_bits(self) -> int:
        """Bits of one output activation."""
        return self.act_int_bits + self.act_frac_bits

    @property
    def weight_bits(self) -> int:
        """Bits of one weight or bias, sign included."""
        return self.weight_int_bits + self.weight_frac_bits


HYPERPARAMETERS: tuple[str, ...] = tuple(field.name for field in fields(Layer))
# Called for every genotype that anybody looks at; a loop over the names takes five times as long.
_tokens_of = cast(Callable[[Layer], tuple[int, ...]], attrgetter(*HYPERPARAMETERS))
# The first six shape the network, the last four only its number formats.
ARCHITECTURE_TOKENS = HYPERPARAMETERS.index("act_int_bits")


@dataclass(frozen=True)
class Genotype:
    """A whole design: its layers, input side first. Raises GenotypeError when there are none."""

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if not self.layers:
            raise GenotypeError("a genotype needs at least one layer")

    @classmethod
    def from_tokens(cls, tokens: Iterable[int]) -> Self:
        """Inverse of `tokens`. Raises GenotypeError unless there are ten values per layer."""
        values = tuple(tokens)
        width = len(HYPERPARAMETERS)
        if len(values) % width:
            raise GenotypeError(f"{len(values)} values are no multiple of {width} per layer")
        return cls(tuple(Layer(*values[at : at + width]) for at in range(0, len(values), width)))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Inverse of `to_bytes`. Raises GenotypeError for a length that no genotype has."""
        return cls.from_tokens(data)

    def to_bytes(self) -> bytes:
        """Ten bytes per layer, one per hyperparameter in the order of HYPERPARAMETERS."""
        return self._bytes

    @cached_property
    def _bytes(self) -> bytes:
        return bytes(self.tokens)

    @property
    def tokens(self) -> tuple[int, ...]:
        """All values, layer by layer."""
        return tuple(value for layer in self.layers for value in layer.tokens)

    @property
    def architecture(self) -> tuple[tuple[int, ...], ...]:
        """Per layer the six values that shape the network, without the bits."""
        return tuple(layer.tokens[:ARCHITECTURE_TOKENS] for layer in self.layers)
