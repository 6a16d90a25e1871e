"""What a node tells of the tasks of many rounds, and how far it looks for one answer."""

from __future__ import annotations

import pytest

from node.chain.params import FAST
from node.consensus.designs import NasDesigns
from node.inspection import tasks
from node.inspection.tasks import ChainTasks
from node.store.base import Delete, Table
from node.views.tasks import RoundTasksView
from tests.chain_world import ATTESTERS, World
from tests.desk import Desk


async def make_desk(won: int, void: int) -> Desk:
    """Blocks with a model, then without one; the last two are not final."""
    desk = Desk(World())
    for _ in range(won):
        await desk.mine()
    for number in range(won + 1, won + void + 1):
        parent = desk.chain.tree.head().id
        votes = desk.world.votes(parent, ATTESTERS)
        block = desk.world.add(desk.world.fallback_block(parent, number, votes=votes))
        await desk.chain.adopt(block, desk.chain.apply(block))
    return desk


def tasks_of(desk: Desk) -> ChainTasks:
    return ChainTasks(desk.chain, NasDesigns(FAST))


def told_of(view: RoundTasksView) -> tuple[list[int], int]:
    return [task.round for task in view.tasks], view.next


async def test_an_answer_looks_at_so_many_blocks_also_where_no_model_has_won(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "MOST_ROUNDS", 3)
    desk = await make_desk(won=4, void=7)
    assert desk.chain.final_height == 9
    shown = tasks_of(desk)
    assert told_of(shown.of_rounds(0, 0)) == ([], 7)
    assert told_of(shown.of_rounds(0, 7)) == ([4], 4)
    assert told_of(shown.of_rounds(0, 4)) == ([3, 2, 1], 0)
    assert told_of(shown.of_rounds(0, 99)) == told_of(shown.of_rounds(0, 0))


async def test_an_answer_ends_at_the_first_round_that_is_asked_for() -> None:
    shown = tasks_of(await make_desk(won=5, void=0))
    assert told_of(shown.of_rounds(2, 0)) == ([3, 2], 0)
    assert told_of(shown.of_rounds(4, 0)) == ([], 0)
    assert told_of(shown.of_rounds(2**64 - 1, 0)) == ([], 0)
    assert told_of(shown.of_rounds(0, 1)) == ([], 0)


async def test_no_body_is_read_for_the_tasks_of_rounds() -> None:
    desk = await make_desk(won=4, void=0)
    told = told_of(tasks_of(desk).of_rounds(0, 0))
    desk.store.write([Delete(Table.BODIES, key) for key, _ in desk.store.scan(Table.BODIES)])
    assert told_of(tasks_of(desk).of_rounds(0, 0)) == told == ([2, 1], 0)
