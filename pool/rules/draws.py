"""Uniform draws from a hash: the same on every machine and under every Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from nas.designs.genotype import Genotype
from nas.designs.space import Space
from node.chain.hashing import blake, u64

T = TypeVar("T")

_RANGE = 1 << 64


class Draws:
    """An endless sequence of draws that is a function of `seed` alone."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._count = 0

    def below(self, bound: int) -> int:
        """An integer in [0, bound), each equally likely; `bound` is in [1, 2**64]."""
        if not 1 <= bound <= _RANGE:
            raise ValueError(f"can't draw below {bound}: bounds are 1 to 2**64")
        while True:
            digest = blake("ponas/pool/draw", self._seed, u64(self._count))
            self._count += 1
            value = int.from_bytes(digest[:8], "big")
            # Values beyond the last whole multiple would favour small results.
            if value < _RANGE - _RANGE % bound:
                return value % bound

    def choice(self, values: Sequence[T]) -> T:
        """One of the values; there must be at least one."""
        return values[self.below(len(values))]

    def genotype(self, space: Space) -> Genotype:
        """A genotype drawn uniformly from a space."""
        return Genotype.from_tokens(self.choice(values) for values in space.positions)
