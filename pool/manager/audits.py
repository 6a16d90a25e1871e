"""Audits of drawn shares, one of a miner at a time, beside everything else.

A model is asked for and counted, or an epoch of its training is repeated. A miner that is away is
waited for, until its time to answer is over; that stops while a miner here waits to be asked, or
nobody is here at all. What this machine fails to do is nobody's fault.

Miners with a proven streak have their own places and turns, and so have audits that need a state.
64 keys that let the manager wait ten seconds each, or 256 of which states are asked, keep newcomers
of the same sort waiting, and nobody else. Of the proven those come first that have most shares to
lose, and last who was asked before and left; of newcomers who has waited longest.
"""

from __future__ import annotations

import asyncio
from functools import partial

import structlog

from nas.data.datasets import describe
from nas.designs.genotype import Genotype
from nas.evaluation.model_format import model_length
from nas.jobs import Count, Executor, FailureKind, JobFailed, Retrain, Rewind, Train
from nas.task import Task
from node.chain.hashing import blob_hash
from pool.decisions.pay import OVERDUE, decide_fault, decide_overdue
from pool.link.blobs import BlobError, max_weights_bytes
from pool.manager.answers import Answers
from pool.manager.core import Core
from pool.manager.lanes import MODELS_AT_A_TIME, STATES_AT_A_TIME, Lane, Rank, needs_state
from pool.records import events
from pool.records.state import Audit, Pending
from pool.rules.appraisal import is_newcomer
from pool.rules.audits import (
    AuditKind,
    Fault,
    answer_ms,
    judge_count,
    judge_repetition,
    missing,
    state_timeout_ms,
)
from pool.rules.delivery import Delivery

BLOB_TIMEOUT_MS = 10_000
"""How long a miner may take to hand over a model, and what leaving instead costs of its time."""

# Weights, batch statistics and momentum: a state is longer than the weights alone.
_STATE_FACTOR = 3

_FAULTS = {
    FailureKind.MODEL_FORMAT: Fault.MODEL_FORMAT,
    FailureKind.MODEL_TOO_WIDE: Fault.MODEL_FORMAT,
    FailureKind.WEIGHTS: Fault.STATE_DIFFERS,
}

_log = structlog.get_logger("pool.audits")


def _by_arrival(_: bytes) -> Rank:
    return True, 0


class Away(Exception):
    """The miner has left before it could answer; its audit waits for it."""


class Failed(Exception):
    """A share that did not pass; `fault` is the rule."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault


class Audits:
    """Works off the audits of `core.pool`; `executor` counts and repeats on a CPU."""

    def __init__(self, core: Core, executor: Executor) -> None:
        self._core = core
        self._executor = executor
        self._busy: set[bytes] = set()
        self._answers = Answers(core.steady)
        sorts = [(is_new, is_long) for is_new in (False, True) for is_long in (False, True)]
        self._lanes = {
            (is_new, is_long): Lane(
                STATES_AT_A_TIME if is_long else MODELS_AT_A_TIME,
                _by_arrival if is_new else self._rank,
            )
            for is_new, is_long in sorts
        }

    async def run(self) -> None:
        """Audit whatever is drawn, until cancelled."""
        for miner in self._core.pool.audits:
            self._core.to_audit(miner)
        async with asyncio.TaskGroup() as group:
            for lane in self._lanes.values():
                group.create_task(self._work_off(lane, group))
            while True:
                await self._core.drawn.wait()
                self._core.drawn.clear()
                self._sort()

    def owing(self) -> frozenset[bytes]:
        """Miners whose audits wait for them."""
        here = self._core.sessions
        audits = self._core.pool.audits
        return frozenset(miner for miner in audits if self._answers.is_owed(miner, here))

    def forfeit_overdue(self) -> None:
        """Take the work of those back that have not answered in time, here or not."""
        overdue, now_ms = self._answers.overdue(self._core.sessions), self._core.now_ms()
        for lost in decide_overdue(self._core.pool, overdue, now_ms):
            self.forfeit(lost)

    def forfeit(self, lost: events.WorkForfeited) -> None:
        """Take a miner's work back, with whatever was to be audited of it."""
        self._answers.settle(lost.miner)
        self._core.forfeit(lost)

    def _sort(self) -> None:
        """Let those here wait in the lanes of their audits, and the time of those away run."""
        for miner in self._core.waiting:
            pending = self._core.pool.audits.get(miner)
            # Who is busy waits anew when that is done.
            if pending is None or miner in self._busy:
                continue
            if self._is_here(miner):
                self._answers.stop(miner)
                self._lane(pending.audit).add(miner)
            elif self._core.sessions:
                self._answers.run(miner, self._answer_ms)
            else:
                # It may be this machine that nobody can reach.
                self._answers.stop(miner)
        self._core.waiting.clear()

    def _lane(self, audit: Audit) -> Lane:
        standing = self._core.pool.books.standing(audit.miner)
        return self._lanes[is_newcomer(standing), needs_state(audit.kind, audit.epoch)]

    async def _work_off(self, lane: Lane, group: asyncio.TaskGroup) -> None:
        while True:
            await lane.places.acquire()
            pending = await self._next(lane)
            self._busy.add(pending.audit.miner)
            done = group.create_task(self._audit(pending, lane))
            done.add_done_callback(partial(self._on_done, pending.audit.miner, lane))

    def _on_done(self, miner: bytes, lane: Lane, _: asyncio.Task[None]) -> None:
        self._busy.discard(miner)
        # Another of its shares may have been drawn meanwhile, and it may have left.
        self._core.to_audit(miner)
        lane.places.release()

    async def _next(self, lane: Lane) -> Pending:
        """The next audit of a lane whose miner is here and not busy with another."""
        while True:
            miner = await lane.next()
            pending = self._core.pool.audits.get(miner)
            if pending is None or not self._is_ready(miner):
                continue
            # Another of its shares may wait by now, or the miner be no newcomer any more.
            if (other := self._lane(pending.audit)) is lane:
                return pending
            other.add(miner)

    def _rank(self, miner: bytes) -> Rank:
        unpaid = self._core.pool.books.standing(miner).unpaid
        return not self._answers.is_asked(miner), unpaid

    def _is_ready(self, miner: bytes) -> bool:
        return self._is_here(miner) and miner not in self._busy

    def _is_here(self, miner: bytes) -> bool:
        session = self._core.sessions.get(miner)
        return session is not None and not session.channel.has_ended

    async def _audit(self, pending: Pending, lane: Lane) -> None:
        audit, detail = pending.audit, ""
        try:
            await self._check(audit, pending.task, lane)
        except Away:
            return
        except Failed as failed:
            self._answers.settle(audit.miner)
            self._fail(audit, failed)
            return
        except JobFailed as error:
            detail = f"this machine could not do it: {error}"
            _log.error("audit_not_done", reason=str(error))
        self._answers.settle(audit.miner)
        if audit.miner in self._core.pool.audits:
            now_ms, passed = self._core.now_ms(), not detail
            self._core.happen(events.ShareAudited(now_ms, audit, passed, detail))

    def _fail(self, audit: Audit, failed: Failed) -> None:
        # Whose work was forfeited meanwhile has no audit left.
        if audit.miner not in self._core.pool.audits:
            return
        _log.warning(
            "audit_failed",
            miner=audit.miner.hex(),
            reason=str(failed.fault),
            detail=str(failed),
        )
        now_ms = self._core.now_ms()
        self.forfeit(decide_fault(audit, failed.fault, str(failed), now_ms))

    async def _check(self, audit: Audit, task: Task, lane: Lane) -> None:
        """Raises Failed or Away, or JobFailed when this machine is at fault."""
        try:
            if audit.kind is AuditKind.COUNT:
                await self._count(audit, task, lane)
            else:
                await self._repeat(audit, task, lane)
        except JobFailed as error:
            fault = _FAULTS.get(error.kind)
            if fault is None:
                raise
            raise Failed(fault, str(error)) from error

    async def _count(self, audit: Audit, task: Task, lane: Lane) -> None:
        info, genotype = describe(task.dataset), Genotype.from_bytes(audit.genotype)
        length = model_length(genotype, info.shape, info.classes)
        model = await self._fetch(audit, audit.model_hash, length, BLOB_TIMEOUT_MS)
        async with lane.machine:
            counted = await self._executor.run(Count(task.dataset, "validation", genotype, model))
        fault = judge_count(audit.correct, counted.correct)
        if fault is not None:
            raise Failed(fault, f"the model counts {counted.correct}, not {audit.correct}")

    async def _repeat(self, audit: Audit, task: Task, lane: Lane) -> None:
        info, genotype = describe(task.dataset), Genotype.from_bytes(audit.genotype)
        weights = self._core.journal.blobs.get(audit.weights_hash)
        if audit.weights_hash and weights is None:
            raise JobFailed("the weights that it was trained from are gone")
        train = Train(task, genotype, audit.training_seed, audit.epochs, weights)
        before = b""
        if audit.epoch == 0:
            self._answers.arrived(audit.miner)
        else:
            model_bytes = model_length(genotype, info.shape, info.classes)
            most = _STATE_FACTOR * max_weights_bytes(model_bytes)
            before = await self._fetch(audit, audit.states[0], most, self._state_timeout_ms(audit))
        async with lane.machine:
            if audit.epoch == 0:
                before = (await self._executor.run(Rewind(train, 0))).state
            reached = (await self._executor.run(Retrain(train, audit.epoch, before))).state
        fault = judge_repetition(audit.states, 0, blob_hash(reached))
        if fault is not None:
            raise Failed(fault, f"epoch {audit.epoch} does not lead to the state that was named")

    def _state_timeout_ms(self, audit: Audit) -> int:
        miner = self._core.pool.miners.get(audit.miner)
        return state_timeout_ms(Delivery() if miner is None else miner.delivery, self._phase_ms)

    @property
    def _phase_ms(self) -> int:
        round_ = self._core.pool.round
        return 0 if round_ is None else round_.task.phase_ms

    @property
    def _answer_ms(self) -> int:
        return answer_ms(self._phase_ms)

    async def _fetch(self, audit: Audit, hash_: bytes, max_bytes: int, timeout_ms: int) -> bytes:
        session = self._core.sessions.get(audit.miner)
        if session is None:
            raise Away
        asked_ms = self._ask(audit, timeout_ms)
        try:
            blob = await session.channel.fetch(hash_, max_bytes, asked_ms)
        except BlobError as error:
            if session.channel.has_ended:
                # Or who leaves at once, however often it is asked, would never come to an end.
                self._answers.charge(audit.miner, BLOB_TIMEOUT_MS)
                raise Away from error
            # Who was away for long may have needed the time that is gone.
            fault = missing(audit.kind) if asked_ms == timeout_ms else Fault.OVERDUE
            raise Failed(fault, f"it did not arrive: {error}") from error
        self._answers.arrived(audit.miner)
        return blob

    def _ask(self, audit: Audit, timeout_ms: int) -> int:
        """Let the time to answer run; returns how long this request may take. Raises Failed."""
        miner, answers = audit.miner, self._answers
        answers.run(miner, self._answer_ms)
        # Who was never asked has all the time that a request takes, however long it was away.
        if answers.is_asked(miner):
            timeout_ms = min(timeout_ms, answers.left_ms(miner))
        if timeout_ms == 0:
            raise Failed(Fault.OVERDUE, OVERDUE)
        answers.ask(miner, timeout_ms)
        return timeout_ms
