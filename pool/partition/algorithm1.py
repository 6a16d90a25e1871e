"""Algorithm 1 of the paper (section 3.2.3): one subspace per miner, drawn at random.

For each hyperparameter the paper takes one of "all subsets" of its range, the same for all layers
of the network. As printed that can hand out subspaces without a single design; three corrections:
empty subsets are excluded; a subspace needs at least the square root of the space's designs, else
a search tries the same few designs again and again (a subset of two values is a single value two
times in three); and it must hold a design that `is_usable` accepts. Otherwise it is drawn again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from nas.designs.design import is_dead, judge
from nas.designs.space import Space
from nas.task import Task
from node.chain.hashing import blake, u64
from pool.partition.base import IsUsable, PartitionError, Subspace, check_number
from pool.rules.draws import Draws

DRAWS_PER_SUBSPACE = 256
"""After so many refused draws the whole space is handed out instead."""

SAMPLES = 1_000
"""Designs tried before a space counts as unusable."""


@dataclass(frozen=True)
class Algorithm1:
    """The partition of the paper. Subspaces may overlap, and number i depends on no other."""

    space: Space
    seed: bytes
    is_usable: IsUsable

    def subspace(self, number: int) -> Subspace:
        """`draw_subspace`; see `pool.partition.base.Partition`."""
        check_number(number)
        return draw_subspace(self.space, number, self.seed, self.is_usable)


def draw_subspace(space: Space, index: int, seed: bytes, is_usable: IsUsable) -> Subspace:
    """Subspace `index`, which does not depend on the number of miners.

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
            return Subspace(drawn, redraws=redraws)
    return Subspace(space, is_whole=True, redraws=DRAWS_PER_SUBSPACE)


def round_space(space: Space, seed: bytes, is_usable: IsUsable) -> Space:
    """The space of a round: Algorithm 1 with one miner, seeded by the id of an ancestor block."""
    return draw_subspace(space, 0, seed, is_usable).space


def holds_usable_design(space: Space, task: Task) -> bool:
    """Whether one of SAMPLES designs drawn from the space is feasible and not dead.

    The draws follow from the space, so that everybody comes to the same answer.
    """
    draws = Draws(blake("ponas/pool/usable", *(bytes(values) for values in space.positions)))
    for _ in range(SAMPLES):
        genotype = draws.genotype(space)
        # A verdict on the hardware takes much longer than one on the bits.
        if not is_dead(genotype) and judge(genotype, task, space).feasible:
            return True
    return False


def _subset(draws: Draws, values: tuple[int, ...]) -> tuple[int, ...]:
    """One of the non-empty subsets, each equally likely."""
    while True:
        if subset := tuple(value for value in values if draws.below(2)):
            return subset
