"""The partition of the round at hand, split anew by results where its kind looks at them."""

from __future__ import annotations

from collections.abc import Iterable

from pool.partition.algorithm1 import holds_usable_design
from pool.partition.base import Partition, PartitionKind, Subspace
from pool.partition.registry import make_partition
from pool.partition.tree import Scored
from pool.records.events import AnyEvent, ResultAccepted
from pool.records.state import RoundState

RESULTS_A_SPLIT = 64
"""An adaptive partition is made anew for the next explorer once so many results more are known."""


class Subspaces:
    """Draws the subspace of each search of a round."""

    def __init__(self, kind: PartitionKind) -> None:
        self._kind = kind
        self._seed = b""
        self._partition: Partition | None = None
        self._seen: list[Scored] = []
        self._split_at = 0

    def draw(self, round_: RoundState, number: int) -> Subspace:
        """The subspace of search `number`."""
        if round_.seed != self._seed:
            self._seed, self._partition, self._seen = round_.seed, None, []
        is_old = len(self._seen) >= self._split_at + RESULTS_A_SPLIT
        if self._partition is None or is_old:
            self._split_at = len(self._seen)
            self._partition = make_partition(
                self._kind,
                round_.task.space,
                max(round_.explorers, number + 1) if self._seen else round_.explorers,
                round_.seed,
                lambda space: holds_usable_design(space, round_.task.task),
                self._seen,
            )
        return self._partition.subspace(number)

    def see(self, happened: Iterable[AnyEvent]) -> None:
        """Remember results, if the partition looks at any."""
        if self._kind is PartitionKind.ADAPTIVE:
            self._seen += (
                Scored(event.genotype, event.correct / event.size)
                for event in happened
                if isinstance(event, ResultAccepted)
            )
