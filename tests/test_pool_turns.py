"""Confirmations in turns: a few at a time, the highest claim first, newcomers apart."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import pytest

from nas.jobs import Count
from node.clock import Clock, LoopClock
from node.net.link import LinkClosed
from node.tasks import TaskOwner
from ponas.v1 import pool_service_pb2 as pb
from pool.decisions.results import PRECISION
from pool.manager import results
from pool.manager.turns import Turns
from pool.records.refusals import Refusal
from pool.records.state import Exploration
from pool.rules.appraisal import Standing
from pool.rules.audits import CERTAIN_SHARES
from tests.pool_world import PoolWorld, public
from tests.scripted import ScriptedExecutor
from tests.test_pool_manager import RawMiner, refused, trained
from tests.virtual_time import virtual_time


class Counting(ScriptedExecutor):
    """Remembers how many models were counted, and how many at a time."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.counted = self.now = self.most = 0

    async def run(self, job: Any) -> Any:
        if isinstance(job, Count):
            self.counted += 1
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            return await super().run(job)
        finally:
            self.now -= isinstance(job, Count)


async def connected(world: PoolWorld, names: Iterable[str]) -> list[tuple[RawMiner, Any]]:
    """Miners with their first orders."""
    miners = [await RawMiner(world, name).connect() for name in names]
    return [(miner, await miner.expect("assignment")) for miner in miners]


async def claim(miner: RawMiner, order: pb.Assignment, correct: int) -> pb.Acknowledgement:
    """The answer to a claim whose model is there when it is asked for."""
    report, model = trained(order, correct)
    await miner.send(report)
    while (message := await miner.receive()).WhichOneof("content") != "acknowledgement":
        if message.HasField("blob_request"):
            is_model = message.blob_request.hash == report.model_hash
            miner._skipped.insert(0, message)
            await miner.serve_blob(model if is_model else b"weights")
    return message.acknowledgement


@virtual_time
async def test_the_highest_claim_is_looked_into_first_and_the_overtaken_not_at_all() -> None:
    counting = Counting(LoopClock(asyncio.get_running_loop()))
    world = PoolWorld(executor=counting)
    world.start_round()
    miners = await connected(world, [f"m{number}" for number in range(30)])
    answers = await asyncio.gather(
        *(claim(miner, order, 300 + at) for at, (miner, order) in enumerate(miners))
    )

    assert {answer.acceptance for answer in answers} == {pb.ACCEPTANCE_ACCEPTED}
    assert counting.most <= results.CONFIRMATIONS
    # Those that came first, and then the highest of all.
    assert counting.counted <= results.CONFIRMATIONS + 2
    best = world.manager.best()
    assert best is not None
    assert best.correct == 329
    await world.close()


@virtual_time
async def test_newcomers_that_claim_everything_do_not_hold_up_who_has_worked() -> None:
    world = PoolWorld()
    world.start_round()
    names = [f"liar {number}" for number in range(2 * results.CONFIRMATIONS)]
    liars = await connected(world, names)
    ((honest, order),) = await connected(world, ["honest"])
    pool = world.manager.state
    worked = pool.books.standings.set(public("honest"), Standing(streak=CERTAIN_SHARES))
    books = type(pool.books)(standings=worked)
    world.manager._core.pool = pool.but(books=books)
    for liar, order_of_liar in liars:
        # Their models never come.
        await liar.send(trained(order_of_liar, 360)[0])
    await world.pass_ms(100)
    asked_ms = world.clock.now_ms()

    answer = await claim(honest, order, 310)

    assert answer.acceptance == pb.ACCEPTANCE_ACCEPTED
    assert world.clock.now_ms() - asked_ms < 1_000
    await world.close()


@virtual_time
async def test_a_refuted_claim_costs_points_and_the_next_one_waits_behind_others() -> None:
    world = PoolWorld()
    world.start_round()
    ((liar, order), (honest, honest_order)) = await connected(world, ["liar", "honest"])
    await liar.send(trained(order, 360)[0])
    await liar.serve_blob(None)
    await liar.expect("acknowledgement")
    assert refused(world, "liar") == {Refusal.MODEL_MISSING: 1}
    desk = world.manager._results
    asked: list[tuple[int, ...]] = []
    desk._newcomers.taken = Watched(asked, desk._newcomers)  # type: ignore[method-assign]
    await liar.send(trained(order, 360, episode=1)[0])
    await honest.send(trained(honest_order, 300)[0])
    await world.pass_ms(100)

    of_liar, of_honest = asked
    assert of_liar < of_honest
    assert isinstance(world.manager.state.miners[public("liar")].given[-1].work, Exploration)
    await world.close()


@virtual_time
async def test_a_claim_does_not_wait_for_a_state_that_its_miner_makes() -> None:
    world = PoolWorld()
    world.start_round()
    ((first, order),) = await connected(world, ["first"])
    await first.deliver(order, 310)
    names = (f"m{number}" for number in range(40))
    state = b""
    while not state:
        # For the first epoch no state is asked for.
        ((miner, order),) = await connected(world, [next(names)])
        low, _ = trained(order, 20, len(order.exploration.rewards))
        await miner.send(low.but(precision=PRECISION))
        with suppress(TimeoutError, LinkClosed):
            async with asyncio.timeout(1):
                state = (await miner.expect("blob_request")).hash
    assert state in low.states
    report, model = trained(order, 350, low.episode + 1)
    await miner.send(report)
    async with asyncio.timeout(1):
        await miner.serve_blob(model)
        await miner.expect("acknowledgement")
        await world.pass_ms(500)

    best = world.manager.best()
    assert best is not None
    assert best.correct == 350
    await world.close()


class Watched:
    """Remembers the ranks that were asked for."""

    def __init__(self, asked: list[tuple[int, ...]], turns: Turns) -> None:
        self._asked, self._taken = asked, turns.taken

    def __call__(self, rank: tuple[int, ...]) -> Any:
        self._asked.append(rank)
        return self._taken(rank)


async def test_turns_go_by_rank_and_none_is_lost_to_who_gave_up() -> None:
    turns, order, tasks = Turns(1), list[str](), TaskOwner()

    async def take(name: str, *rank: int) -> None:
        async with turns.taken(rank):
            order.append(name)
            await asyncio.sleep(0)

    waiting = [
        tasks.spawn(take(name, *rank), name=name)
        for name, rank in {"first": (0, 0), "low": (0, 1), "liar": (-9, 9), "high": (0, 2)}.items()
    ]
    gone = tasks.spawn(take("gone", 5, 5), name="gone")
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(*waiting)
    await take("later", 0)

    assert order == ["first", "high", "low", "liar", "later"]


async def test_a_turn_that_came_as_its_waiter_gave_up_is_passed_on() -> None:
    turns = Turns(1)
    holder = turns.taken((0,))
    await holder.__aenter__()

    async def take() -> None:
        async with turns.taken((1,)):
            pass

    waiter = TaskOwner().spawn(take(), name="waiter")
    await asyncio.sleep(0)
    await holder.__aexit__(None, None, None)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter

    async with asyncio.timeout(1):
        await take()
