"""Whose audit comes when, and that nobody's silence keeps those of another sort waiting."""

from __future__ import annotations

import asyncio
from typing import Any, Never

import pytest

from nas.jobs import Job
from node.chain.hashing import blob_hash, u64
from node.clock import LoopClock
from pool.manager import audits as audits_module
from pool.manager.lanes import Lane, needs_state
from pool.rules.audits import AuditKind
from tests.pool_world import TASK, PoolWorld, public
from tests.scripted import ScriptedExecutor
from tests.test_pool_dodgers import ESTABLISHED, Dodger, with_a_best
from tests.test_pool_manager import RawMiner, trained
from tests.test_pool_swindles import Player
from tests.virtual_time import virtual_time

SHORT_MS = 1_000
"""Less than any time-out of a request."""


async def order_of(lane: Lane, count: int) -> list[bytes]:
    """The next `count` miners of a lane."""
    return [await lane.next() for _ in range(count)]


@virtual_time
async def test_who_has_waited_longest_comes_first_of_equals() -> None:
    lane = Lane(1, lambda _: (True, 0))
    for miner in [b"a", b"c", b"b", b"a"]:
        lane.add(miner)

    assert await order_of(lane, 3) == [b"a", b"c", b"b"]


@virtual_time
async def test_the_highest_rank_comes_first() -> None:
    ranks = {b"asked": (False, 9), b"small": (True, 1), b"large": (True, 5)}
    lane = Lane(1, ranks.__getitem__)
    for miner in ranks:
        lane.add(miner)

    assert await order_of(lane, 3) == [b"large", b"small", b"asked"]


@virtual_time
async def test_a_lane_waits_for_the_next_miner() -> None:
    lane = Lane(1, lambda _: (True, 0))
    waiting = asyncio.ensure_future(lane.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    lane.add(b"a")

    assert await waiting == b"a"


def test_only_a_later_epoch_needs_a_state() -> None:
    assert needs_state(AuditKind.RETRAIN, 1)
    assert not needs_state(AuditKind.RETRAIN, 0)
    assert not needs_state(AuditKind.COUNT, 1)


@pytest.fixture
def one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for one audit of each sort."""
    monkeypatch.setattr(audits_module, "MODELS_AT_A_TIME", 1)
    monkeypatch.setattr(audits_module, "STATES_AT_A_TIME", 1)


def establish(world: PoolWorld, name: str) -> None:
    """Let a miner have worked honestly in earlier rounds."""
    core = world.manager._core
    standings = core.pool.books.standings.set(public(name), ESTABLISHED)
    core.pool = core.pool.but(books=core.pool.books.__replace__(standings=standings))


async def asked_for_a_state(world: PoolWorld) -> None:
    """Let a newcomer be asked for a state, which it never gives."""
    for number in range(40):
        miner = await RawMiner(world, f"low{number}").connect()
        order = await miner.expect("assignment")
        model = blob_hash(u64(number))
        states = tuple(blob_hash(bytes([number, epoch])) for epoch in range(TASK.epochs + 1))
        report, _ = trained(order, 40, len(order.exploration.rewards))
        await miner.send(report.but(model_hash=model, states=states))
        await world.pass_ms(50)
        audit = world.manager.state.audits[public(f"low{number}")].audit
        if needs_state(audit.kind, audit.epoch):
            await miner.expect("blob_request")
            return
        await miner.link.close("bye")
    raise AssertionError("forty draws without a later epoch")


async def works(world: PoolWorld, name: str) -> bool:
    """Whether a miner that hands in a trained result is audited soon."""
    miner = await Player(world, name).play()
    episode = len(miner.order.exploration.rewards)
    await miner.hand_in(*trained(miner.order, 300, episode))
    await world.pass_ms(SHORT_MS)
    return public(name) not in world.manager.state.audits


@pytest.mark.usefixtures("one_place")
@virtual_time
async def test_newcomers_that_are_silent_keep_no_proven_miner_waiting() -> None:
    world = await with_a_best()
    await Dodger(world, "mal").burst(1)
    await world.pass_ms(50)
    establish(world, "old")

    assert await works(world, "old")
    assert not await works(world, "new"), "the one place of newcomers is taken"
    await world.close()


@pytest.mark.usefixtures("one_place")
@virtual_time
async def test_newcomers_that_owe_states_keep_no_newcomers_model_waiting() -> None:
    world = await with_a_best()
    await asked_for_a_state(world)

    assert await works(world, "new")
    await world.close()


@pytest.mark.usefixtures("one_place")
@virtual_time
async def test_of_newcomers_the_first_to_wait_is_audited_first() -> None:
    world = await with_a_best()
    stalls = Dodger(world, "stalls")
    await stalls.burst(1)
    await stalls.expect("blob_request")
    first, crowd = Dodger(world, "first"), Dodger(world, "crowd")
    await first.burst(1)
    await world.pass_ms(50)
    await crowd.burst(20)
    await world.pass_ms(50)
    await stalls.link.close("bye")
    await world.pass_ms(50)

    assert world.manager._audits._answers.is_asked(public("first"))
    assert not world.manager._audits._answers.is_asked(public("crowd"))
    await world.close()


@pytest.mark.usefixtures("one_place")
@virtual_time
async def test_who_has_another_audit_by_now_waits_in_its_lane() -> None:
    world = await with_a_best()
    await Dodger(world, "mal").burst(1)
    bob = Dodger(world, "bob")
    await bob.burst(1)
    await world.pass_ms(50)
    audits = world.manager._audits
    audits._lanes[True, True].add(public("bob"))
    await world.pass_ms(50)

    assert not audits._answers.is_asked(public("bob")), "states have a place, but it owes a model"
    await world.close()


class Slow(ScriptedExecutor):
    """Never ends what it begins, and remembers it."""

    def __init__(self, clock: LoopClock) -> None:
        super().__init__(clock)
        self.begun: list[Any] = []

    async def run(self, job: Job) -> Never:
        self.begun.append(job)
        while True:
            await asyncio.sleep(3_600)


@virtual_time
async def test_models_of_newcomers_hold_this_machine_one_at_a_time() -> None:
    slow: Any = Slow(LoopClock(asyncio.get_running_loop()))
    world = PoolWorld(auditing=slow)
    world.start_round()
    await (await Player(world, "ann").play()).work(1)
    assert not await works(world, "new1")
    assert not await works(world, "new2")
    assert len(slow.begun) == 1
    establish(world, "old")
    assert not await works(world, "old")

    assert len(slow.begun) == 2, "a proven miner has its own turn"
    await world.close()


@virtual_time
async def test_a_proven_miner_is_ranked_by_what_it_can_lose() -> None:
    world = await with_a_best()
    core, audits = world.manager._core, world.manager._audits
    for name, unpaid in (("small", 3), ("large", 5)):
        standing = ESTABLISHED.__replace__(unpaid=unpaid)
        standings = core.pool.books.standings.set(public(name), standing)
        core.pool = core.pool.but(books=core.pool.books.__replace__(standings=standings))

    assert audits._rank(public("large")) > audits._rank(public("small"))
    audits._answers.ask(public("large"), 1)
    assert audits._rank(public("large")) < audits._rank(public("small")), "it let the manager wait"
    await world.close()
