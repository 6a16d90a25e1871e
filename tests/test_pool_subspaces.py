"""Which subspace an explorer gets while results come in: by them, where its kind looks at them."""

from __future__ import annotations

import msgspec

from pool.manager.subspaces import RESULTS_A_SPLIT, Subspaces
from pool.partition.algorithm1 import holds_usable_design
from pool.partition.base import PartitionKind
from pool.partition.registry import make_partition
from pool.partition.tree import Scored
from pool.records import events
from tests.pool_states import alive_design, handed_out, open_round, result_of, round_of
from tests.pool_world import SPACE, TASK


def accepted(results: int) -> list[events.ResultAccepted]:
    """Results of as many designs, the better the wider their first layer."""
    pool = handed_out(open_round(strong="s"))
    made = result_of(pool, "s")
    designs = [alive_design(SPACE, number) for number in range(results)]
    return [
        msgspec.structs.replace(
            made, genotype=design.to_bytes(), correct=100 + 10 * design.tokens[2]
        )
        for design in designs
    ]


def test_an_adaptive_partition_is_split_by_the_results_so_far() -> None:
    round_ = round_of(open_round(strong="s"))
    subspaces, seen = Subspaces(PartitionKind.ADAPTIVE), accepted(RESULTS_A_SPLIT)
    first = subspaces.draw(round_, 0)
    subspaces.see(seen)

    scored = [Scored(event.genotype, event.correct / event.size) for event in seen]
    expected = make_partition(
        PartitionKind.ADAPTIVE,
        round_.task.space,
        2,
        round_.seed,
        lambda space: holds_usable_design(space, TASK),
        scored,
    )
    second = subspaces.draw(round_, 1)
    assert second == expected.subspace(1)
    assert second.space != first.space


def test_results_of_an_earlier_round_are_forgotten() -> None:
    round_ = round_of(open_round(strong="s"))
    used, fresh = Subspaces(PartitionKind.ADAPTIVE), Subspaces(PartitionKind.ADAPTIVE)
    used.draw(round_, 0)
    used.see(accepted(RESULTS_A_SPLIT))

    other = round_.but(seed=b"another round's seed".ljust(32))
    assert used.draw(other, 0) == fresh.draw(other, 0)
