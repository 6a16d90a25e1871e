"""A miner between pools that a test plays by hand: what it keeps, where it goes, what it says."""

import itertools
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from nas.jobs import Rewind, Train
from nas.task import Task
from node.chain.envelope import open_as
from node.chain.hashing import blob_hash
from node.chain.messages import Lease, LeaseAcceptance
from node.net.link import LinkClosed
from node.wire import envelope_from_proto
from ponas.v1 import pool_service_pb2 as pb
from pool.miner.failover import RETURN_AFTER_MS
from pool.miner.registration import WrongPool
from pool.miner.session import Declined
from pool.rules.audits import STATE_TIMEOUT_MS
from tests.hand_pool import HandPool, challenge_of, exploration, miner_of, with_lease
from tests.pool_world import NETWORK_ID, TASK, PoolWorld, no_promises, public
from tests.scripted import PRECISION, ScriptedExecutor
from tests.test_pool_miner import WatchedExecutor
from tests.virtual_time import virtual_time


class SlowRewinds(ScriptedExecutor):
    """Takes long to make a state again."""

    rewind_ms = 60_000

    async def run(self, job: Any) -> Any:
        if isinstance(job, Rewind):
            await self._clock.sleep_until(self._clock.now_ms() + self.rewind_ms)
        return await super().run(job)


WELCOME = pb.MineResponse(welcome=pb.Welcome(strength=pb.STRENGTH_STRONG, heartbeat_ms=2_000))


@virtual_time
async def test_a_miner_goes_down_its_list_and_comes_back_to_the_first() -> None:
    world = PoolWorld()
    first, second, own = (HandPool(world, name, name) for name in ("first", "second", "own"))
    miner = miner_of(world, (first, second), ScriptedExecutor(world.clock), own)
    world.spawn(miner.run(), "miner")
    seen: list[str] = []

    async def look(pass_ms: int) -> None:
        await world.pass_ms(pass_ms)
        seen.append(miner.status.pool)
        assert first.open + second.open + own.open <= 1, "it works for one at a time"

    await look(1_000)
    first.stop()
    await look(10_000)
    second.stop()
    await look(30_000)
    assert miner.alone.is_set()
    second.listen()
    await look(RETURN_AFTER_MS)
    first.listen()
    await look(RETURN_AFTER_MS + 100)

    assert seen == ["first", "second", "own", "second", "first"]
    assert not miner.alone.is_set()
    await world.close()


@virtual_time
async def test_a_miner_returns_from_its_own_pool_only_between_rounds() -> None:
    world = PoolWorld()
    pool, own = HandPool(world, "a", "a"), HandPool(world, "own", "own")
    own.orders = [exploration(1, remaining_ms=2 * RETURN_AFTER_MS)]
    pool.stop()
    miner = miner_of(world, (pool,), ScriptedExecutor(world.clock), own)
    world.spawn(miner.run(), "miner")
    await world.pass_ms(10_000)
    pool.listen()
    await world.pass_ms(RETURN_AFTER_MS + 30_000)
    assert miner.status.pool == "own"

    await world.pass_ms(RETURN_AFTER_MS)

    assert miner.status.pool == "a"
    await world.close()


@virtual_time
async def test_a_pool_of_another_network_is_skipped_and_said_to_be() -> None:
    world = PoolWorld()
    wrong, right = HandPool(world, "wrong", "w"), HandPool(world, "right", "r")
    wrong.challenge = challenge_of(network_id=bytes(32))
    miner = miner_of(world, (wrong, right), ScriptedExecutor(world.clock))
    with capture_logs() as logs:
        world.spawn(miner.run(), "miner")
        await world.pass_ms(1_000)

    skipped = [(log["pool"], log["reason"]) for log in logs if log["event"] == "pool_skipped"]
    assert [pool for pool, _ in skipped] == ["wrong"]
    assert "the pool is of network 0000" in skipped[0][1]
    assert miner.status.pool == "right"
    await world.close()


@virtual_time
async def test_a_list_of_wrong_pools_ends_the_miner() -> None:
    world = PoolWorld()
    pools = HandPool(world, "a", "a"), HandPool(world, "b", "b")
    pools[0].challenge = challenge_of(network_id=bytes(32))
    pools[1].challenge = challenge_of(version=9)
    miner = miner_of(world, pools, ScriptedExecutor(world.clock), HandPool(world, "own", "own"))
    with pytest.raises(WrongPool, match="the pool speaks version 9"):
        await miner.run()
    await world.close()


@virtual_time
async def test_a_miner_without_a_unit_says_that_it_can_not_mine_solo() -> None:
    world = PoolWorld()
    pool = HandPool(world, "a")
    pool.stop()
    miner = miner_of(world, (pool,), ScriptedExecutor(world.clock))
    world.spawn(miner.run(), "miner")
    await world.pass_ms(5_000)
    assert "nobody listens there" in miner.status.activity
    assert miner.status.activity.endswith("has no unit of its own to mine solo with")
    assert miner.status.is_idle
    await world.close()


@virtual_time
async def test_results_that_were_not_acknowledged_are_sent_again_and_not_made_again() -> None:
    world = PoolWorld()
    pool = HandPool(world, "a")
    pool.orders, pool.answer = [exploration(1)], None
    executor = WatchedExecutor(world.clock)
    miner = miner_of(world, (pool,), executor)
    world.spawn(miner.run(), "miner")
    await world.pass_ms(5_200)
    made, trained = [result.episode for result in pool.results], executor.jobs[Train]
    pool.stop()
    # The one candidate that was under way is finished, and no other begins.
    await world.pass_ms(200)
    assert miner.status.unacknowledged == len(made) > 2
    assert not miner.status.is_idle
    pool.results.clear()
    pool.answer = pool.accepted
    pool.listen()
    await world.pass_ms(2_000)

    again = [result.episode for result in pool.results]
    assert again[: len(made)] == made
    assert executor.jobs[Train] <= trained + 2
    assert miner.status.unacknowledged == 0
    await world.close()


@virtual_time
async def test_without_a_manager_the_candidate_under_way_is_finished_and_no_other_begins() -> None:
    world = PoolWorld()
    pool = HandPool(world, "a")
    pool.orders = [exploration(1, remaining_ms=60_000)]
    executor = WatchedExecutor(world.clock, train_ms=4_000)
    miner = miner_of(world, (pool,), executor)
    world.spawn(miner.run(), "miner")
    await world.pass_ms(2_000)
    jobs = executor.jobs[Train]
    assert executor.under_way == 1
    pool.stop()
    await world.pass_ms(30_000)

    assert executor.jobs[Train] == jobs
    assert miner.status.unacknowledged == 1
    assert "not connected to the pool" in miner.status.activity
    await world.close()


@virtual_time
async def test_a_lease_is_accepted_before_the_first_result() -> None:
    world = PoolWorld()
    pool = HandPool(world, "a")
    order = exploration(1, round_number=4)
    with_lease(order)
    pool.orders = [order]
    world.spawn(miner_of(world, (pool,), ScriptedExecutor(world.clock)).run(), "miner")
    await world.pass_ms(200)
    assert pool.results == []
    ((_, message),) = pool.others
    acceptance = open_as(LeaseAcceptance, envelope_from_proto(message.lease_acceptance), NETWORK_ID)
    lease = open_as(Lease, envelope_from_proto(order.assignment.lease), NETWORK_ID)
    assert (acceptance.signer, acceptance.message.lease) == (public("s"), lease.id)

    await world.pass_ms(5_000)

    assert pool.results
    await world.close()


@virtual_time
async def test_the_lease_of_a_nodes_own_manager_is_no_promise_to_another() -> None:
    world = PoolWorld()
    pool = HandPool(world, "a", manager="s")
    order = exploration(1)
    with_lease(order, manager="s")
    pool.orders = [order]
    promises = no_promises()
    promises.commit_alone(1)
    miner = miner_of(world, (pool,), ScriptedExecutor(world.clock), promises=promises)
    world.spawn(miner.run(), "miner")
    await world.pass_ms(3_000)
    assert pool.others[0][1].HasField("lease_acceptance")
    assert pool.results
    assert promises.commit_alone(1)
    await world.close()


@virtual_time
async def test_a_pool_whose_lease_does_not_fit_is_told_and_left() -> None:
    world = PoolWorld()
    pool = HandPool(world, "a")
    order = exploration(1)
    with_lease(order, manager="somebody else")
    pool.orders = [order]
    miner = miner_of(world, (pool,), ScriptedExecutor(world.clock))
    world.spawn(miner.run(), "miner")
    await world.pass_ms(200)
    assert "the lease is signed by another manager" in miner.status.activity
    assert pool.results == []
    await world.close()


@virtual_time
async def test_a_silent_miner_sends_heartbeats_and_a_busy_one_does_not() -> None:
    world = PoolWorld()
    pool = HandPool(world, "a")
    pool.orders = [WELCOME]
    world.spawn(miner_of(world, (pool,), ScriptedExecutor(world.clock)).run(), "miner")
    await world.pass_ms(10_100)
    beats = [at_ms for at_ms, message in pool.others if message.HasField("heartbeat")]
    assert [later - earlier for earlier, later in itertools.pairwise(beats)] == (
        pytest.approx([2_000] * 4, abs=20)
    )
    pool.others.clear()

    await pool.send(exploration(1))
    await world.pass_ms(15_000)

    assert len(pool.results) > 5
    assert pool.others == []
    await world.close()


@pytest.mark.parametrize("heartbeat_ms", [0, 1, 499, 600_001])
def test_a_heartbeat_that_is_a_flood_or_no_sign_of_life_is_refused(heartbeat_ms: int) -> None:
    @virtual_time
    async def run() -> None:
        world = PoolWorld()
        pool = HandPool(world, "a")
        welcome = pb.Welcome(strength=pb.STRENGTH_STRONG, heartbeat_ms=heartbeat_ms)
        pool.orders = [pb.MineResponse(welcome=welcome)]
        miner = miner_of(world, (pool,), ScriptedExecutor(world.clock))
        world.spawn(miner.run(), "miner")
        await world.pass_ms(200)
        assert f"a heartbeat every {heartbeat_ms} ms is no use" in miner.status.activity
        await world.close()

    run()


@virtual_time
async def test_an_order_sent_ahead_waits_for_its_start_and_ends_the_round_before() -> None:
    world = PoolWorld()
    pool = HandPool(world, "a")
    pool.orders = [
        exploration(1, round_number=1, remaining_ms=9_000),
        exploration(2, round_number=2, remaining_ms=30_000, starts_in_ms=10_000),
    ]
    executor = WatchedExecutor(world.clock)
    world.spawn(miner_of(world, (pool,), executor).run(), "miner")
    await world.pass_ms(8_500)
    assert {result.assignment_id for result in pool.results} == {1}
    await world.pass_ms(1_000)
    assert executor.under_way == 0
    await world.pass_ms(700)
    assert executor.under_way == 1
    await world.pass_ms(8_000)

    assert {result.assignment_id for result in pool.results} == {1, 2}
    await world.close()


@virtual_time
async def test_a_newer_order_replaces_one_that_waits() -> None:
    world = PoolWorld()
    pool = HandPool(world, "a")
    pool.orders = [
        exploration(1, round_number=2, starts_in_ms=3_000),
        exploration(2, round_number=2, starts_in_ms=3_000),
    ]
    miner = miner_of(world, (pool,), ScriptedExecutor(world.clock))
    world.spawn(miner.run(), "miner")
    await world.pass_ms(1_000)
    assert miner.status.activity == "idle: round 2 has not started yet"
    await world.pass_ms(9_000)
    assert {result.assignment_id for result in pool.results} == {2}
    await world.close()


@virtual_time
async def test_a_draining_pool_gets_the_candidate_and_is_left_alone_for_the_time_it_asked() -> None:
    world = PoolWorld()
    pool = HandPool(world, "a")
    pool.orders = [exploration(1)]
    executor = WatchedExecutor(world.clock, train_ms=3_000)
    miner = miner_of(world, (pool,), executor)
    world.spawn(miner.run(), "miner")
    await world.pass_ms(500)
    assert executor.under_way == 1
    await pool.send(pb.MineResponse(drain=pb.Drain(reason="an update", wait_ms=8_000)))
    await world.pass_ms(8_100)

    assert [result.epochs for result in pool.results][-1:] == [10]
    assert (pool.open, len(pool.registered)) == (0, 1)
    assert "the pool drains: an update" in miner.status.activity
    await world.pass_ms(7_800)
    assert len(pool.registered) == 1
    await world.pass_ms(8_300)
    assert len(pool.registered) == 2
    await world.close()


@virtual_time
async def test_a_paused_miner_leaves_after_its_candidate_until_it_is_resumed() -> None:
    world = PoolWorld()
    pool = HandPool(world, "a")
    pool.orders = [exploration(1, remaining_ms=200_000)]
    executor = WatchedExecutor(world.clock, train_ms=3_000)
    miner = miner_of(world, (pool,), executor)
    with capture_logs() as logs:
        world.spawn(miner.run(), "miner")
        await world.pass_ms(500)
        miner.pause()
        assert not miner.status.is_idle
        await world.pass_ms(8_200)
    results = len(pool.results)
    assert executor.under_way == 0
    assert miner.status.is_paused
    assert miner.status.is_idle
    assert miner.status.activity.startswith("idle: paused by its operator")
    assert (
        "paused by its operator"
        in [log for log in logs if log["event"] == "not_mining"][-1]["reason"]
    )

    await world.pass_ms(60_000)
    assert (len(pool.results), len(pool.registered), pool.open) == (results, 1, 0)
    miner.resume()
    await world.pass_ms(4_000)

    assert len(pool.registered) == 2
    assert len(pool.results) > results
    await world.close()


@pytest.mark.parametrize("state", [False, True])
@virtual_time
async def test_who_leaves_answers_for_its_last_results_first(state: bool) -> None:
    world = PoolWorld()
    pool = HandPool(world, "a")
    pool.orders = [exploration(1, remaining_ms=200_000)]
    executor = SlowRewinds(world.clock)
    miner = miner_of(world, (pool,), executor)
    world.spawn(miner.run(), "miner")
    await world.pass_ms(4_000)
    miner.pause()
    await world.pass_ms(3_000)
    last = next(result for result in reversed(pool.results) if result.epochs)
    pool.others.clear()
    hash_ = last.states[2] if state else last.model_hash
    await pool.send(pb.MineResponse(blob_request=pb.BlobRequest(hash=hash_)))
    await world.pass_ms(executor.rewind_ms + 500 if state else 500)

    (answer,) = [message.blob_chunk for _, message in pool.others if message.HasField("blob_chunk")]
    assert blob_hash(answer.data) == answer.hash == hash_
    assert pool.open == 1
    await world.pass_ms(5_000)
    assert pool.open == 0
    await world.close()


@virtual_time
async def test_a_pool_that_never_stops_asking_is_left_all_the_same() -> None:
    world = PoolWorld()
    pool = HandPool(world, "a")
    miner = miner_of(world, (pool,), ScriptedExecutor(world.clock))
    world.spawn(miner.run(), "miner")
    await world.pass_ms(1_000)
    miner.pause()
    with suppress(LinkClosed):
        for _ in range(200):
            await pool.send(pb.MineResponse(blob_request=pb.BlobRequest(hash=bytes(32))))
            await world.pass_ms(3_000)

    assert world.clock.now_ms() - pool.registered[0] < STATE_TIMEOUT_MS + 5_000
    await world.close()


@virtual_time
async def test_a_miner_that_is_paused_without_a_pool_does_not_dial() -> None:
    world = PoolWorld()
    pool = HandPool(world, "a")
    miner = miner_of(world, (pool,), ScriptedExecutor(world.clock))
    miner.pause()
    world.spawn(miner.run(), "miner")
    await world.pass_ms(60_000)
    assert pool.registered == []
    miner.resume()
    await world.pass_ms(100)
    assert len(pool.registered) == 1
    await world.close()


@virtual_time
async def test_a_state_that_an_audit_asks_for_is_made_again() -> None:
    world = PoolWorld()
    pool = HandPool(world, "a")
    pool.orders = [exploration(1)]
    executor = WatchedExecutor(world.clock)
    world.spawn(miner_of(world, (pool,), executor).run(), "miner")
    await world.pass_ms(4_000)
    trained = next(result for result in pool.results if result.epochs)
    assert (len(trained.states), trained.precision) == (trained.epochs + 1, PRECISION)
    pool.others.clear()
    for hash_ in (trained.states[2], bytes(32)):
        await pool.send(pb.MineResponse(blob_request=pb.BlobRequest(hash=hash_)))
    await world.pass_ms(3_000)

    chunks = [message.blob_chunk for _, message in pool.others]
    assert [blob_hash(chunk.data) for chunk in chunks if chunk.total] == [trained.states[2]]
    assert [chunk.hash for chunk in chunks if not chunk.total] == [bytes(32)]
    assert executor.jobs[Rewind] == 1
    await world.close()


@virtual_time
async def test_many_requests_for_states_are_answered_and_few_are_made() -> None:
    world = PoolWorld()
    pool = HandPool(world, "a")
    pool.orders = [exploration(1)]
    executor = WatchedExecutor(world.clock)
    world.spawn(miner_of(world, (pool,), executor).run(), "miner")
    await world.pass_ms(4_000)
    trained = next(result for result in pool.results if result.epochs)
    pool.others.clear()
    for _ in range(20):
        await pool.send(pb.MineResponse(blob_request=pb.BlobRequest(hash=trained.states[9])))
    await world.pass_ms(9_000)

    chunks = [message.blob_chunk for _, message in pool.others]
    assert len(chunks) == 20
    assert sum(chunk.total > 0 for chunk in chunks) == executor.jobs[Rewind] <= 5
    await world.close()


@virtual_time
async def test_a_state_that_can_not_be_made_is_said_to_be_missing() -> None:
    world = PoolWorld()
    pool = HandPool(world, "a")
    pool.orders = [exploration(1)]
    executor = WatchedExecutor(world.clock)
    world.spawn(miner_of(world, (pool,), executor).run(), "miner")
    await world.pass_ms(4_000)
    trained = next(result for result in pool.results if result.epochs)
    executor.failing = Rewind
    pool.others.clear()
    await pool.send(pb.MineResponse(blob_request=pb.BlobRequest(hash=trained.states[0])))
    await world.pass_ms(1_000)

    assert [message.blob_chunk.total for _, message in pool.others] == [0]
    await world.close()


@virtual_time
async def test_an_order_of_a_round_whose_task_this_node_does_not_know_is_refused() -> None:
    world = PoolWorld()
    pool = HandPool(world, "a")
    pool.orders = [exploration(1, round_number=7)]

    def task_of(round_number: int, data: str) -> Task:
        raise ValueError(f"round {round_number} is far ahead")

    executor = WatchedExecutor(world.clock)
    miner = miner_of(world, (pool,), executor, task_of=task_of)
    world.spawn(miner.run(), "miner")
    await world.pass_ms(200)
    assert "round 7 has no such task: round 7 is far ahead" in miner.status.activity
    assert executor.jobs[Train] == 0
    await world.close()


@virtual_time
async def test_an_order_that_the_miners_operator_declines_leaves_it_idle_in_the_pool() -> None:
    world = PoolWorld()
    pool = HandPool(world, "a")
    pool.orders = [exploration(1, round_number=7)]

    def task_of(round_number: int, data: str) -> Task:
        raise Declined(f"round {round_number} is of a publisher that is not to be mined for")

    executor = WatchedExecutor(world.clock)
    miner = miner_of(world, (pool,), executor, task_of=task_of)
    world.spawn(miner.run(), "miner")
    await world.pass_ms(200)
    assert miner.status.is_idle
    assert "not to be mined for" in miner.status.activity
    assert (miner.status.pool, executor.jobs[Train]) == ("a", 0)
    await world.close()


@virtual_time
async def test_rounds_may_have_different_tasks() -> None:
    world = PoolWorld()
    pool = HandPool(world, "a")
    pool.orders = [
        exploration(1, round_number=1, remaining_ms=4_000),
        exploration(2, round_number=2, remaining_ms=9_000, starts_in_ms=4_000),
    ]
    tasks = {1: TASK, 2: replace(TASK, max_mac_images=1)}
    executor = WatchedExecutor(world.clock)
    world.spawn(
        miner_of(world, (pool,), executor, task_of=lambda number, _: tasks[number]).run(), "miner"
    )
    await world.pass_ms(9_000)

    # Nothing that is feasible in round 1 is in round 2.
    assert any(result.epochs for result in pool.results if result.assignment_id == 1)
    assert {result.epochs for result in pool.results if result.assignment_id == 2} == {0}
    await world.close()


@virtual_time
async def test_a_miner_that_commits_alone_in_a_round_takes_no_lease_of_it() -> None:
    world = PoolWorld()
    pool = HandPool(world, "a")
    pool.orders = [exploration(number, round_number=number) for number in (3, 4)]
    for order in pool.orders:
        with_lease(order)
    promises = no_promises()
    promises.commit_alone(3)
    first, second = pool.orders
    pool.orders = [first]
    executor = WatchedExecutor(world.clock)
    miner = miner_of(world, (pool,), executor, promises=promises)
    world.spawn(miner.run(), "miner")
    await world.pass_ms(3_000)
    assert miner.status.activity == "idle: commits on its own in round 3, so that it takes no lease"
    assert (pool.others, pool.results) == ([], [])

    await pool.send(second)
    await world.pass_ms(3_000)
    assert {result.assignment_id for result in pool.results} == {4}
    await world.close()
