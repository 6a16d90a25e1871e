"""A network that is cut in two for so long that neither side goes on as the other knows it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from node.chain.params import FAST
from node.chain.state import Checkpoint
from node.consensus.bootstrap import TRUSTED_ERAS
from node.readiness import DISSENT, SPLIT
from node.store.memory import MemoryStore
from tests.sim.world import Plan, World
from tests.virtual_time import virtual_time

ERA, CUT = 4, 3
PLAN = Plan(dialled=4, managers=0, strong=0, weak=0, parameters=replace(FAST, era_rounds=ERA))
LEFT = ("full0", "full1")


async def heal_at(number: int, side: tuple[str, ...] = LEFT) -> World:
    """A world that was cut between a side and all others from round `CUT` until now."""
    world = World(5, PLAN)
    # For as long as the sides keep their seats, all that holds of the honest has to hold.
    if number > 4 * ERA:
        world.distrust(*world.machines)
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


def reasons(world: World) -> dict[str, str]:
    """Why each node signs nothing."""
    return {name: world[name].views.status().not_signing for name in world.machines}


def finals(world: World) -> dict[str, Checkpoint]:
    return {name: world[name].chain.tree.final for name in world.machines}


@virtual_time
async def test_halves_that_have_lost_each_others_seats_stop_when_they_meet() -> None:
    world = await heal_at(5 * ERA)
    await world.until_round(5 * ERA + 1)
    assert reasons(world) == dict.fromkeys(world.machines, SPLIT)
    assert {each.round for each in finals(world).values()} == {CUT - 2}
    await world.close()


@virtual_time
async def test_halves_that_have_both_gone_on_stop_when_they_meet() -> None:
    healed = 6 * ERA
    world = await heal_at(healed)
    await world.until_round(healed + 2)
    assert reasons(world) == dict.fromkeys(world.machines, DISSENT)
    before = finals(world)
    assert len(set(before.values())) == 2
    await world.until_round(healed + 2 * ERA)
    assert finals(world) == before
    await world.close()


@virtual_time
async def test_an_attester_that_went_on_alone_stops_and_nobody_else() -> None:
    healed = 6 * ERA
    with capture_logs() as logs:
        world = await heal_at(healed, ("full0",))
    warned = {each["seats"] / each["of"] for each in logs if each["event"] == "few_attest"}
    assert warned == {1 / 4}
    await world.until_round(healed + 4)
    assert reasons(world) == {"full0": DISSENT, "full1": "", "full2": "", "full3": ""}
    assert world["full1"].chain.tree.final.round == healed + 2
    await world.close()


async def restart(world: World, name: str, checkpoint: Checkpoint | None = None) -> None:
    await world.kill(name)
    machine = world.machines[name]
    machine.setup = replace(machine.setup, checkpoint=checkpoint)
    world.boot(name)


@pytest.mark.parametrize("chosen", ["full0", "full3"])
@virtual_time
async def test_operators_choose_a_side_by_its_newest_block(chosen: str) -> None:
    healed = 5 * ERA
    world = await heal_at(healed)
    # It may take them longer than a checkpoint is worth something to a newcomer.
    now = healed + (TRUSTED_ERAS + 1) * ERA
    await world.until_round(now)
    votes = (vote for vote in world[chosen].chain.tree.votes() if vote.signer == world.key(chosen))
    newest = max(Checkpoint(vote.message.round, vote.message.target) for vote in votes)
    for name in world.machines:
        await restart(world, name, newest)
    await world.until_round(now + 4)
    assert reasons(world) == dict.fromkeys(world.machines, "")
    assert {each.round for each in finals(world).values()} == {now + 2}
    tree = world["full0"].chain.tree
    assert tree.is_descendant(tree.final.id, newest)
    await world.close()


@virtual_time
async def test_who_begins_anew_on_the_chosen_side_follows_it() -> None:
    healed = 6 * ERA
    world = await heal_at(healed)
    await world.until_round(healed + 2)
    kept = finals(world)["full3"]
    for name in ("full2", "full3"):
        await restart(world, name)
    for name in LEFT:
        world.machines[name].store = MemoryStore()
        await restart(world, name, kept)
    await world.until_round(healed + 5)
    assert reasons(world) == dict.fromkeys(world.machines, "")
    assert set(finals(world).values()) == {Checkpoint(healed + 3, finals(world)["full3"].id)}
    await world.close()
