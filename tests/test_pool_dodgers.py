"""Who shows no model is not paid: neither by leaving, nor by coming back, nor by being late."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Never

import pytest

from nas.jobs import Job
from node.chain.commits import compute_payout_root
from node.chain.envelope import sign
from node.chain.hashing import blob_hash, u64
from node.chain.messages import Commit
from node.clock import Clock, LoopClock
from node.net.link import LinkClosed
from ponas.v1 import pool_service_pb2 as pb
from pool.decisions.admission import refuse_join
from pool.decisions.pay import LEASE_BROKEN, OVERDUE
from pool.manager import core as core_module
from pool.manager.audits import BLOB_TIMEOUT_MS
from pool.proofs.recount import held_of_log, lines_of_log
from pool.proofs.sharelog import Held, Page, open_page
from pool.proofs.shelf import PageShelf
from pool.records import events
from pool.rules.appraisal import Standing
from pool.rules.audits import ANSWER_MS, CERTAIN_SHARES, Fault
from pool.rules.pace import Pace
from pool.rules.reports import Report
from tests.pool_world import NETWORK_ID, PHASE_MS, PoolWorld, key_of, public
from tests.scripted import ScriptedExecutor
from tests.test_pool_manager import RawMiner, trained
from tests.test_pool_pay import claim_of, of_kind
from tests.test_pool_swindles import Player, assert_nobody_else_loses, played
from tests.virtual_time import virtual_time

MAL = public("mal")
BURST = 30


def invented(order: pb.Assignment, episode: int) -> Report:
    """A result of no training: nobody has its model."""
    return trained(order, 200, episode)[0].but(model_hash=blob_hash(u64(order.id) + u64(episode)))


class Dodger(RawMiner):
    """Sends a burst of invented results, and is never there when a model has to come."""

    asked = 0

    async def burst(self, shares: int = BURST) -> None:
        """Everything that it ever hands in."""
        await self.connect()
        order = await self.expect("assignment")
        for episode in range(shares):
            await self.send(invented(order, episode))

    async def dodge(self) -> None:
        """Burst, and hang up just before each time-out."""
        with suppress(LinkClosed):
            await self.burst()
            await self._stall()
        while True:
            with suppress(LinkClosed):
                await self._world.pass_ms(500)
                await self.connect()
                await self._stall()

    async def _stall(self) -> None:
        await self.expect("blob_request")
        self.asked += 1
        await self._world.pass_ms(9_000)
        await self.link.close("bye")


async def with_a_best() -> PoolWorld:
    """A round in which `ann` has found a best that nobody here claims to beat."""
    world = PoolWorld()
    world.start_round()
    await (await Player(world, "ann").play()).work(1)
    return world


async def begin_round(world: PoolWorld, number: int) -> None:
    """End the round, and let the manager look at the next one."""
    world.manager.close_round()
    world.start_round(number)
    await world.pass_ms(100)


@virtual_time
async def test_hit_and_run_earns_nothing() -> None:
    async def hit_and_run(mal: Player) -> None:
        again = Dodger(mal.world, "mal")
        await again.burst()
        await mal.world.pass_ms(100)
        await again.link.close("bye")

    outcome = await played(hit_and_run)

    assert len(outcome.of_cheater(events.ResultAccepted)) == BURST
    await assert_nobody_else_loses(outcome)


@virtual_time
async def test_hanging_up_before_each_time_out_earns_nothing() -> None:
    async def dodge(mal: Player) -> None:
        mal.world.spawn(Dodger(mal.world, "mal").dodge(), "dodger")
        await mal.world.pass_ms(10_000)

    outcome = await played(dodge)

    assert len(outcome.of_cheater(events.ResultAccepted)) == BURST
    await assert_nobody_else_loses(outcome)


@virtual_time
async def test_a_burst_before_the_end_earns_nothing() -> None:
    world = PoolWorld()
    world.start_round()
    ann = await Player(world, "ann").play()
    await ann.work(2)
    honest = world.manager.best()
    await Dodger(world, "mal").burst()
    await world.pass_ms(50)
    world.manager.close_round()
    best = world.manager.best()

    assert world.manager.state.miners[MAL].accepted == BURST
    assert honest is not None
    assert best is not None
    assert best.lines == honest.lines
    assert best.held == (Held(MAL, BURST),)
    await world.close()


@virtual_time
async def test_the_time_to_answer_ends_while_a_miner_hangs_up_and_comes_back() -> None:
    world = await with_a_best()
    dodger = Dodger(world, "mal")
    world.spawn(dodger.dodge(), "dodger")
    await world.pass_ms(ANSWER_MS // 3)
    assert dodger.asked > 10
    assert not of_kind(world, events.WorkForfeited)

    await world.pass_ms(ANSWER_MS // 3)
    (lost,) = of_kind(world, events.WorkForfeited)
    assert (lost.miner, lost.reason) == (MAL, Fault.OVERDUE)
    await world.close()


@virtual_time
async def test_who_comes_back_too_late_is_not_asked_again() -> None:
    world = await with_a_best()
    dodger = Dodger(world, "mal")
    await dodger.burst(1)
    await dodger.expect("blob_request")
    await dodger.link.close("bye")
    await world.pass_ms(ANSWER_MS)
    assert not of_kind(world, events.WorkForfeited)
    await dodger.connect()
    await world.pass_ms(100)

    (lost,) = of_kind(world, events.WorkForfeited)
    assert (lost.miner, lost.reason, lost.detail) == (MAL, Fault.OVERDUE, OVERDUE)
    await world.close()


@virtual_time
async def test_who_comes_back_too_late_forfeits_at_the_next_round_although_it_is_here() -> None:
    world = await with_a_best()
    dodger = Dodger(world, "mal")
    await dodger.burst(1)
    await dodger.expect("blob_request")
    await dodger.link.close("bye")
    await world.pass_ms(ANSWER_MS)
    # It is back, but this machine is busy with its audits.
    world.manager._audits._busy.add(MAL)
    await dodger.connect()
    await begin_round(world, 2)

    (lost,) = of_kind(world, events.WorkForfeited)
    assert (lost.miner, lost.detail) == (MAL, OVERDUE)
    assert set(world.manager.state.books.past[0].work) == {public("ann") * 2}
    await world.close()


@virtual_time
async def test_who_leaves_before_it_is_asked_forfeits_all_the_same() -> None:
    world = await with_a_best()
    world.manager._audits._busy.add(MAL)
    dodger = Dodger(world, "mal")
    await dodger.burst(1)
    await world.pass_ms(50)
    await dodger.link.close("bye")
    await world.pass_ms(50)
    world.manager._audits._busy.clear()
    world.manager._core.to_audit(MAL)
    await world.pass_ms(ANSWER_MS)
    await begin_round(world, 2)

    assert [lost.detail for lost in of_kind(world, events.WorkForfeited)] == [OVERDUE]
    await world.close()


@virtual_time
async def test_who_never_comes_back_after_a_restart_forfeits_later() -> None:
    world = await with_a_best()
    dodger = Dodger(world, "mal")
    await dodger.burst(1)
    await dodger.expect("blob_request")
    await world.crash_manager()
    world.start_manager()
    await Player(world, "ann").connect()
    await world.pass_ms(ANSWER_MS - 1_000)
    world.start_round(2)
    await world.pass_ms(2_000)
    assert not of_kind(world, events.WorkForfeited)
    await begin_round(world, 3)

    assert [lost.detail for lost in of_kind(world, events.WorkForfeited)] == [OVERDUE]
    await world.close()


@virtual_time
async def test_who_has_lost_its_work_otherwise_is_asked_anew() -> None:
    world = await with_a_best()
    dodger = Dodger(world, "mal")
    await dodger.burst(1)
    await dodger.expect("blob_request")
    world.manager.on_commit(sign(Commit(1, 0, bytes(32)), key_of("mal"), NETWORK_ID))
    await world.pass_ms(ANSWER_MS + 1_000)
    world.manager.close_round()
    world.start_round(2)
    ann = await Player(world, "ann").play()
    await ann.work(1)
    again = Dodger(world, "mal")
    await again.burst(1)

    assert await again.expect("blob_request")
    assert [lost.reason for lost in of_kind(world, events.WorkForfeited)] == [LEASE_BROKEN]
    await world.close()


@virtual_time
async def test_an_honest_miner_that_comes_back_in_time_is_paid_afterwards() -> None:
    world = await with_a_best()
    bob = await RawMiner(world, "bob").connect()
    report, model = trained(await bob.expect("assignment"), 300)
    await bob.send(report)
    await bob.expect("blob_request")
    await bob.link.close("cable")
    await world.pass_ms(PHASE_MS)
    before = world.manager.best()
    await bob.connect()
    await bob.serve_blob(model)
    await world.pass_ms(500)
    after = world.manager.best()

    assert before is not None
    assert after is not None
    assert public("bob") not in {line.address for line in before.lines}
    assert public("bob") in {line.address for line in after.lines}
    assert after.held == ()
    await world.close()


@virtual_time
async def test_a_burst_makes_nobody_established() -> None:
    world = await with_a_best()
    dodger = Dodger(world, "mal")
    await dodger.burst()
    await world.pass_ms(100)
    standing = world.manager.state.books.standing(MAL)
    crowded = world.manager.state.but(strong=11_000)

    assert (standing.streak, standing.unproven) == (0, BURST)
    await dodger.link.close("bye")
    await world.pass_ms(100)
    refused = refuse_join(crowded, public("other"), 0), refuse_join(crowded, MAL, 0)
    assert refused[0] == ("pool-full", "the pool serves 10000 such miners at most")
    # It counts as connected in the crowded pool, where it has its place.
    assert refused[1] is None
    await world.close()


@virtual_time
async def test_a_passed_audit_proves_all_shares_that_could_have_been_the_one() -> None:
    world = PoolWorld()
    world.start_round()
    ann = await Player(world, "ann").play()
    await ann.work(5)

    standing = world.manager.state.books.standing(public("ann"))
    assert (standing.streak, standing.unproven) == (5, 0)
    await world.close()


def established(rounds: int) -> Standing:
    """Of a miner with a proven streak from so many rounds."""
    return Standing(CERTAIN_SHARES, 0, Pace(past=((10**18, PHASE_MS),) * rounds))


ESTABLISHED = established(2)


async def with_established(
    world: PoolWorld, standing: Standing = ESTABLISHED
) -> tuple[RawMiner, pb.Assignment]:
    """A miner `mal` that has worked honestly before, and its order."""
    core = world.manager._core
    standings = core.pool.books.standings.set(MAL, standing)
    core.pool = core.pool.but(books=core.pool.books.__replace__(standings=standings))
    world.start_round()
    ann = await Player(world, "ann").play()
    await ann.work(1)
    miner = await RawMiner(world, "mal").connect()
    return miner, await miner.expect("assignment")


def paid(world: PoolWorld) -> bool:
    """Whether a block of now would pay `mal`."""
    best = world.manager.best()
    assert best is not None
    assert (MAL in {line.address for line in best.lines}) is not (Held(MAL, 1) in best.held)
    return not best.held


@virtual_time
async def test_who_has_let_a_request_pass_is_held_back_however_established() -> None:
    world = PoolWorld()
    miner, order = await with_established(world)
    await miner.send(invented(order, 0))
    await miner.expect("blob_request")
    assert paid(world), "the answer may be on its way"

    await miner.link.close("bye")
    await world.pass_ms(BLOB_TIMEOUT_MS)
    assert not paid(world)
    await miner.connect()
    await miner.expect("blob_request")
    assert not paid(world), "it has let one request pass"
    await world.close()


@virtual_time
async def test_work_that_waits_for_the_manager_is_paid() -> None:
    world = PoolWorld()
    miner, order = await with_established(world)
    world.manager._audits._busy.add(MAL)
    await miner.send(invented(order, 0))
    await world.pass_ms(100)
    assert MAL in world.manager.state.audits
    assert paid(world)

    # Until it leaves: then the audit waits for the miner.
    await miner.link.close("bye")
    await world.pass_ms(100)
    assert not paid(world)
    await world.close()


@virtual_time
async def test_work_of_a_first_round_waits_for_the_manager_however_long_the_streak() -> None:
    world = PoolWorld()
    miner, order = await with_established(world, established(0))
    world.manager._audits._busy.add(MAL)
    await miner.send(invented(order, 0))
    await world.pass_ms(100)
    assert MAL in world.manager.state.audits
    # A commitment is made once the round has ended.
    world.manager.close_round()

    assert not paid(world)
    await world.close()


class Stuck(ScriptedExecutor):
    """A machine that never comes to an end."""

    async def run(self, job: Job) -> Never:
        while True:
            await asyncio.sleep(3_600)


@virtual_time
async def test_who_has_answered_is_paid_however_long_the_count_takes() -> None:
    clock: Clock = LoopClock(asyncio.get_running_loop())
    stuck: Any = Stuck(clock)
    world = PoolWorld(auditing=stuck)
    miner, order = await with_established(world)
    world.manager._audits._busy.clear()
    report, model = trained(order, 300)
    await miner.send(report)
    await miner.serve_blob(model)
    await world.pass_ms(500)
    held = {entry.miner for entry in (world.manager.best() or pytest.fail("no best")).held}

    assert MAL not in held
    assert public("ann") not in held, "its one share was confirmed"
    await world.close()


@virtual_time
async def test_the_log_names_everybody_whose_work_is_held_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(core_module, "MAX_HELD", 2)
    world = await with_a_best()
    names = [f"mal{number}" for number in range(5)]
    for name in names:
        await Dodger(world, name).burst(1)
    await world.pass_ms(100)
    best = world.manager.best()
    assert best is not None
    claim = claim_of(best.model, best.genotype.to_bytes(), compute_payout_root(best.lines))
    await world.manager.promise(claim, best, b"c" * 32)

    promise = world.manager.state.promise
    assert promise is not None
    pages = pages_of(world, promise.share_log)
    assert [len(page.held) for page in pages] == [2, 2, 1]
    assert {entry.miner for entry in held_of_log(pages)} == set(map(public, names))
    assert lines_of_log(pages) == best.lines
    assert {line.address for line in best.lines} == {public("ann")}
    await world.close()


def pages_of(world: PoolWorld, share_log: bytes) -> list[Page]:
    """The log that ends with this page, old to new."""
    data = PageShelf(world.store).page(share_log)
    if data is None:
        return []
    page = open_page(data, share_log)
    return [*pages_of(world, page.before), page]
