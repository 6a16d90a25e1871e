"""What somebody sees who hears liars alone: one attester in a ring of them, and a newcomer to whom
keys of long ago show a history of their own."""

from __future__ import annotations

from dataclasses import replace

from node.chain.block import Block
from node.chain.bonds import UNBOND_ERAS, BondKind
from node.chain.messages import AddBond, Unbond
from node.chain.params import FAST
from node.store.memory import MemoryStore
from tests.sim.adversaries.peers import Muffler
from tests.sim.customers import send
from tests.sim.puppets import Puppet, Stage
from tests.sim.world import Plan, World
from tests.virtual_time import virtual_time

VICTIM = "full3"


@virtual_time
async def test_an_eclipsed_attester_harms_nobody_and_comes_back() -> None:
    plan = Plan(full=6, mints=1, managers=0, strong=0, weak=0, dialled=3)
    world = World(1, plan, {"full4": Muffler(), "full5": Muffler()})
    victim = world.machines[VICTIM]
    friends = victim.setup.peers
    # Nobody dials it, and whom it dials passes nothing on.
    victim.setup = replace(victim.setup, peers=["full4", "full5"], discovers=False)
    await world.start()
    await world.until_round(6)
    assert world[VICTIM].chain.tree.final.round == 0
    assert world["full0"].chain.tree.final.round == 4
    await world.kill(VICTIM)
    victim.setup = replace(victim.setup, peers=friends, discovers=True)
    world.boot(VICTIM)
    await world.until_round(9)
    assert world[VICTIM].chain.tree.head().id == world["full0"].chain.tree.head().id
    await world.close()


ERA = 2
OLD, NEW = ("full0", "full1", "full2"), ("mint0", "mint1")
FORGER, NEWCOMER = "full2", "full3"
LATER = ERA * (UNBOND_ERAS + 5)
"""Round in which the bonds of the first attesters have long been paid back."""


async def replace_attesters(world: World) -> None:
    """New attesters come, the old ones leave and are paid back."""
    await world.start(without=[NEWCOMER])
    await world.until_round(2)
    for name in NEW:
        send(world, name, AddBond(BondKind.ATTEST, world.key(name), 4 * FAST.unit_bond, 0, 0))
    for name in OLD:
        send(world, name, Unbond(BondKind.ATTEST, world.key(name), FAST.unit_bond, 0, 0))
    await world.until_round(LATER)
    state = world["mint0"].chain.tree.head().state
    attesters = {key[1:] for key, _ in state.bonds.items() if key[0] == BondKind.ATTEST}
    assert attesters == {world.key(name) for name in (*NEW, NEWCOMER)}


async def sign_another_history(world: World) -> tuple[Stage, list[Block]]:
    """The old keys make one from genesis on, which is final by all rules, on a disk of its own."""
    world.distrust(*OLD)
    await world.kill(FORGER)
    forger = world.machines[FORGER]
    forger.store, forger.hack = MemoryStore(), Puppet()
    world.cut([FORGER])
    world.boot(FORGER)
    stage, parent, blocks = Stage(world, FORGER), world.network.genesis_id, list[Block]()
    for number in range(1, 7):
        order = world[FORGER].chain.tree.context_for(parent, number).fallback_order()
        place = min(order.index(world.key(name)) for name in OLD)
        votes = [stage.vote(block) for block in blocks[-1:]]
        blocks.append(stage.block(parent, number, votes, place))
        parent = blocks[-1].id
        stage.tell(FORGER, stage.vote(blocks[-1]), *OLD)
    assert world[FORGER].chain.tree.final.round == 5
    return stage, blocks


@virtual_time
async def test_keys_whose_bonds_have_left_convince_nobody() -> None:
    parameters = replace(FAST, era_rounds=ERA)
    plan = Plan(full=4, mints=2, managers=0, strong=0, weak=0, purse=10, parameters=parameters)
    world = World(1, plan)
    await replace_attesters(world)
    final = world["mint0"].chain.tree.final
    stage, forged = await sign_another_history(world)
    # Who was there follows none of it.
    await stage.show("mint0", *forged)
    assert world["mint0"].chain.tree.final == final
    assert not any(block.id in world["mint0"].chain.tree for block in forged)
    # A newcomer that hears the forger alone waits for a while, then takes it for the chain; but it
    # signs nothing there.
    newcomer = world.machines[NEWCOMER]
    world.cut([FORGER, NEWCOMER])
    newcomer.setup = replace(newcomer.setup, peers=[FORGER, "mint0"], checkpoint=final)
    world.boot(NEWCOMER)
    await world.until_round(LATER + 2)
    # What it takes for final is none of the network's.
    world.distrust(NEWCOMER)
    await stage.show(NEWCOMER, *forged)
    stage.tell(NEWCOMER, stage.vote(forged[-1]), *OLD)
    await world.until_round(LATER + 4)
    chain = world[NEWCOMER].chain
    assert (chain.tree.final.round, chain.tree.head().id) == (5, forged[-1].id)
    assert world.key(NEWCOMER) not in {vote.signer for vote in chain.tree.votes()}
    # With a checkpoint of now and peers that have its state it leaves the forged one.
    world.heal()
    await world.kill(NEWCOMER)
    newest = world["mint0"].chain.snapshots()[-1].checkpoint
    newcomer.setup = replace(newcomer.setup, peers=["mint0", "mint1"], checkpoint=newest)
    world.boot(NEWCOMER)
    await world.until_round(LATER + 8)
    assert world[NEWCOMER].chain.tree.final == world["mint0"].chain.tree.final
    assert world["mint0"].chain.tree.final.round == LATER + 6
    await world.close()
