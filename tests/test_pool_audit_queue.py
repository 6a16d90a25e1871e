"""Audits that wait: one of a miner, whoever else wants one, and by the task of their round."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from nas.jobs import Job, Retrain
from node.chain.hashing import blob_hash, u64
from node.clock import Clock, LoopClock
from ponas.v1 import pool_service_pb2 as pb
from pool.decisions.members import decide_join
from pool.decisions.results import decide_acceptance
from pool.link.blobs import chunks
from pool.records import events
from pool.records.state import PoolState, RoundTask
from pool.records.strengths import Strength
from pool.records.transition import apply, apply_all
from pool.rules.audits import STATE_TIMEOUT_MS, precedes, state_timeout_ms
from pool.rules.delivery import Delivery
from pool.rules.reports import check
from tests.pool_states import handed_out, open_round, valid_report
from tests.pool_world import PHASE_MS, SPACE, TASK, PoolWorld, public
from tests.scripted import ScriptedExecutor
from tests.test_pool_manager import RawMiner, trained
from tests.virtual_time import virtual_time

SECRET = b"secret"


def credited(pool: PoolState, name: str, number: int) -> PoolState:
    """The state after one more share of a miner, with a model of its own."""
    report = valid_report(pool, name, 200)
    model = public(name)[:24] + u64(number)
    report = report.but(model_hash=model)
    checked = check(report, pool, public(name), 1_000)
    return apply(pool, decide_acceptance(pool, checked, SECRET, False, 1_000))


def test_strangers_do_not_keep_a_cheat_from_its_audit() -> None:
    names = [f"stranger {number}" for number in range(150)]
    pool = open_round()
    for name in (*names, "cheat"):
        pool = apply_all(pool, decide_join(pool, public(name), public(name), Strength.STRONG, 0))
    pool = handed_out(pool)
    for name in names:
        for number in range(10):
            pool = credited(pool, name, number)
        pool = apply(pool, events.PageClosed(0, 1, bytes(32)))

    assert set(pool.audits) == {public(name) for name in names}
    pool = credited(pool, "cheat", 0)
    assert pool.audits[public("cheat")].audit.miner == public("cheat")


def test_each_drawn_share_is_as_likely_to_be_the_one_that_is_audited() -> None:
    shares = [u64(number) for number in range(4)]
    kept: Counter[bytes] = Counter()
    for secret in range(2_000):
        waiting = shares[0]
        for share in shares[1:]:
            waiting = share if precedes(u64(secret), share, waiting) else waiting
        kept[waiting] += 1

    assert all(abs(kept[share] - 500) < 100 for share in shares)


def test_of_a_miners_drawn_shares_one_waits() -> None:
    pool = handed_out(open_round(strong="s"))
    waited = set()
    for number in range(10):
        pool = credited(pool, "s", number)
        (pending,) = pool.audits.values()
        waited.add(pending.audit.share)

    assert len(waited) > 1, "later shares take the place of earlier ones"
    done = events.ShareAudited(2_000, pending.audit, True, "")
    assert not apply(pool, done).audits
    other = pending.audit.but(share=b"another, which was replaced while it was audited")
    assert set(apply(pool, events.ShareAudited(2_000, other, True, "")).audits) == {public("s")}


@pytest.mark.parametrize(
    ("passed", "is_replaced", "unproven"),
    [(True, False, 0), (False, False, 1), (True, True, 1)],
    ids=["passed", "could not be done", "another waits"],
)
def test_only_the_audit_that_waits_proves_something_and_only_if_it_passes(
    passed: bool, is_replaced: bool, unproven: int
) -> None:
    pool = credited(handed_out(open_round(strong="s")), "s", 0)
    (pending,) = pool.audits.values()
    audit = pending.audit.but(share=b"replaced") if is_replaced else pending.audit

    pool = apply(pool, events.ShareAudited(2_000, audit, passed, ""))

    standing = pool.books.standing(public("s"))
    assert (standing.streak, standing.unproven) == (1 - unproven, unproven)
    assert bool(pool.audits) is is_replaced


def test_after_an_audit_that_could_not_be_done_the_newest_shares_are_unproven() -> None:
    pool = credited(handed_out(open_round(strong="s")), "s", 0)
    (pending,) = pool.audits.values()
    pool = apply(pool, events.ShareAudited(2_000, pending.audit, False, "no machine"))
    checked = check(valid_report(pool, "s", 200), pool, public("s"), 1_000)
    # A best needs no audit, since its model was counted.
    pool = apply(pool, decide_acceptance(pool, checked, SECRET, True, 1_000))

    assert not pool.audits
    standing = pool.books.standing(public("s"))
    assert (standing.streak, standing.unproven) == (0, 2)


class Watched(ScriptedExecutor):
    """Remembers its jobs."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.jobs: list[Job] = []

    async def run(self, job: Any) -> Any:
        self.jobs.append(job)
        return await super().run(job)


@virtual_time
async def test_a_share_is_audited_by_the_task_of_its_round() -> None:
    auditing = Watched(LoopClock(asyncio.get_running_loop()))
    world = PoolWorld(auditing=auditing)
    world.start_round()
    miner = await RawMiner(world, "s").connect()
    assignment = await miner.expect("assignment")
    await miner.deliver(assignment, 300)
    # Its audit is done in the next round only.
    audits = world.manager._audits
    audits._busy.add(public("s"))
    # Near chance, so that its training is repeated.
    states = {blob_hash(bytes([epoch])): bytes([epoch]) for epoch in range(TASK.epochs + 1)}
    await miner.send(trained(assignment, 40, 1)[0].but(states=tuple(states)))
    await world.pass_ms(100)
    world.manager.close_round()
    other = replace(TASK, epochs=3)
    world.manager.start_round(RoundTask(2, other, SPACE, world.clock.now_ms() + PHASE_MS))
    audits._busy.clear()
    world.manager._core.to_audit(public("s"))

    asked = (await miner.expect("blob_request")).hash
    for chunk in chunks(asked, states[asked]):
        await miner.link.send(pb.MineRequest(blob_chunk=chunk))
    await world.pass_ms(5_000)

    (job,) = auditing.jobs
    assert isinstance(job, Retrain)
    assert (job.train.task, job.state) == (TASK, states[asked])
    await world.close()


@pytest.mark.parametrize(
    ("delivery", "phase_ms", "expected_ms"),
    [
        (Delivery(), 1_000, STATE_TIMEOUT_MS),
        (Delivery(), 3_600_000, 7_200_000),
        (Delivery(10.0, 100_000.0), 3_600_000, STATE_TIMEOUT_MS),
        (Delivery(10.0, 2_000_000.0), 3_600_000, 800_000),
        (Delivery(1.0, 3_000_000.0), 3_600_000, 7_200_000),
    ],
)
def test_a_state_may_take_a_candidate_and_another_training(
    delivery: Delivery, phase_ms: int, expected_ms: int
) -> None:
    assert state_timeout_ms(delivery, phase_ms) == expected_ms
