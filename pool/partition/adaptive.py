"""Boxes where the results of the round promise most (nas.md 6, after LA-MCTS, arXiv 2007.00708).

A regression tree tells good boxes from bad ones; explorers are sent to them by upper confidence
bound, so that a box with few results is not given up early; those sent to the same box share it
without overlap. Without results it is the `disjoint` partition.
"""

from __future__ import annotations

import heapq
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from nas.designs.space import Space
from nas.jobs import BATCH_EPISODES
from pool.partition.base import IsUsable, PartitionError, Subspace, check_number
from pool.partition.disjoint import Disjoint
from pool.partition.tree import Leaf, Scored, grow

MAX_RESULTS = 4_096
"""Of more results so many are looked at, evenly spread: enough for the tree, and soon done."""


class Adaptive:
    """A partition made from the results `seen` so far.

    It does not change with later results: whoever hands out subspaces makes a new one then. Boxes
    that nobody is sent to are not covered. Raises PartitionError for fewer than one explorer, and
    as `pool.partition.tree.grow`.
    """

    def __init__(
        self,
        space: Space,
        explorers: int,
        seed: bytes,
        is_usable: IsUsable,
        seen: Sequence[Scored],
    ) -> None:
        if explorers < 1:
            raise PartitionError(f"a partition is for at least one explorer, not {explorers}")
        sample = seen[:: max(1, math.ceil(len(seen) / MAX_RESULTS))]
        leaves = grow(space, sample, is_usable)
        spread = statistics.pstdev(result.reward for result in sample) if sample else 0.0
        self._space = space
        self._sent = send(leaves, explorers, spread)
        self._shares = Counter(self._sent)
        self._boxes = {
            leaf: Disjoint(leaves[leaf].space, share, seed, is_usable)
            for leaf, share in self._shares.items()
        }

    def subspace(self, number: int) -> Subspace:
        """The box of an explorer; see `pool.partition.base.Partition`."""
        check_number(number)
        lap, at = divmod(number, len(self._sent))
        leaf = self._sent[at]
        # Its place among those sent to the leaf.
        place = self._sent[:at].count(leaf)
        drawn = self._boxes[leaf].subspace(place + lap * self._shares[leaf])
        return replace(drawn, is_whole=drawn.space == self._space)


def send(leaves: Sequence[Leaf], explorers: int, spread: float) -> tuple[int, ...]:
    """For each explorer the number of the leaf to search, by upper confidence bound (UCB1).

    A leaf's bound is mean + spread x sqrt(2 ln N / n) for n of all N results; `spread` is their
    standard deviation, in place of the 1 that UCB1 takes for rewards from 0 to 1 (Auer,
    Cesa-Bianchi and Fischer 2002). Each explorer goes to the highest bound, the first of equals.
    It then counts as if it had delivered already what each has on average: so they spread.
    """
    total = sum(leaf.results for leaf in leaves)
    visit = max(BATCH_EPISODES, total // explorers)
    chances = spread * math.sqrt(2 * math.log(max(1, total)))

    def bound(number: int, sent: int) -> float:
        leaf = leaves[number]
        return leaf.mean + chances / math.sqrt(max(1, leaf.results + visit * sent))

    waiting = [(-bound(number, 0), number, 0) for number in range(len(leaves))]
    heapq.heapify(waiting)
    chosen: list[int] = []
    for _ in range(explorers):
        _, number, sent = waiting[0]
        chosen.append(number)
        heapq.heapreplace(waiting, (-bound(number, sent + 1), number, sent + 1))
    return tuple(chosen)
