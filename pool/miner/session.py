"""One connection to a manager, from the registration on: orders in, results out, until it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from nas.task import Task
from node.clock import Clock
from node.net.link import MinerLink
from node.wire import envelope_to_proto
from ponas.v1 import pool_service_pb2 as pb
from pool.link.channel import Channel
from pool.link.leases import LeaseError, accept_lease, open_lease
from pool.link.orders import Order, order_from_wire
from pool.link.wire import (
    WireError,
    acceptance_name,
    report_to_wire,
    strength_from_wire,
    text_from_wire,
)
from pool.miner.evidence import Evidence
from pool.miner.failover import End, Parting
from pool.miner.outbox import Outbox
from pool.miner.patience import FIRST_WORD_MS, MUTE_AFTER_MS, Patience
from pool.miner.promises import Promises
from pool.miner.registration import Applicant
from pool.miner.work import Bench
from pool.miner.worker import Worker
from pool.proofs.receipts import Objection, ProofError
from pool.rules.audits import STATE_TIMEOUT_MS
from pool.rules.reports import Report

_WEIGHTS_TIMEOUT_MS = 10_000
# How long a miner that leaves waits for its last results to be acknowledged.
_LAST_WORDS_MS = 5_000
# How long nothing may be asked of it before it goes: the audits of its last results are drawn when
# these are acknowledged, and who is away then forfeits in the end.
_LAST_QUESTIONS_MS = 5_000
# The longest that it stays for its manager's questions.
_LONGEST_STAY_MS = STATE_TIMEOUT_MS
# What a manager may ask for as the time between signs of life; more often would be a flood.
_HEARTBEATS_MS = range(500, 600_001)

_log = structlog.get_logger("pool.miner")

TaskOf = Callable[[int, str], Task]
"""The task of a round on data that a manager names; raises ValueError for a round that this node
can't tell, and for data that are not the task's, Declined for a task that it won't work on."""


class Declined(Exception):
    """The operator of this miner has no work done for such a task; a sentence says why."""


@dataclass(frozen=True)
class Workshop:
    """What outlives a connection: who mines, with what, and what it has made and promised."""

    applicant: Applicant
    bench: Bench
    worker: Worker
    outbox: Outbox
    promises: Promises
    evidence: Evidence
    task_of: TaskOf
    clock: Clock


class Session:
    """Implements `Employer` for the manager at the other end of a link."""

    def __init__(self, shop: Workshop, manager: bytes, link: MinerLink) -> None:
        self._shop = shop
        self._manager = manager
        self._channel: Channel[pb.MineRequest, pb.MineResponse] = Channel(
            link, pb.MineRequest, shop.bench.shelf.get, shop.clock, shop.bench.trainings.make
        )
        self._parting: Parting | None = None
        self._leaving = asyncio.Event()
        self._acknowledged = asyncio.Event()
        self._welcomed = asyncio.Event()
        self._has_orders = False
        self._patience = Patience(self._on_mute)
        self._heartbeat_ms = 0
        self._last_sent_ms = 0

    async def run(self) -> Parting:
        """Work for the manager until the link ends."""
        self._shop.outbox.attach(self._manager)
        self._shop.worker.rest("connected, but the pool has not said yet what to do")
        self._patience.owed()
        try:
            async with asyncio.TaskGroup() as group:
                duties = (
                    self._send_results(),
                    self._beat(),
                    self._miss_orders(),
                    self._wind_up(),
                )
                tasks = [group.create_task(duty) for duty in duties]
                reason = await self._channel.run(self._on_message)
                for task in tasks:
                    task.cancel()
        finally:
            self._patience.end()
            self._shop.outbox.detach()
        return self._parting or Parting(End.LOST, reason)

    def leave(self, parting: Parting) -> None:
        """Finish the candidates under way, see the last results acknowledged and audited, end the
        link."""
        if self._parting is None:
            self._parting = parting
            self._leaving.set()

    def deliver(self, order: Order, report: Report) -> None:
        self._shop.outbox.put(self._manager, order, report)

    async def fetch_weights(self, hash_: bytes, max_bytes: int) -> bytes:
        return await self._channel.fetch(hash_, max_bytes, _WEIGHTS_TIMEOUT_MS)

    def give_up(self, reason: str) -> None:
        self._channel.end(reason)

    async def _send_results(self) -> None:
        while True:
            report = await self._shop.outbox.next_result()
            await self._channel.post(pb.MineRequest(result=report_to_wire(report)))
            self._last_sent_ms = self._shop.clock.now_ms()
            self._patience.owed()

    async def _miss_orders(self) -> None:
        """Say that nothing is mined when neither an order nor the reason for none comes."""
        clock = self._shop.clock
        await clock.sleep_until(clock.now_ms() + FIRST_WORD_MS)
        if not self._has_orders:
            self._idle("connected, but the pool has sent neither an order nor the reason for none")

    def _on_mute(self) -> None:
        what = "a result" if self._has_orders else "the registration"
        reason = f"the pool has left {what} without an answer for {MUTE_AFTER_MS // 60_000} minutes"
        self._parting = self._parting or Parting(End.MUTE, reason)
        self._channel.end(reason)

    async def _beat(self) -> None:
        """Send a sign of life whenever nothing else was sent for the time that was agreed on."""
        await self._welcomed.wait()
        clock = self._shop.clock
        while True:
            due_ms = self._last_sent_ms + self._heartbeat_ms
            if clock.now_ms() < due_ms:
                await clock.sleep_until(due_ms)
            else:
                self._channel.send(pb.MineRequest(heartbeat=pb.Heartbeat()))
                self._last_sent_ms = clock.now_ms()

    async def _wind_up(self) -> None:
        await self._leaving.wait()
        reason = "" if self._parting is None else self._parting.reason
        self._shop.worker.stop(reason)
        await self._shop.worker.resting.wait()
        try:
            async with asyncio.timeout(_LAST_WORDS_MS / 1_000):
                while self._shop.outbox.has_waiting(self._manager):
                    self._acknowledged.clear()
                    await self._acknowledged.wait()
        except TimeoutError:
            _log.warning("left_unacknowledged", results=len(self._shop.outbox))
        with suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_STAY_MS / 1_000):
                await self._channel.quiet(_LAST_QUESTIONS_MS)
        self._channel.end(f"the miner leaves: {reason}")

    def _on_message(self, message: pb.MineResponse) -> None:
        try:
            self._handle(message)
        except (WireError, LeaseError) as error:
            self._channel.end(f"the pool's message makes no sense: {error}")
        except ProofError as error:
            _log.error("proof_refused", objection=str(error.objection), reason=str(error))
            self._channel.end(f"the pool's word proves nothing: {error.objection}: {error}")

    def _handle(self, message: pb.MineResponse) -> None:
        match message.WhichOneof("content"):
            case "welcome":
                self._on_welcome(message.welcome)
            case "assignment":
                self._on_orders()
                self._on_assignment(message.assignment)
            case "idle":
                self._on_orders()
                self._idle(text_from_wire(message.idle.reason))
            case "acknowledgement":
                self._on_acknowledgement(message.acknowledgement)
            case "shared_best":
                best = message.shared_best
                _log.info("best_shared", round=best.round, correct=best.correct, size=best.size)
            case "payout_notice":
                self._shop.evidence.keep_notice(self._manager, message.payout_notice)
            case "drain":
                reason = f"the pool drains: {text_from_wire(message.drain.reason)}"
                self.leave(Parting(End.DRAINED, reason, wait_ms=message.drain.wait_ms))
            case other:
                raise WireError(f"{other} is not expected after the registration")

    def _on_orders(self) -> None:
        if not self._has_orders:
            self._has_orders = True
            self._patience.heard()

    def _on_welcome(self, welcome: pb.Welcome) -> None:
        strength = strength_from_wire(welcome.strength)
        if welcome.heartbeat_ms not in _HEARTBEATS_MS:
            raise WireError(f"a heartbeat every {welcome.heartbeat_ms} ms is no use")
        self._heartbeat_ms = welcome.heartbeat_ms
        self._welcomed.set()
        _log.info("registered", strength=str(strength), reason=text_from_wire(welcome.reason))

    def _on_assignment(self, message: pb.Assignment) -> None:
        if self._parting is not None:
            return
        try:
            task = self._shop.task_of(message.round, message.data)
        except Declined as error:
            self._idle(str(error))
            return
        except ValueError as error:
            raise WireError(f"round {message.round} has no such task: {error}") from error
        order = order_from_wire(message, task, self._shop.clock.now_ms())
        if self._takes_lease(order):
            self._shop.worker.take(order, self)

    def _takes_lease(self, order: Order) -> bool:
        """Accept the lease of an order before its first result leaves; False if that can't be."""
        applicant = self._shop.applicant
        lease = open_lease(order, self._manager, applicant.public_key, applicant.network_id)
        if lease is None:
            return True
        # What this node's own manager commits is no commitment against it.
        if self._manager != applicant.public_key:
            if not self._shop.promises.may_accept(lease.message):
                self._idle(f"commits on its own in round {order.round}, so that it takes no lease")
                return False
            self._shop.promises.accept(lease.message)
        acceptance = accept_lease(lease, applicant.key, applicant.network_id)
        self._channel.send(pb.MineRequest(lease_acceptance=envelope_to_proto(acceptance)))
        return True

    def _on_acknowledgement(self, acknowledgement: pb.Acknowledgement) -> None:
        outbox = self._shop.outbox
        report = outbox.take(self._manager, acknowledgement.assignment_id, acknowledgement.episode)
        self._acknowledged.set()
        self._patience.heard()
        is_accepted = acknowledgement.acceptance == pb.ACCEPTANCE_ACCEPTED
        # A result that was sent again is refused, but with the receipt that was lost.
        if report is not None and acknowledgement.HasField("receipt"):
            self._shop.evidence.keep_receipt(
                self._manager, outbox.round, report, acknowledgement.receipt
            )
        elif report is not None and is_accepted:
            raise ProofError(Objection.NO_RECEIPT, "a result was accepted without a receipt")
        if is_accepted:
            return
        _log.warning(
            "result_not_accepted",
            acceptance=acceptance_name(acknowledgement.acceptance),
            episode=acknowledgement.episode,
            reason=text_from_wire(acknowledgement.reason),
        )

    def _idle(self, reason: str) -> None:
        self._shop.worker.rest(reason)
        _log.warning("not_mining", reason=reason)
