"""What all partitions of a search space among the explorers of a round have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from nas.designs.genotype import HYPERPARAMETERS
from nas.designs.space import Space

LEAST_DESIGNS = 256
"""A box is not split into parts with fewer designs, which a search would soon have tried all."""

IsUsable = Callable[[Space], bool]
"""Whether a space holds a design worth training."""


class PartitionKind(StrEnum):
    """The partitions there are."""

    ALGORITHM1 = "algorithm1"
    DISJOINT = "disjoint"
    ADAPTIVE = "adaptive"


class PartitionError(ValueError):
    """A space, a number or results that a partition is not defined for."""


@dataclass(frozen=True)
class Subspace:
    """What one explorer searches, and how it came about.

    `is_whole` says that it is the space itself. `redraws` counts the draws refused before it as
    too small or unusable, `merged` the parts without a usable design that were left joined to a
    neighbour on the way to it. `repeat` counts the explorers before this one that have the very
    same subspace, because there were no more: each searches it from a seed of its own.
    """

    space: Space
    is_whole: bool = False
    redraws: int = 0
    merged: int = 0
    repeat: int = 0


class Partition(Protocol):
    """A subspace for each explorer of a round; a function of what it was made from alone."""

    def subspace(self, number: int) -> Subspace:
        """That of explorer `number`, counted from 0 in the order of starting.

        Any number has one, so that miners can join in mid-round. Raises PartitionError below 0.
        """
        ...


def check_number(number: int) -> None:
    """Raise PartitionError for a number that no explorer has."""
    if number < 0:
        raise PartitionError(f"explorers are counted from 0, so none is {number}")


def with_values(space: Space, position: int, values: tuple[int, ...]) -> Space:
    """The space with another range at one position of `Space.positions`."""
    layer, at = divmod(position, len(HYPERPARAMETERS))
    ranges = list(space.ranges)
    ranges[layer] = (*ranges[layer][:at], values, *ranges[layer][at + 1 :])
    return Space(tuple(ranges))
