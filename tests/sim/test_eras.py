"""Bonds and seats on a whole network: who joins, who leaves, and who is caught."""

import asyncio
from dataclasses import replace

import pytest

from node.chain.bonds import BondKey, BondKind
from node.chain.messages import AddBond, Claim, Evidence, Unbond
from node.chain.params import FAST, Upgrade
from node.chain.state import State
from node.chain.timing import Phase
from node.errors import NetworkRefusedError
from tests.sim.adversaries import ATTESTERS, PRODUCERS
from tests.sim.customers import send
from tests.sim.world import Plan, World
from tests.virtual_time import virtual_time

ERA, UNIT = 4, FAST.unit_bond
PLAN = Plan(mints=1, managers=0, strong=0, weak=0, parameters=replace(FAST, era_rounds=ERA))


def state_of(world: World, name: str = "full0") -> State:
    return world[name].chain.tree.head().state


def seats(world: World, name: str = "full0") -> set[str]:
    weights = state_of(world, name).eras.current.weights
    return {each for each in world.machines if world.key(each) in weights}


@virtual_time
async def test_one_attester_joins_by_bonding_and_another_leaves() -> None:
    world = World(1, PLAN)
    await world.start()
    await world.until_round(3)
    send(world, "mint0", AddBond(BondKind.ATTEST, world.key("mint0"), UNIT, 0, 0))
    owner = world.key("full3")
    send(world, "full3", Unbond(BondKind.ATTEST, owner, UNIT, 0, 0))
    await world.kill("full2")
    await world.until_round(2 * ERA + 1)
    assert seats(world) == {"full0", "full1", "full2", "mint0"}
    # It is no longer needed; the newcomer is.
    await world.kill("full3")
    await world.until_round(3 * ERA + 1)
    state = state_of(world)
    assert world["full0"].chain.tree.final.round == 3 * ERA - 1
    assert state.bonds[BondKey(BondKind.ATTEST, world.key("mint0")).to_bytes()].absent_eras == 0
    assert state.bonds[BondKey(BondKind.ATTEST, world.key("full2")).to_bytes()].absent_eras == 2
    # Who comes back weighs the votes of eras that it has slept through.
    world.boot("full2")
    await world.until_round(3 * ERA + 3)
    heads = {name: world[name].chain.tree.head() for name in ("full0", "full2")}
    assert heads["full2"].id == heads["full0"].id
    await world.close()


@virtual_time
async def test_a_node_stops_before_a_round_whose_rules_it_does_not_know() -> None:
    parameters = replace(PLAN.parameters, upgrades=(Upgrade(3, 2),))
    world = World(5, replace(PLAN, parameters=parameters))
    await world.start()
    # Until then it does its duties.
    await world.until(2, Phase.VALIDATE)
    await asyncio.sleep(0.5)
    assert not any(each.running and each.running.done() for each in world.machines.values())
    await world.until(2, Phase.CONFIRM)
    await asyncio.sleep(1)
    for name, machine in world.machines.items():
        assert machine.running is not None
        with pytest.raises(NetworkRefusedError, match=r"from round 3 on .* install a newer one"):
            await machine.running
        assert world[name].chain.tree.head().state.round == 2
        machine.running = None
    await world.close()


@pytest.mark.parametrize("script", ["vote equivocator", "list equivocator"])
@virtual_time
async def test_an_attester_that_equivocates_loses_its_bond(script: str) -> None:
    # The guilty one's peers must be on both sides of its halves.
    world = World(4, replace(PLAN, full=5), {"full4": ATTESTERS[script]})
    await world.start()
    await world.until_round(6)
    guilty = BondKey(BondKind.ATTEST, world.key("full4"))
    state = state_of(world)
    assert state.bond(guilty) is None
    assert len(state.bonds) == 5
    assert {key[:33] for key, _ in state.punished.items()} == {guilty.to_bytes()}
    await world.close()


@pytest.mark.parametrize(
    "script", ["header equivocator", "liar, bold", "liar, subtle", "understater"]
)
@virtual_time
async def test_a_producer_that_lies_loses_a_unit(script: str) -> None:
    world = World(3, replace(PLAN, mints=2), {"mint1": PRODUCERS[script]})
    await world.start()
    await world.until_round(6)
    units = {
        name: world["full0"].chain.context(8).units(world.key(name)) for name in ("mint0", "mint1")
    }
    assert units == {"mint0": 1, "mint1": 0}
    await world.close()


@pytest.mark.parametrize("is_careless", [False, True], ids=["left out", "refused in a block"])
@virtual_time
async def test_a_true_claim_is_not_punished_whoever_accuses_it(
    is_careless: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(6, PLAN)
    if is_careless:
        monkeypatch.setattr("node.consensus.producer.credible", lambda waiting, *_: waiting)
        world.distrust("mint0")
    await world.start()
    await world.until_round(4)
    block = world["full0"].chain.tree.head().block
    assert block is not None
    assert isinstance(block.header.message, Claim)
    send(world, "full0", Evidence((block.header.envelope,), 0, 0))
    await world.until_round(5)
    head = world["full0"].chain.tree.head()
    assert head.block is not None
    assert (head.state.round, len(head.state.punished)) == (4, 0)
    # Nobody votes for who believes it.
    assert head.block.is_fallback is is_careless
    await world.close()
