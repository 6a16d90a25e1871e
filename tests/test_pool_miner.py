"""Miners at work, in a pool in virtual time and against a pool driven by hand."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from immutables import Map
from structlog.testing import capture_logs

from nas.designs.space import Space
from nas.jobs import JobFailed, Propose, Train
from node.net.link import ManagerLink
from ponas.v1 import pool_service_pb2 as pb
from ponas.v1.types_pb2 import BlobChunk
from pool.link.wire import PROTOCOL_VERSION, assignment_to_wire
from pool.miner.miner import Miner, Route
from pool.miner.registration import WrongPool
from pool.records.state import PoolState, RoundTask
from pool.records.strengths import Strength
from pool.rules.strategy import NO_BEST_YET
from tests.pool_states import SUBSPACE, alive_design, handed_out, in_hand, open_round, round_of
from tests.pool_world import (
    NETWORK_ID,
    PHASE_MS,
    SPACE,
    TASK,
    PoolWorld,
    applicant,
    evidence_of,
    no_promises,
    public,
)
from tests.scripted import ScriptedExecutor
from tests.virtual_time import virtual_time


class WatchedExecutor(ScriptedExecutor):
    """A scripted executor that counts its jobs and can be told to fail some."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.jobs: Counter[type] = Counter()
        self.under_way = 0
        self.most_under_way = 0
        self.failing: type | None = None

    async def run(self, job: Any) -> Any:
        self.jobs[type(job)] += 1
        if type(job) is self.failing:
            raise JobFailed("out of memory")
        if not isinstance(job, Train):
            return await super().run(job)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await super().run(job)
        finally:
            self.under_way -= 1


def miner_of(state: PoolState, name: str) -> Any:
    return state.miners[public(name)]


# In a pool.


@virtual_time
async def test_a_weak_miners_improvement_is_shared_with_the_strong() -> None:
    world = PoolWorld(seed=1)
    world.start_round()
    world.add_miner("s", Strength.STRONG)
    world.add_miner("w", Strength.WEAK, ScriptedExecutor(world.clock, train_ms=6_000))
    with capture_logs() as logs:
        await world.pass_ms(PHASE_MS)

    state = world.manager.state
    best = round_of(state).best
    assert best is not None
    assert best.from_weak_miner
    assert best.finder == public("w")
    assert state.weak_improvements >= 1
    # Both miners hear of every confirmed best.
    shared = [log["correct"] for log in logs if log["event"] == "best_shared"]
    assert shared.count(best.correct) == 2
    # The weak miner never held a subspace.
    assert [search.owner for search in round_of(state).searches.values()] == [public("s")]
    confirmed = world.manager.best()
    assert confirmed is not None
    assert {line.address for line in confirmed.lines} == {public("s"), public("w")}
    await world.close()


@virtual_time
async def test_a_strong_miner_dies_in_mid_phase_and_its_work_is_paid() -> None:
    world = PoolWorld(seed=3)
    world.start_round()
    world.add_miner("s", Strength.STRONG)
    await world.pass_ms(13_000)
    await world.kill("s")
    await world.pass_ms(100)
    died = miner_of(world.manager.state, "s")
    searches = round_of(world.manager.state).searches
    number = [search.owner for _, search in sorted(searches.items())].index(public("s"))
    rewards = searches[number].rewards
    world.add_miner("u", Strength.STRONG)
    await world.pass_ms(PHASE_MS - 13_100)
    world.manager.close_round()

    assert not died.connected
    assert died.work > 0
    best = world.manager.best()
    assert best is not None
    assert public("s") in {line.address for line in best.lines}
    # The newcomer went on where the dead miner's search had stopped.
    search = round_of(world.manager.state).searches[number]
    assert search.holder == public("u")
    assert search.rewards[: len(rewards)] == rewards
    assert len(search.rewards) > len(rewards)
    assert miner_of(world.manager.state, "u").refused == Map()
    await world.close()


@virtual_time
async def test_a_backup_goes_on_with_the_search_of_a_miner_that_dies() -> None:
    world = PoolWorld(seed=3)
    world.start_round()
    for name in "stu":
        world.add_miner(name, Strength.STRONG)
    await world.pass_ms(16_000)
    backups = dict(round_of(world.manager.state).backups)
    (lost, backup), *_ = backups.items()
    names = {public(name): name for name in "stu"}
    number = miner_of(world.manager.state, names[lost]).own
    own = miner_of(world.manager.state, names[backup]).own
    await world.kill(names[lost])
    await world.pass_ms(100)
    before = round_of(world.manager.state).searches[number].rewards
    await world.pass_ms(5_000)

    round_ = round_of(world.manager.state)
    assert miner_of(world.manager.state, names[backup]).covers == number
    assert round_.searches[number].holder == backup
    assert round_.searches[number].owner == lost, "the lease stays the lost miner's"
    assert round_.searches[number].rewards[: len(before)] == before
    assert len(round_.searches[number].rewards) > len(before)
    assert round_.searches[own].holder == b"", "the backup's own lease is parked"

    world.add_miner(names[lost], Strength.STRONG)
    await world.pass_ms(4_000)
    round_ = round_of(world.manager.state)
    assert (round_.searches[number].holder, round_.searches[own].holder) == (lost, backup)
    refused = {names[key]: dict(miner.refused) for key, miner in world.manager.state.miners.items()}
    assert refused == {"s": {}, "t": {}, "u": {}}
    await world.close()


@virtual_time
async def test_a_miner_that_comes_back_goes_on_with_its_search() -> None:
    world = PoolWorld()
    world.start_round()
    world.add_miner("s", Strength.STRONG)
    await world.pass_ms(8_000)
    await world.kill("s")
    done = len(round_of(world.manager.state).searches[0].rewards)
    world.add_miner("s", Strength.STRONG)
    await world.pass_ms(8_000)

    state = world.manager.state
    assert len(round_of(state).searches) == 1
    assert len(round_of(state).searches[0].rewards) > done > 0
    assert miner_of(state, "s").refused == Map()
    await world.close()


@virtual_time
async def test_searching_side_by_side_keeps_the_order_of_results() -> None:
    world = PoolWorld()
    world.start_round()
    executor = WatchedExecutor(world.clock)
    world.add_miner("s", Strength.STRONG, executor, workers=3)
    await world.pass_ms(PHASE_MS)

    miner = miner_of(world.manager.state, "s")
    assert executor.most_under_way == 3
    assert miner.accepted > 2 * PHASE_MS // 1_500
    assert miner.refused == Map()
    await world.close()


@virtual_time
async def test_nothing_runs_after_the_end_of_the_phase() -> None:
    world = PoolWorld()
    world.start_round()
    executor = WatchedExecutor(world.clock)
    miner = world.add_miner("s", Strength.STRONG, executor)
    await world.pass_ms(PHASE_MS - 100)
    assert executor.under_way == 1

    await world.pass_ms(150)

    jobs = executor.jobs.copy()
    assert executor.under_way == 0
    assert miner.status.activity == "idle: the train phase of round 1 is over"
    await world.pass_ms(60_000)
    assert executor.jobs == jobs
    await world.close()


@virtual_time
async def test_rounds_follow_each_other() -> None:
    world = PoolWorld()
    world.add_miner("s", Strength.STRONG)
    for number in (1, 2, 3):
        world.start_round(number)
        await world.pass_ms(PHASE_MS)
        world.manager.close_round()
        best = world.manager.best()
        assert best is not None
        assert best.round == number
        await world.pass_ms(14_000)

    assert miner_of(world.manager.state, "s").refused == Map()
    await world.close()


@virtual_time
async def test_a_weak_miner_says_why_it_idles() -> None:
    world = PoolWorld()
    world.start_round()
    world.add_miner("s", Strength.STRONG)
    await world.pass_ms(500)
    with capture_logs() as logs:
        weak = world.add_miner("w", Strength.WEAK)
        await world.pass_ms(500)

    assert weak.status.activity == f"idle: {NO_BEST_YET}"
    warnings = [log for log in logs if log["log_level"] == "warning"]
    assert [(log["event"], log["reason"]) for log in warnings] == [("not_mining", NO_BEST_YET)]
    await world.close()


@virtual_time
async def test_weak_miners_alone_explore_and_then_exploit() -> None:
    world = PoolWorld()
    world.start_round()
    world.add_miner("w", Strength.WEAK)
    await world.pass_ms(PHASE_MS)

    state = world.manager.state
    assert len(round_of(state).searches[0].rewards) >= 5
    assert miner_of(state, "w").refused == Map()
    assert in_hand(state, "w").seed != round_of(state).searches[0].seed
    await world.close()


@virtual_time
async def test_a_miner_waits_for_a_pool_that_is_not_there() -> None:
    world = PoolWorld()
    world.network.stop("pool")
    world.start_round()
    miner = world.add_miner("s", Strength.STRONG)
    await world.pass_ms(5_000)
    assert "not connected to the pool" in miner.status.activity
    assert "nobody listens there" in miner.status.activity

    world.network.listen("pool", _hang_up, world.manager.serve)
    await world.pass_ms(15_000)

    assert miner_of(world.manager.state, "s").accepted > 0
    await world.close()


@virtual_time
async def test_a_candidate_that_fails_is_reported_and_the_search_goes_on() -> None:
    world = PoolWorld()
    world.start_round()
    executor = WatchedExecutor(world.clock)
    executor.failing = Train
    world.add_miner("s", Strength.STRONG, executor)
    await world.pass_ms(2_000)
    failed = miner_of(world.manager.state, "s").accepted
    executor.failing = None
    await world.pass_ms(5_000)

    miner = miner_of(world.manager.state, "s")
    assert failed > 0
    assert miner.best_correct > 0
    assert miner.refused == Map()
    await world.close()


@virtual_time
async def test_a_search_that_fails_is_asked_for_anew() -> None:
    world = PoolWorld()
    world.start_round()
    executor = WatchedExecutor(world.clock)
    executor.failing = Propose
    world.add_miner("s", Strength.STRONG, executor)
    await world.pass_ms(2_000)
    executor.failing = None
    await world.pass_ms(10_000)

    miner = miner_of(world.manager.state, "s")
    assert executor.jobs[Propose] > 2
    assert miner.connected
    assert miner.accepted > 0
    await world.close()


@virtual_time
async def test_a_design_that_is_proposed_again_is_not_trained_again() -> None:
    world = PoolWorld()
    genotype = alive_design()
    only = Space(tuple(tuple((token,) for token in layer.tokens) for layer in genotype.layers))
    uniform = Space((only.ranges[0],) * 3)
    world.manager.start_round(RoundTask(1, TASK, uniform, PHASE_MS))
    executor = WatchedExecutor(world.clock)
    world.add_miner("s", Strength.STRONG, executor)
    await world.pass_ms(3_000)

    miner = miner_of(world.manager.state, "s")
    assert executor.jobs[Train] == 1
    assert miner.accepted > 5
    assert miner.work == sum(world.manager.state.books.earned.values())
    await world.close()


@virtual_time
async def test_dead_designs_are_reported_without_training() -> None:
    world = PoolWorld()
    # Weights of one bit in every second design: dead after the first layer.
    space = Space.uniform(3, [*SPACE.ranges[0][:8], (1,), (0, 3)])
    task = replace(TASK, space=space)
    world.manager.start_round(RoundTask(1, task, space, PHASE_MS))
    executor = WatchedExecutor(world.clock)
    world.add_miner("s", Strength.STRONG, executor, task=task)
    await world.pass_ms(10_000)

    miner = miner_of(world.manager.state, "s")
    rewards = round_of(world.manager.state).searches[0].rewards
    assert rewards.count(36 / 360) > 0, "a dead design earns what a guess does"
    assert executor.jobs[Train] < miner.accepted
    assert miner.refused == Map()
    await world.close()


# Against a pool driven by hand.

OnMiner = Callable[[ManagerLink], Awaitable[None]]


async def _hang_up(link: Any) -> None:
    await link.close("this is a pool only")


def challenge(network_id: bytes = NETWORK_ID, version: int = PROTOCOL_VERSION) -> pb.MineResponse:
    return pb.MineResponse(
        challenge=pb.Challenge(
            nonce=bytes(32), network_id=network_id, protocol_version=version, manager=bytes(32)
        )
    )


def miner_at(world: PoolWorld, serve: OnMiner, executor: ScriptedExecutor) -> Miner:
    """A miner of the pool at `raw`, which `serve` plays."""
    world.network.listen("raw", _hang_up, serve)
    return Miner(
        applicant=applicant("s", Strength.STRONG),
        routes=(Route("raw", partial(world.network.transport("s").dial_pool, "raw")),),
        task_of=lambda _, data: TASK,
        executor=executor,
        clock=world.clock,
        rng=random.Random(1),
        promises=no_promises(),
        evidence=evidence_of("s"),
    )


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (challenge(network_id=bytes(32)), "the pool is of network 00"),
        (challenge(version=9), "the pool speaks version 9"),
    ],
)
def test_a_pool_of_another_network_or_version_is_given_up(
    message: pb.MineResponse, reason: str
) -> None:
    @virtual_time
    async def run() -> None:
        world = PoolWorld()

        async def serve(link: ManagerLink) -> None:
            await link.send(message)
            await link.receive()

        miner = miner_at(world, serve, WatchedExecutor(world.clock))
        with pytest.raises(WrongPool, match=reason):
            await miner.run()
        await world.close()

    run()


@pytest.mark.parametrize("field", ["nonce", "manager", "network_id"])
@pytest.mark.parametrize("value", [b"", b"short", bytes(33)])
def test_a_challenge_with_a_field_of_another_length_is_not_answered(
    field: str, value: bytes
) -> None:
    message = challenge()
    setattr(message.challenge, field, value)

    @virtual_time
    async def run() -> None:
        assert "are not all 32 bytes" in await reasons_of([message])

    run()


def assignment(round_number: int, remaining_ms: int = 20_000) -> pb.MineResponse:
    """An exploration of SUBSPACE with the round's number as id."""
    pool = handed_out(open_round(strong="s"))
    message = assignment_to_wire(in_hand(pool, "s"), round_of(pool), 0)
    message.id = message.round = round_number
    message.remaining_ms = remaining_ms
    return pb.MineResponse(assignment=message)


async def reasons_of(messages: list[pb.MineResponse]) -> str:
    """What the miner says it idles for after a pool has sent these messages."""
    world = PoolWorld()

    async def serve(link: ManagerLink) -> None:
        for message in messages:
            await link.send(message)
        while True:
            await link.receive()

    miner = miner_at(world, serve, WatchedExecutor(world.clock))
    world.spawn(miner.run(), "miner")
    await world.pass_ms(200)
    await world.close()
    return miner.status.activity


def exploitation_without_weights() -> pb.MineResponse:
    message = assignment(1)
    subspace = message.assignment.exploration.subspace
    message.assignment.exploitation.space.CopyFrom(subspace)
    message.assignment.exploitation.genotype = alive_design(SUBSPACE).to_bytes()
    message.assignment.exploitation.weights_hash = bytes(32)
    return message


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([pb.MineResponse(idle=pb.Idle())], "did not begin with a challenge"),
        ([challenge(), assignment(1, 0), pb.MineResponse(assignment=pb.Assignment())], "no sense"),
        ([challenge(), pb.MineResponse(welcome=pb.Welcome())], "0 is no strength"),
        ([challenge(), challenge()], "challenge is not expected"),
        ([challenge(), pb.MineResponse()], "None is not expected"),
    ],
)
def test_a_pool_that_talks_nonsense_is_left(messages: list[pb.MineResponse], reason: str) -> None:
    @virtual_time
    async def run() -> None:
        activity = await reasons_of(messages)
        assert activity.startswith("idle: not connected to the pool")
        assert reason in activity

    run()


@virtual_time
async def test_a_pool_without_a_challenge_is_left_in_time() -> None:
    world = PoolWorld()

    async def serve(link: ManagerLink) -> None:
        await link.receive()

    miner = miner_at(world, serve, WatchedExecutor(world.clock))
    world.spawn(miner.run(), "miner")
    await world.pass_ms(10_100)

    assert "the pool sent no challenge" in miner.status.activity
    await world.close()


@virtual_time
async def test_without_the_weights_the_miner_connects_again() -> None:
    world = PoolWorld()
    connections: list[str] = []

    async def serve(link: ManagerLink) -> None:
        connections.append(link.remote)
        await link.send(challenge())
        await link.send(exploitation_without_weights())
        while not (await link.receive()).HasField("blob_request"):
            pass
        await link.send(pb.MineResponse(blob_chunk=BlobChunk(hash=bytes(32))))
        await link.receive()

    miner = miner_at(world, serve, WatchedExecutor(world.clock))
    world.spawn(miner.run(), "miner")
    await world.pass_ms(300)

    assert "the work stopped: the other side does not have it" in miner.status.activity
    await world.pass_ms(5_000)
    assert len(connections) > 1
    await world.close()


@virtual_time
async def test_work_of_another_round_is_begun_at_once() -> None:
    world = PoolWorld()
    results: list[pb.Result] = []

    async def serve(link: ManagerLink) -> None:
        await link.send(challenge())
        await link.send(assignment(1))
        await world.pass_ms(5_000)
        await link.send(assignment(2))
        while True:
            message = await link.receive()
            results.append(message.result)

    executor = WatchedExecutor(world.clock, train_ms=8_000)
    miner = miner_at(world, serve, executor)
    world.spawn(miner.run(), "miner")
    await world.pass_ms(5_500)
    assert executor.under_way == 1
    assert miner.status.activity == "works on assignment 2 of round 2"

    await world.pass_ms(9_000)
    trained = [result for result in results if result.epochs]
    assert [result.assignment_id for result in trained] == [2]
    await world.close()


@virtual_time
async def test_newer_work_of_the_same_round_waits_for_the_candidate() -> None:
    world = PoolWorld()
    results: list[pb.Result] = []

    async def serve(link: ManagerLink) -> None:
        first, second = assignment(1), assignment(1)
        second.assignment.id = 2
        second.assignment.exploration.search_seed += 1
        await link.send(challenge())
        await link.send(first)
        await world.pass_ms(5_000)
        await link.send(second)
        while True:
            results.append((await link.receive()).result)

    miner = miner_at(world, serve, WatchedExecutor(world.clock, train_ms=8_000))
    world.spawn(miner.run(), "miner")
    await world.pass_ms(19_000)

    trained = [result.assignment_id for result in results if result.epochs]
    assert trained == [1, 2]
    await world.close()


@virtual_time
async def test_a_refused_result_is_said_loudly() -> None:
    world = PoolWorld()

    async def serve(link: ManagerLink) -> None:
        await link.send(challenge())
        await link.send(
            pb.MineResponse(
                acknowledgement=pb.Acknowledgement(
                    acceptance=pb.ACCEPTANCE_REFUSED, reason="size: wrong"
                )
            )
        )
        await asyncio.Event().wait()

    miner = miner_at(world, serve, WatchedExecutor(world.clock))
    with capture_logs() as logs:
        world.spawn(miner.run(), "miner")
        await world.pass_ms(500)

    refused = [log for log in logs if log["event"] == "result_not_accepted"]
    assert [(log["log_level"], log["reason"]) for log in refused] == [("warning", "size: wrong")]
    await world.close()


@virtual_time
async def test_an_acknowledgement_of_an_unknown_kind_is_only_logged() -> None:
    world = PoolWorld()

    async def serve(link: ManagerLink) -> None:
        await link.send(challenge())
        await link.send(pb.MineResponse(acknowledgement=pb.Acknowledgement(acceptance=_open(77))))
        await asyncio.Event().wait()

    miner = miner_at(world, serve, WatchedExecutor(world.clock))
    with capture_logs() as logs:
        world.spawn(miner.run(), "miner")
        await world.pass_ms(500)

    assert [log.get("acceptance") for log in logs] == ["unknown (77)"]
    await world.close()


def _open(value: int) -> Any:
    """proto3 enums are open: a value that the generated types don't know."""
    return value


class BrokenExecutor(ScriptedExecutor):
    """Fails as no executor may."""

    async def run(self, job: Any) -> Any:
        raise RuntimeError("nobody thought of this")


@virtual_time
async def test_an_unforeseen_failure_costs_only_the_connection() -> None:
    world = PoolWorld()
    dialled_ms: list[int] = []

    async def serve(link: ManagerLink) -> None:
        dialled_ms.append(world.clock.now_ms())
        await link.send(challenge())
        await link.send(
            pb.MineResponse(welcome=pb.Welcome(strength=pb.STRENGTH_STRONG, heartbeat_ms=1_000))
        )
        await link.send(assignment(1))
        await asyncio.Event().wait()

    miner = miner_at(world, serve, BrokenExecutor(world.clock))
    with capture_logs() as logs:
        running = world.spawn(miner.run(), "miner")
        await world.pass_ms(120_000)

    assert not running.done()
    faults = [log for log in logs if log["event"] == "pool_at_fault"]
    assert len(faults) == len(dialled_ms)
    assert "RuntimeError('nobody thought of this')" in faults[0]["reason"]
    # Longer and longer waits, up to 15 s, though the pool welcomed the miner each time.
    waits = [later - sooner for sooner, later in itertools.pairwise(dialled_ms)]
    assert waits[0] < 1_000
    assert all(wait > 7_000 for wait in waits[6:])
    assert len(waits) > 7
    await world.close()


@virtual_time
async def test_after_a_link_that_held_the_miner_is_back_at_once() -> None:
    world = PoolWorld()
    world.network.stop("pool")
    miner = world.add_miner("s", Strength.STRONG)
    await world.pass_ms(60_000)
    world.network.listen("pool", _hang_up, world.manager.serve)
    await world.pass_ms(40_000)
    assert miner_of(world.manager.state, "s").connected
    world.network.stop("pool")
    world.network.listen("pool", _hang_up, world.manager.serve)
    await world.pass_ms(600)

    assert miner_of(world.manager.state, "s").connected
    assert "idle: no round" in miner.status.activity
    await world.close()


class SlowToStop(ScriptedExecutor):
    """Takes a second to drop a job, as a worker process may."""

    async def run(self, job: Any) -> Any:
        try:
            return await super().run(job)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
            raise


@virtual_time
async def test_work_that_comes_while_the_old_is_still_being_dropped_is_taken_up() -> None:
    world = PoolWorld()
    connections: list[str] = []

    async def serve(link: ManagerLink) -> None:
        connections.append(link.remote)
        await link.send(challenge())
        await link.send(assignment(1, remaining_ms=300))
        await world.pass_ms(800)
        await link.send(assignment(2))
        while True:
            await link.receive()

    miner = miner_at(world, serve, SlowToStop(world.clock))
    world.spawn(miner.run(), "miner")
    await world.pass_ms(3_000)

    assert connections == ["s"]
    assert miner.status.activity == "works on assignment 2 of round 2"
    await world.close()
