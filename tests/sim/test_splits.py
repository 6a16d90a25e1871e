"""A network that is cut in two for so long that neither side goes on as the other knows it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.chain.params import FAST
from tests.sim.world import Plan, World
from tests.virtual_time import virtual_time

ERA, CUT = 4, 3
PLAN = Plan(dialled=4, managers=0, strong=0, weak=0, parameters=replace(FAST, era_rounds=ERA))
LEFT = ("full0", "full1")


async def heal_at(number: int, side: tuple[str, ...] = LEFT) -> World:
    """A world that was cut between a side and all others from round `CUT` until now."""
    world = World(5, PLAN)
    await world.start()
    await world.until_round(CUT)
    world.cut(side)
    await world.until_round(number)
    world.heal()
    return world


@pytest.mark.parametrize("eras", [1, 2])
@virtual_time
async def test_two_halves_that_still_have_the_same_seats_become_one_again(eras: int) -> None:
    """Votes of eras whose seats are gone keep nobody from hearing of the other side's blocks."""
    healed = (eras + 1) * ERA + 1
    world = await heal_at(healed)
    assert {world[name].chain.tree.final.round for name in world.machines} == {CUT - 2}
    await world.until_round(healed + 4)
    assert {world[name].chain.tree.final.round for name in world.machines} == {healed + 2}
    await world.close()
