"""The partition of each kind."""

from __future__ import annotations

from collections.abc import Sequence

from nas.designs.space import Space
from pool.partition.adaptive import Adaptive
from pool.partition.algorithm1 import Algorithm1
from pool.partition.base import IsUsable, Partition, PartitionKind
from pool.partition.disjoint import Disjoint
from pool.partition.tree import Scored


def make_partition(
    kind: PartitionKind,
    space: Space,
    explorers: int,
    seed: bytes,
    is_usable: IsUsable,
    seen: Sequence[Scored] = (),
) -> Partition:
    """The partition of a space for so many explorers.

    `algorithm1` looks neither at the number of explorers nor at results, `disjoint` not at
    results. Raises PartitionError as each of them.
    """
    match kind:
        case PartitionKind.ALGORITHM1:
            return Algorithm1(space, seed, is_usable)
        case PartitionKind.DISJOINT:
            return Disjoint(space, explorers, seed, is_usable)
        case PartitionKind.ADAPTIVE:
            return Adaptive(space, explorers, seed, is_usable, seen)
