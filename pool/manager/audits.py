"""Audits of drawn shares, a few at a time, beside everything else.

A model is asked for and counted, or an epoch of its training is repeated. A miner that is away is
waited for (`pool.decisions.pay`); what this machine fails to do is nobody's fault.
"""

from __future__ import annotations

import asyncio

import structlog

from nas.data.datasets import describe
from nas.designs.genotype import Genotype
from nas.evaluation.model_format import model_length
from nas.jobs import Count, Executor, FailureKind, JobFailed, Retrain, Rewind, Train
from nas.task import Task
from node.chain.hashing import blob_hash
from pool.decisions.pay import decide_fault
from pool.link.blobs import BlobError, max_weights_bytes
from pool.manager.core import Core
from pool.records import events
from pool.records.state import Audit
from pool.rules.audits import AuditKind, Fault, epoch_to_repeat, judge_count, judge_repetition

BLOB_TIMEOUT_MS = 10_000
"""How long a miner may take to hand over a model."""

STATE_TIMEOUT_MS = 300_000
"""How long a miner may take to make a training's state again: it trains up to that epoch."""

AT_A_TIME = 4
"""Audits under way: while one model is counted, the next ones are on their way."""

# Weights, batch statistics and momentum: a state is longer than the weights alone.
_STATE_FACTOR = 3

_FAULTS = {
    FailureKind.MODEL_FORMAT: Fault.MODEL_FORMAT,
    FailureKind.MODEL_TOO_WIDE: Fault.MODEL_FORMAT,
    FailureKind.WEIGHTS: Fault.STATE_DIFFERS,
}

_log = structlog.get_logger("pool.audits")


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

    async def run(self) -> None:
        """Audit whatever is drawn, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_A_TIME):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            audit = self._next()
            if audit is None:
                self._core.drawn.clear()
                await self._core.drawn.wait()
                continue
            self._busy.add(audit.miner)
            try:
                await self._audit(audit)
            finally:
                self._busy.discard(audit.miner)

    def _next(self) -> Audit | None:
        """The oldest audit whose miner is here and not busy with another."""
        ready = self._core.sessions.keys() - self._busy
        here = [audit for audit in self._core.pool.audits.values() if audit.miner in ready]
        return min(here, key=lambda audit: (audit.round, audit.share), default=None)

    async def _audit(self, audit: Audit) -> None:
        detail = ""
        try:
            await self._check(audit)
        except Away:
            return
        except Failed as failed:
            self._fail(audit, failed)
            return
        except JobFailed as error:
            detail = f"this machine could not do it: {error}"
            _log.error("audit_not_done", reason=str(error))
        if audit.share in self._core.pool.audits:
            now_ms = self._core.now_ms()
            passed = not detail
            self._core.happen(events.ShareAudited(now_ms, audit.share, audit.miner, passed, detail))

    def _fail(self, audit: Audit, failed: Failed) -> None:
        if audit.share not in self._core.pool.audits:
            return
        _log.warning(
            "audit_failed",
            miner=audit.miner.hex(),
            reason=str(failed.fault),
            detail=str(failed),
        )
        now_ms = self._core.now_ms()
        self._core.forfeit(decide_fault(audit, failed.fault, str(failed), now_ms))

    async def _check(self, audit: Audit) -> None:
        """Raises Failed or Away, or JobFailed when this machine is at fault."""
        round_ = self._core.pool.round
        if round_ is None:
            raise JobFailed("no round has started")
        try:
            if audit.kind is AuditKind.COUNT:
                await self._count(audit, round_.task.task)
            else:
                await self._repeat(audit, round_.task.task)
        except JobFailed as error:
            fault = _FAULTS.get(error.kind)
            if fault is None:
                raise
            raise Failed(fault, str(error)) from error

    async def _count(self, audit: Audit, task: Task) -> None:
        info, genotype = describe(task.dataset), Genotype.from_bytes(audit.genotype)
        length = model_length(genotype, info.shape, info.classes)
        model = await self._fetch(audit, audit.model_hash, length, BLOB_TIMEOUT_MS)
        counted = await self._executor.run(Count(task.dataset, "validation", genotype, model))
        fault = judge_count(audit.correct, counted.correct)
        if fault is not None:
            raise Failed(fault, f"the model counts {counted.correct}, not {audit.correct}")

    async def _repeat(self, audit: Audit, task: Task) -> None:
        info, genotype = describe(task.dataset), Genotype.from_bytes(audit.genotype)
        weights = self._core.journal.blobs.get(audit.weights_hash)
        if audit.weights_hash and weights is None:
            raise JobFailed("the weights that it was trained from are gone")
        train = Train(task, genotype, audit.training_seed, audit.epochs, weights)
        trained = len(audit.states) - 1
        epoch = epoch_to_repeat(self._core.secret, audit.share, max(1, trained))
        if epoch == 0:
            before = (await self._executor.run(Rewind(train, 0))).state
        else:
            model_bytes = model_length(genotype, info.shape, info.classes)
            most = _STATE_FACTOR * max_weights_bytes(model_bytes)
            before = await self._fetch(audit, audit.states[epoch], most, STATE_TIMEOUT_MS)
        reached = (await self._executor.run(Retrain(train, epoch, before))).state
        fault = judge_repetition(audit.states, epoch, blob_hash(reached))
        if fault is not None:
            raise Failed(fault, f"epoch {epoch} does not lead to the state that was named")

    async def _fetch(self, audit: Audit, hash_: bytes, max_bytes: int, timeout_ms: int) -> bytes:
        fault = Fault.MODEL_MISSING if audit.kind is AuditKind.COUNT else Fault.STATE_MISSING
        session = self._core.sessions.get(audit.miner)
        if session is None:
            raise Away
        try:
            return await session.channel.fetch(hash_, max_bytes, timeout_ms)
        except BlobError as error:
            if session.channel.has_ended:
                raise Away from error
            raise Failed(fault, f"it did not arrive: {error}") from error
