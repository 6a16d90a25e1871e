"""Algorithm 1 of the paper (section 3.2.3): one subspace per miner, drawn at random.

For each hyperparameter the paper takes one of "all subsets" of its range, the same for all layers
of the network. As printed that can hand out subspaces without a single design; three corrections:
empty subsets are excluded; a subspace needs at least the square root of the space's designs, else
a search tries the same few designs again and again (a subset of two values is a single value two
times in three); and it must hold a design that `is_usable` accepts. Otherwise it is drawn again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from nas.designs.design import judge
from nas.designs.space import Space
from nas.task import Task
from node.chain.hashing import blake, u64
from pool.rules.draws import Draws

DRAWS_PER_SUBSPACE = 256
"""After so many refused draws the whole space is handed out instead."""

SAMPLES = 1_000
"""Designs tried before a space counts as unusable."""

IsUsable = Callable[[Space], bool]


class PartitionError(ValueError):
    """A space that Algorithm 1 is not defined for."""


@dataclass(frozen=True)
class Subspace:
    """One drawn subspace.

    `redraws` counts the draws refused before it; `is_whole` says that none of them was accepted
    and this is the space itself.
    """

    space: Space
    redraws: int
    is_whole: bool


@dataclass(frozen=True)
class Partition:
    """What Algorithm 1 returns: a subspace per miner, in order."""

    subspaces: tuple[Subspace, ...]

    @property
    def redraws(self) -> int:
        """Draws refused for all subspaces together."""
        return sum(subspace.redraws for subspace in self.subspaces)


def algorithm1(space: Space, miners: int, seed: bytes, is_usable: IsUsable) -> Partition:
    """A subspace for each of `miners` miners; a function of its arguments alone.

    Subspaces may overlap, as in the paper. Raises PartitionError for fewer than one miner, or for
    a space whose layers have different ranges.
    """
    if miners < 1:
        raise PartitionError(f"a partition is for at least one miner, not {miners}")
    return Partition(tuple(draw_subspace(space, index, seed, is_usable) for index in range(miners)))


def draw_subspace(space: Space, index: int, seed: bytes, is_usable: IsUsable) -> Subspace:
    """Subspace `index` of `algorithm1`, which does not depend on the number of miners.

    So a miner that joins in mid-round gets the next one. Raises PartitionError for a space whose
    layers have different ranges.
    """
    if len(set(space.ranges)) != 1:
        raise PartitionError("Algorithm 1 needs the same ten ranges in every layer")
    draws = Draws(blake("ponas/pool/subspace", seed, u64(index)))
    least_designs = math.isqrt(space.size())
    for redraws in range(DRAWS_PER_SUBSPACE):
        drawn = Space.uniform(space.layers, [_subset(draws, v) for v in space.ranges[0]])
        if drawn.size() >= least_designs and is_usable(drawn):
            return Subspace(drawn, redraws, is_whole=False)
    return Subspace(space, DRAWS_PER_SUBSPACE, is_whole=True)


def round_space(space: Space, seed: bytes, is_usable: IsUsable) -> Space:
    """The space of a round: Algorithm 1 with one miner, seeded by the id of an ancestor block."""
    return algorithm1(space, 1, seed, is_usable).subspaces[0].space


def holds_usable_design(space: Space, task: Task) -> bool:
    """Whether one of SAMPLES designs drawn from the space is feasible and not dead.

    The draws follow from the space, so that everybody comes to the same answer.
    """
    draws = Draws(blake("ponas/pool/usable", *(bytes(values) for values in space.positions)))
    for _ in range(SAMPLES):
        design = judge(draws.genotype(space), task, space)
        if design.feasible and not design.dead:
            return True
    return False


def _subset(draws: Draws, values: tuple[int, ...]) -> tuple[int, ...]:
    """One of the non-empty subsets, each equally likely."""
    while True:
        if subset := tuple(value for value in values if draws.below(2)):
            return subset
