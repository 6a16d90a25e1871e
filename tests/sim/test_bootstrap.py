"""A newcomer begins at a block that its operator trusts, where nobody has the history any more."""

from dataclasses import replace

import pytest

from node.chain.errors import SafetyAlarm
from node.chain.hashing import blob_hash, u64
from node.chain.params import FAST
from node.chain.state import Checkpoint, compute_root
from node.consensus.blockstore import BlockStore, StoredSnapshot
from node.consensus.records import height_of
from node.net.protocol import Refusal
from node.store.base import Delete, Put, Table
from node.store.blobs import put_blob
from tests.sim.world import Plan, World
from tests.virtual_time import virtual_time

SHORT_ERAS = replace(FAST, era_rounds=3)
NEWCOMER = "full3"


async def play(seed: int, rounds: int) -> World:
    """A network that has forgotten how it began; the newcomer is not up yet."""
    world = World(seed, Plan(full=4, managers=0, strong=0, weak=0, solo=1, parameters=SHORT_ERAS))
    await world.start(without=[NEWCOMER])
    await world.until_round(rounds)
    return world


def newest(world: World) -> StoredSnapshot:
    return world["full0"].chain.snapshots()[-1]


def forget_history(world: World, height: int) -> None:
    """Leave no block below a height on any disk."""
    for name in world.up():
        store = world.machines[name].store
        old = [key for key, _ in store.scan(Table.BLOCKS) if height_of(key) < height]
        store.write([Delete(Table.BLOCKS, key) for key in old])


def trust(world: World, checkpoint: Checkpoint, *, prunes: bool = False) -> None:
    machine = world.machines[NEWCOMER]
    machine.setup = replace(machine.setup, checkpoint=checkpoint, prunes=prunes)


def heights(world: World) -> list[int]:
    """Of the blocks that the newcomer has."""
    return [height_of(key) for key, _ in world.machines[NEWCOMER].store.scan(Table.BLOCKS)]


@virtual_time
async def test_a_newcomer_goes_on_from_its_checkpoint_to_the_same_state() -> None:
    world = await play(seed=1, rounds=8)
    snapshot = newest(world)
    forget_history(world, snapshot.height - 1)
    trust(world, snapshot.checkpoint)
    world.boot(NEWCOMER)
    await world.until_round(11)
    known, new = world["full0"].chain, world[NEWCOMER].chain
    assert new.tree.final == known.tree.final
    assert new.tree.final.round >= 8
    assert compute_root(new.final_state) == compute_root(known.final_state)
    assert min(heights(world)) == snapshot.height - 1
    # It attests like the others.
    assert any(vote.signer == world.key(NEWCOMER) for vote in new.tree.votes())
    await world.close()


@virtual_time
async def test_a_newcomer_takes_the_state_although_peers_have_the_history() -> None:
    world = await play(seed=1, rounds=8)
    snapshot = newest(world)
    trust(world, snapshot.checkpoint, prunes=True)
    world.boot(NEWCOMER)
    await world.until_round(11)
    assert world[NEWCOMER].chain.tree.final == world["full0"].chain.tree.final
    assert min(heights(world)) == snapshot.height - 1
    await world.close()


@virtual_time
async def test_the_history_comes_behind_the_state_and_is_served_to_others() -> None:
    world = await play(seed=5, rounds=8)
    trust(world, newest(world).checkpoint)
    world.boot(NEWCOMER)
    await world.until_round(11)
    blocks = BlockStore(world.machines[NEWCOMER].store, world.network)
    assert blocks.gap() is None
    known, new = world["full0"].chain, world[NEWCOMER].chain
    assert set(heights(world)) == set(range(1, new.tree.head().state.height + 1))
    assert new.after([world.network.genesis_id], 8) == known.after([world.network.genesis_id], 8)
    # Also the seats of then, which headers do not tell.
    assert new.eras_at(1) == known.eras_at(1)
    await world.close()


@virtual_time
async def test_without_the_history_and_a_checkpoint_a_newcomer_stays_where_it_is() -> None:
    world = await play(seed=2, rounds=12)
    forget_history(world, newest(world).height - 1)
    world.boot(NEWCOMER)
    await world.until_round(15)
    assert world[NEWCOMER].chain.tree.final.round == 0
    await world.close()


@virtual_time
async def test_peers_that_lie_about_a_state_cost_a_newcomer_nothing() -> None:
    world = await play(seed=3, rounds=12)
    snapshot = newest(world)
    forget_history(world, snapshot.height - 1)
    store = world.machines["full0"].store
    forged = b"no state at all"
    row = u64(snapshot.checkpoint.round) + snapshot.checkpoint.id + blob_hash(forged)
    store.write(
        [
            Put(Table.SNAPSHOTS, u64(snapshot.height), row),
            *put_blob(forged),
        ]
    )
    trust(world, snapshot.checkpoint)
    world.boot(NEWCOMER)
    await world.until_round(16)
    assert world[NEWCOMER].chain.tree.final == world["full1"].chain.tree.final
    assert world[NEWCOMER].peers.refused[Refusal.FALSE_SNAPSHOT] == 1
    await world.close()


@virtual_time
async def test_a_chain_without_the_checkpoint_stops_the_node() -> None:
    world = await play(seed=4, rounds=8)
    trust(world, Checkpoint(5, b"\x07" * 32))
    world.boot(NEWCOMER)
    await world.until_round(10)
    running = world.machines[NEWCOMER].running
    assert running is not None
    assert running.done()
    with pytest.raises(SafetyAlarm, match="round 5 is not the one of --checkpoint"):
        running.result()
    await world.kill(NEWCOMER)
    await world.close()
