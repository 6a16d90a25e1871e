"""Miners that leave and are forgotten while something of theirs is under way: that is dropped."""

from __future__ import annotations

import asyncio

from node.clock import LoopClock
from pool.decisions.advance import hand_out
from pool.decisions.members import decide_ban, decide_leave
from pool.records import events
from tests.pool_states import draw, handed_out, open_round
from tests.pool_world import PHASE_MS, PoolWorld, public
from tests.scripted import ScriptedExecutor
from tests.test_pool_manager import RawMiner, trained
from tests.virtual_time import virtual_time

STRANGER = public("stranger")


def test_nothing_is_decided_for_a_miner_that_is_not_known() -> None:
    pool = handed_out(open_round(strong="s"))

    assert hand_out(pool, [STRANGER], draw, 1_000) == (pool, ())
    assert decide_leave(pool, STRANGER, "gone", 1_000) == ()
    assert decide_ban(pool, STRANGER, 1_000) is None


async def leaves(world: PoolWorld, miner: RawMiner) -> None:
    """The miner hangs up, and the manager hears of it."""
    miner.beats = False
    await miner.link.close("never to be seen again")
    await world.pass_ms(25)


def is_forgotten(world: PoolWorld, name: str) -> bool:
    """Whether the newest round's opening has forgotten a miner."""
    opened = [event for event in world.history() if isinstance(event, events.RoundOpened)]
    return public(name) in opened[-1].forgotten and public(name) not in world.manager.state.miners


@virtual_time
async def test_who_leaves_before_its_turn_to_be_told_of_a_round_is_not_missed() -> None:
    world = PoolWorld()
    # More than are told of a round within a few milliseconds.
    names = [f"m{number}" for number in range(60)]
    miners = [await RawMiner(world, name).connect() for name in names]
    await world.pass_ms(200)
    world.start_round(1)
    await leaves(world, miners[-1])
    world.manager.close_round()
    world.start_round(2)
    await world.pass_ms(500)

    assert is_forgotten(world, names[-1])
    assert world.is_manager_running
    await world.close()


@virtual_time
async def test_who_leaves_while_its_first_claim_is_counted_is_not_missed() -> None:
    clock = LoopClock(asyncio.get_running_loop())
    world = PoolWorld(executor=ScriptedExecutor(clock, count_ms=5_000))
    world.start_round(1)
    miner = await RawMiner(world, "s").connect()
    assignment = await miner.expect("assignment")
    await world.pass_ms(PHASE_MS - 3_000)
    report, model = trained(assignment, 310)
    await miner.send(report)
    await miner.serve_blob(model)
    await leaves(world, miner)
    world.manager.close_round()
    world.start_round(2)
    await world.pass_ms(5_000)

    assert is_forgotten(world, "s")
    assert not any(isinstance(event, events.ResultStale) for event in world.history())
    assert world.is_manager_running
    await world.close()


@virtual_time
async def test_who_registers_while_the_manager_stops_is_not_let_in() -> None:
    world = PoolWorld()
    miner = RawMiner(world, "s")
    challenge = await miner.dial()
    await world.manager.close()
    await miner.register(challenge)

    assert await miner.closed() == "the manager stops"
    await world.close()
