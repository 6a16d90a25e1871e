"""The time to answer an audit: a miner's absence costs it, and a busy manager does not."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from node.chain.envelope import sign
from node.chain.hashing import blob_hash
from node.chain.messages import Commit
from node.clock import LoopClock
from pool.decisions.pay import LEASE_BROKEN, OVERDUE
from pool.manager.answers import Answers
from pool.manager.audits import BLOB_TIMEOUT_MS
from pool.records import events
from pool.rules.audits import ANSWER_MS, Fault, answer_ms
from tests.pool_world import NETWORK_ID, PHASE_MS, TASK, PoolWorld, key_of, public
from tests.test_pool_dodgers import MAL, Dodger, Stuck, begin_round, with_a_best
from tests.test_pool_manager import RawMiner, trained
from tests.test_pool_pay import of_kind
from tests.test_pool_swindles import Player
from tests.virtual_time import virtual_time

HERE = {MAL}
AWAY: set[bytes] = set()


@virtual_time
async def test_the_time_to_answer_stops_while_a_miner_waits_for_the_manager() -> None:
    clock = LoopClock(asyncio.get_running_loop())
    answers = Answers(clock)
    answers.run(MAL, 100)
    await clock.sleep_until(clock.now_ms() + 60)
    answers.stop(MAL)
    await clock.sleep_until(clock.now_ms() + 1_000)

    assert answers.left_ms(MAL) == 40
    answers.run(MAL, 100)
    answers.charge(MAL, 10)
    await clock.sleep_until(clock.now_ms() + 29)
    assert answers.overdue(AWAY) == ()
    await clock.sleep_until(clock.now_ms() + 1)
    assert (answers.left_ms(MAL), answers.overdue(AWAY)) == (0, (MAL,))
    answers.settle(MAL)
    answers.run(MAL, 100)
    assert (answers.left_ms(MAL), answers.overdue(AWAY)) == (100, ())


@pytest.mark.parametrize(
    ("asked_ms", "arrived", "here", "is_owed"),
    [
        (None, False, HERE, False),
        (None, False, AWAY, True),
        (6, False, HERE, False),
        (6, False, AWAY, True),
        (5, False, HERE, True),
        (5, True, HERE, False),
        (5, True, AWAY, False),
    ],
)
@virtual_time
async def test_an_audit_waits_for_whoever_is_late_or_gone(
    asked_ms: int | None, arrived: bool, here: set[bytes], is_owed: bool
) -> None:
    clock = LoopClock(asyncio.get_running_loop())
    answers = Answers(clock)
    answers.run(MAL, 5)
    if asked_ms is not None:
        answers.ask(MAL, asked_ms)
    if arrived:
        answers.arrived(MAL)
    await clock.sleep_until(clock.now_ms() + 5)

    assert answers.is_owed(MAL, here) is is_owed
    assert answers.overdue(here) == ((MAL,) if is_owed else ())


def test_a_long_round_gives_more_time() -> None:
    assert answer_ms(PHASE_MS) == ANSWER_MS
    assert answer_ms(3_600_000) == 10_800_000


def forfeits(world: PoolWorld, name: str) -> list[tuple[str, str]]:
    """Reason and detail of each time that a miner lost its work."""
    lost = of_kind(world, events.WorkForfeited)
    return [(entry.reason, entry.detail) for entry in lost if entry.miner == public(name)]


@virtual_time
async def test_who_is_back_after_a_restart_loses_nothing_while_the_manager_is_busy() -> None:
    stuck: Any = Stuck(LoopClock(asyncio.get_running_loop()))
    world = PoolWorld(auditing=stuck)
    world.start_round()
    await (await Player(world, "ann").play()).work(1)
    bob = await Player(world, "bob").play()
    await bob.hand_in(*trained(bob.order, 300))
    await world.crash_manager()
    world.start_manager()
    world.start_round(1)
    await world.pass_ms(50)
    again = Player(world, "bob")
    again.blobs = dict(bob.blobs)
    world.manager._audits._is_ready = lambda miner: False  # type: ignore[method-assign]
    await again.play()
    await world.pass_ms(ANSWER_MS)
    world.manager.close_round()
    world.start_round(2)
    await world.pass_ms(100)

    assert public("bob") in world.manager.state.audits
    assert forfeits(world, "bob") == []
    await world.close()


@virtual_time
async def test_who_is_back_after_a_request_loses_nothing_while_the_manager_is_busy() -> None:
    world = await with_a_best()
    mal = Dodger(world, "mal")
    await mal.burst(1)
    await mal.expect("blob_request")
    await mal.link.close("cable")
    await world.pass_ms(7_000)
    # Nobody's turn comes any more.
    world.manager._audits._is_ready = lambda miner: False  # type: ignore[method-assign]
    await mal.connect()
    await world.pass_ms(ANSWER_MS)
    world.manager.close_round()
    world.start_round(2)
    await world.pass_ms(100)

    assert world.manager._audits.owing() == {MAL}, "its work is held back meanwhile"
    assert forfeits(world, "mal") == []
    await world.close()


@virtual_time
async def test_who_leaves_while_it_waits_for_its_turn_forfeits_later() -> None:
    world = await with_a_best()
    world.manager._audits._is_ready = lambda miner: False  # type: ignore[method-assign]
    mal = Dodger(world, "mal")
    await mal.burst(1)
    await world.pass_ms(50)
    await mal.link.close("bye")
    await world.pass_ms(ANSWER_MS)
    world.manager.close_round()
    world.start_round(2)
    await world.pass_ms(100)

    assert forfeits(world, "mal") == [(Fault.OVERDUE, OVERDUE)]
    await world.close()


async def hand_in_and_leave_unasked(world: PoolWorld) -> tuple[RawMiner, bytes]:
    """A miner that is away before it is asked for its model."""
    world.manager._audits._busy.add(MAL)
    mal = await RawMiner(world, "mal").connect()
    report, model = trained(await mal.expect("assignment"), 300)
    await mal.send(report)
    await world.pass_ms(50)
    await mal.link.close("cable")
    await world.pass_ms(50)
    world.manager._audits._busy.clear()
    world.manager._core.to_audit(MAL)
    return mal, model


@virtual_time
async def test_who_was_never_asked_is_asked_once_however_late_it_is_back() -> None:
    world = await with_a_best()
    mal, model = await hand_in_and_leave_unasked(world)
    await world.pass_ms(ANSWER_MS)
    await mal.connect()
    await mal.serve_blob(model)
    await world.pass_ms(500)

    assert forfeits(world, "mal") == []
    assert MAL not in world.manager.state.audits
    await world.close()


@virtual_time
async def test_who_was_never_asked_and_leaves_again_forfeits() -> None:
    world = await with_a_best()
    world.manager._audits._busy.add(MAL)
    dodger = Dodger(world, "mal")
    await dodger.burst(1)
    await dodger.link.close("bye")
    await world.pass_ms(50)
    world.manager._audits._busy.clear()
    world.manager._core.to_audit(MAL)
    await world.pass_ms(ANSWER_MS)
    await dodger.connect()
    await dodger.expect("blob_request")
    await dodger.link.close("bye")
    await world.pass_ms(50)
    await dodger.connect()
    await world.pass_ms(50)

    assert forfeits(world, "mal") == [(Fault.OVERDUE, OVERDUE)]
    await world.close()


@virtual_time
async def test_who_is_asked_too_late_to_answer_is_not_banned() -> None:
    world = await with_a_best()
    mal = Dodger(world, "mal")
    await mal.burst(1)
    await mal.expect("blob_request")
    await mal.link.close("cable")
    await world.pass_ms(ANSWER_MS - BLOB_TIMEOUT_MS - 5_000)
    await mal.connect()
    await mal.expect("blob_request")
    await world.pass_ms(6_000)

    assert [reason for reason, _ in forfeits(world, "mal")] == [Fault.OVERDUE]
    assert of_kind(world, events.Banned) == []
    await world.close()


@virtual_time
async def test_who_is_asked_for_the_first_time_has_time_to_answer() -> None:
    world = await with_a_best()
    mal, model = await hand_in_and_leave_unasked(world)
    await world.pass_ms(ANSWER_MS - 2_000)
    await mal.connect()
    await world.pass_ms(BLOB_TIMEOUT_MS - 1_000)
    await mal.serve_blob(model)
    await world.pass_ms(500)

    assert forfeits(world, "mal") == []
    assert MAL not in world.manager.state.audits
    await world.close()


@virtual_time
async def test_leases_bind_who_has_forfeited_its_work() -> None:
    world = await with_a_best()
    mal = Dodger(world, "mal")
    await mal.burst(1)
    await mal.expect("blob_request")
    await mal.link.close("bye")
    await world.pass_ms(ANSWER_MS)
    mal.accepts_leases = False
    await mal.connect()
    await world.pass_ms(100)
    assert [reason for reason, _ in forfeits(world, "mal")] == [Fault.OVERDUE]

    shown = world.manager.on_commit(sign(Commit(1, 0, bytes(32)), key_of("mal"), NETWORK_ID))
    assert shown
    await world.pass_ms(100)
    assert forfeits(world, "mal")[-1][0] == LEASE_BROKEN
    await world.close()


@virtual_time
async def test_leaving_at_once_on_each_request_comes_to_an_end() -> None:
    world = await with_a_best()
    dodger = Dodger(world, "mal")
    await dodger.burst(1)
    with suppress(TimeoutError):
        for _ in range(200):
            async with asyncio.timeout(10):
                await dodger.expect("blob_request")
            await dodger.link.close("bye")
            # Away for as long as the limit of registrations asks for, which costs no time here.
            world.manager._audits._answers.stop(MAL)
            await world.pass_ms(7_000)
            await dodger.connect()
    await world.pass_ms(50)

    assert forfeits(world, "mal") == [(Fault.OVERDUE, OVERDUE)]
    await world.close()


@virtual_time
async def test_no_time_to_answer_runs_while_nobody_reaches_the_manager() -> None:
    world = await with_a_best()
    mal = Dodger(world, "mal")
    await mal.burst(1)
    await mal.expect("blob_request")
    await mal.link.close("cable")
    await world.pass_ms(50)
    # All links break, and nobody comes back for long.
    world.network.stop("pool")
    await world.pass_ms(2 * ANSWER_MS)
    await begin_round(world, 2)
    assert world.manager._audits.owing() == {MAL}, "its work is held back meanwhile"
    assert forfeits(world, "mal") == []

    world.listen()
    await Player(world, "ann").connect()
    await world.pass_ms(ANSWER_MS - BLOB_TIMEOUT_MS - 1_000)
    await begin_round(world, 3)
    assert forfeits(world, "mal") == []
    await world.pass_ms(1_000)
    await begin_round(world, 4)
    assert forfeits(world, "mal") == [(Fault.OVERDUE, OVERDUE)]
    await world.close()


@virtual_time
async def test_a_first_epoch_is_repeated_without_the_miner() -> None:
    stuck: Any = Stuck(LoopClock(asyncio.get_running_loop()))
    world = PoolWorld(auditing=stuck)
    world.start_round()
    await (await Player(world, "ann").play()).work(1)
    names = (f"mal{number}" for number in range(40))
    epoch = -1
    while epoch != 0:
        name = next(names)
        mal = await RawMiner(world, name).connect()
        order = await mal.expect("assignment")
        states = tuple(blob_hash(bytes([epoch])) for epoch in range(TASK.epochs + 1))
        report = trained(order, 40, len(order.exploration.rewards))[0]
        await mal.send(report.but(states=states))
        await world.pass_ms(50)
        epoch = world.manager.state.audits[public(name)].audit.epoch
    await world.pass_ms(50)
    await mal.link.close("cable")
    await world.pass_ms(ANSWER_MS)
    world.manager.close_round()
    world.start_round(2)
    await world.pass_ms(100)

    assert public(name) in world.manager.state.audits
    assert public(name) not in world.manager._audits.owing()
    assert forfeits(world, name) == []
    await world.close()
