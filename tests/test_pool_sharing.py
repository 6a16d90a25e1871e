"""What a pool shares of its best, and with whom: strangers get no weights to take elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from nas.data.published import PublishedData
from nas.designs.shapes import InputShape
from nas.jobs import Train
from nas.task import Task
from node.chain.envelope import open_as, sign
from node.chain.messages import Commit, Lease
from node.wire import envelope_from_proto
from ponas.v1 import pool_service_pb2 as pb
from ponas.v1.types_pb2 import BlobChunk
from pool.decisions.pay import LEASE_BROKEN
from pool.decisions.results import PRECISION, decide_acceptance
from pool.link.leases import subspace_hash
from pool.records import events
from pool.records.books import Books
from pool.records.refusals import Refusal
from pool.records.state import Exploitation, PoolState, RoundTask
from pool.records.strengths import Strength
from pool.records.transition import apply
from pool.rules.appraisal import Standing
from pool.rules.audits import CERTAIN_SHARES, AuditKind
from pool.rules.reports import Refused, check
from pool.rules.strategy import step_of
from tests.pool_states import (
    after,
    best_of,
    handed_out,
    in_hand,
    open_round,
    round_of,
    valid_report,
    with_leases,
)
from tests.pool_world import NETWORK_ID, PHASE_MS, SPACE, TASK, PoolWorld, key_of, public
from tests.scripted import ScriptedExecutor
from tests.test_pool_manager import RawMiner
from tests.virtual_time import virtual_time

# The shape and sizes of digits.
DATA = PublishedData(bytes(32), InputShape(1, 8, 8), 10, 1_077, 360, 360, ((5_000, 2_500),))
PUBLISHED = replace(TASK, dataset=DATA.name)
W = public("w")


class NotingExecutor(ScriptedExecutor):
    """Notes with which weights trainings begin."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.begun_with: list[bytes | None] = []

    async def run(self, job: Any) -> Any:
        if isinstance(job, Train):
            self.begun_with.append(job.initial_weights)
        return await super().run(job)


def with_a_base(task: Task, streak: int) -> PoolState:
    """A pool with a base in a round of the task, and weak miner `w` with so long a streak."""
    pool = handed_out(open_round(strong="s", weak="w"))
    round_ = round_of(pool)
    books = Books(standings=pool.books.standings.set(W, Standing(streak)))
    pool = pool.but(round=round_.but(task=round_.task.but(task=task)), books=books)
    return after(pool, events.BestConfirmed(0, best_of("s")), events.BaseArrived(0, best_of("s")))


@pytest.mark.parametrize(
    ("task", "streak", "gives_weights"),
    [
        (PUBLISHED, CERTAIN_SHARES, True),
        (PUBLISHED, CERTAIN_SHARES - 1, False),
        (TASK, 0, True),
    ],
    ids=["proven", "stranger", "standing task"],
)
def test_weights_of_a_published_task_are_for_miners_with_a_streak(
    task: Task, streak: int, gives_weights: bool
) -> None:
    pool = with_a_base(task, streak)

    assert step_of(pool, pool.miners[W]) == Exploitation(best_of("s"), gives_weights)
    assert in_hand(pool, "w").work == Exploitation(best_of("s"), gives_weights)


async def start(world: PoolWorld, task: Task) -> None:
    """Open a round of the task and wait until strong miner `s` is in it."""
    world.manager.start_round(RoundTask(1, task, SPACE, world.clock.now_ms() + PHASE_MS))
    world.add_miner("s", Strength.STRONG, task=task)
    await world.pass_ms(100)


async def asked_for(miner: RawMiner, hash_: bytes) -> BlobChunk:
    """What comes of asking the manager for a blob."""
    await miner.link.send(pb.MineRequest(blob_request=pb.BlobRequest(hash=hash_)))
    chunk: BlobChunk = await miner.expect("blob_chunk")
    return chunk


@virtual_time
async def test_a_stranger_gets_no_weights_of_a_published_task_and_promises_not_to_defect() -> None:
    world = PoolWorld()
    await start(world, PUBLISHED)
    mal = await RawMiner(world, "w").connect(Strength.WEAK)
    order = await mal.expect("assignment")
    base = round_of(world.manager.state).base
    assert base is not None
    assert order.exploitation.genotype == base.genotype.to_bytes()
    assert order.exploitation.weights_hash == b""
    assert (await asked_for(mal, base.weights_hash)).total == 0

    commit = sign(Commit(1, 0, bytes(32)), key_of("w"), NETWORK_ID)
    evidence = world.manager.on_commit(commit)
    await world.pass_ms(100)

    lease = open_as(Lease, envelope_from_proto(order.lease), NETWORK_ID).message
    assert (lease.subspace_hash, lease.miner) == (subspace_hash(SPACE), W)
    assert len(evidence) == 3
    (lost,) = [e for e in world.history() if isinstance(e, events.WorkForfeited)]
    assert (lost.miner, lost.reason) == (W, LEASE_BROKEN)
    await world.close()


@virtual_time
async def test_a_stranger_trains_from_scratch_until_it_has_a_streak() -> None:
    world = PoolWorld()
    await start(world, PUBLISHED)
    executor = NotingExecutor(world.clock, 1_000)
    world.add_miner("w", Strength.WEAK, executor, task=PUBLISHED)
    await world.pass_ms(PHASE_MS)

    strange = executor.begun_with.index(next(filter(None, executor.begun_with)))
    assert strange >= CERTAIN_SHARES
    assert all(executor.begun_with[strange:])
    weak = world.manager.state.miners[W]
    assert weak.accepted > CERTAIN_SHARES
    assert dict(weak.refused) == {}
    audited = [e for e in world.history() if isinstance(e, events.ShareAudited)]
    assert any(event.audit.miner == W for event in audited)
    assert all(event.passed for event in audited)
    await world.close()


@virtual_time
async def test_weights_are_for_who_has_accepted_the_lease() -> None:
    world = PoolWorld()
    await start(world, TASK)
    weak = RawMiner(world, "w")
    weak.accepts_leases = False
    await weak.connect(Strength.WEAK)
    hash_ = (await weak.expect("assignment")).exploitation.weights_hash

    assert hash_
    assert (await asked_for(weak, hash_)).total == 0
    await world.close()


def test_an_improvement_under_a_lease_that_is_not_accepted_is_refused() -> None:
    pool = with_a_base(TASK, streak=0)
    accepted = in_hand(pool, "w")
    miner = pool.miners[W].but(given=(accepted.but(is_accepted=False),))
    report = valid_report(pool, "w")
    pool = pool.but(miners=pool.miners.set(W, miner))

    with pytest.raises(Refused) as refusal:
        check(report, pool, W, 1_000)

    assert refusal.value.reason is Refusal.LEASE_NOT_ACCEPTED
    assert not refusal.value.takes_place


@pytest.mark.parametrize("gives_weights", [True, False])
def test_a_repetition_begins_with_the_weights_that_the_training_began_with(
    gives_weights: bool,
) -> None:
    pool = with_a_base(TASK, streak=0)
    work = Exploitation(best_of("s"), gives_weights)
    given = events.ExploitationGiven(0, W, pool.next_assignment, work)
    pool = with_leases(apply(pool, given))
    # Fewer than three times chance: its count says nothing, so that an epoch is repeated.
    report = valid_report(pool, "w", correct=40).but(precision=PRECISION)

    result = decide_acceptance(pool, check(report, pool, W, 1_000), b"secret", False, 1_000)

    assert result.audit is not None
    assert result.audit.kind is AuditKind.RETRAIN
    assert result.audit.weights_hash == (best_of("s").weights_hash if gives_weights else b"")
