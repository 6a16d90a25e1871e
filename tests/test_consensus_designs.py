"""The task of a round as producers, their miners and verifiers have it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nas.data import procedural
from node.chain.params import DIGITS, FAST, PROCEDURAL, StandingTask
from node.consensus.designs import NasDesigns
from tests.chain_world import PRODUCERS, World, public

DRAWN = replace(FAST, task=PROCEDURAL, seals=4)
INSTANCE = procedural.name_of(bytes(32))
A, B = (public(key) for key in PRODUCERS)


def test_public_data_are_the_same_for_everybody() -> None:
    designs, world = NasDesigns(FAST), World()
    context = world.context(world.genesis, 1)
    assert designs.task_of(context, A, 0) == designs.task_of(context, B, 1) == designs.standing


def test_drawn_data_are_of_one_producer_unit_and_round() -> None:
    designs, world = NasDesigns(DRAWN), World()
    first, second = (world.context(world.genesis, number) for number in (1, 2))
    tasks = [
        designs.task_of(first, A, 0),
        designs.task_of(first, A, 1),
        designs.task_of(first, B, 0),
        designs.task_of(second, A, 0),
    ]
    assert len({task.dataset for task in tasks}) == 4
    assert tasks[0].dataset == procedural.name_of(first.instance(A, 0))
    assert designs.task_on(first, tasks[0].dataset) == tasks[0]


@pytest.mark.parametrize(
    ("standing", "data"),
    [
        (DIGITS, INSTANCE),
        (DIGITS, "folder:/home"),
        (PROCEDURAL, "digits"),
        (PROCEDURAL, "folder:/home"),
        (PROCEDURAL, ""),
        (PROCEDURAL, procedural.name_of(bytes(32), bytes(32))),
    ],
)
def test_a_pool_can_name_no_other_data(standing: StandingTask, data: str) -> None:
    world = World()
    context = world.context(world.genesis, 1)
    designs = NasDesigns(replace(FAST, task=standing, seals=0 if standing.insecure else 4))
    with pytest.raises(ValueError, match="the task has no data"):
        designs.task_on(context, data)
