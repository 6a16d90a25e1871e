"""A miner with a unit of its own and a pool that goes away, in a whole network."""

from dataclasses import replace

import pytest

from node.chain.messages import Claim
from pool.miner.failover import RETURN_AFTER_MS
from tests.sim.world import Plan, World
from tests.virtual_time import virtual_time


def proposers(world: World, first: int, last: int) -> dict[int, bytes]:
    """Who won which of these rounds, by full0's chain."""
    tree = world["full0"].chain.tree
    blocks = [entry.block for entry in tree.chain(tree.head().id)]
    return {
        block.round: block.header.signer
        for block in blocks
        if block is not None
        and isinstance(block.header.message, Claim)
        and first <= block.round <= last
    }


@virtual_time
async def test_a_miner_whose_pool_dies_wins_blocks_alone_until_the_pool_is_back() -> None:
    world = World(seed=5, plan=Plan(full=3, strong=0, weak=0, solo=1))
    member = world.machines["solo0"]
    member.setup = replace(member.setup, pools=["manager0"])
    manager, miner = (
        world.machines[name].setup.identity.public_key for name in ("manager0", "solo0")
    )
    await world.start()
    await world.until_round(3)
    assert set(proposers(world, 1, 2).values()) == {manager}

    await world.kill("manager0")
    await world.until_round(6)
    # In round 3 it may have been too late, or the pool's lease was still in force.
    assert proposers(world, 4, 5) == {4: miner, 5: miner}

    world.boot("manager0")
    round_ms = world.network.parameters.timing.round_ms
    back = 6 + RETURN_AFTER_MS // round_ms + 2
    await world.until_round(back + 2)
    assert set(proposers(world, back, back + 1).values()) == {manager}
    # Nor is a round lost while it goes back.
    assert set(proposers(world, 7, back)) == set(range(7, back + 1))
    await world.close()


@virtual_time
async def test_a_node_takes_no_order_of_a_far_round() -> None:
    world = World(seed=5, plan=Plan(full=3, strong=0, weak=0, solo=1))
    await world.start()
    await world.until_round(3)
    mining = world["solo0"]._mining

    assert mining.task_of(3, "digits") == mining.task_of(4, "digits") == mining.task_of(2, "digits")
    for far in (1, 5, 2**62):
        with pytest.raises(ValueError, match="it is round 3"):
            mining.task_of(far, "digits")
    with pytest.raises(ValueError, match="the task has no data 'folder:/'"):
        mining.task_of(3, "folder:/")
    await world.close()
