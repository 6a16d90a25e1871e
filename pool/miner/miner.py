"""A pool's miner: connects, registers, works on what it is given, and says loudly when it idles.

A solo miner is the same with a manager of its own in the same process, over a link in memory.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog
from nacl.signing import SigningKey

from nas.jobs import Executor, JobFailed
from nas.task import Task
from node.chain.envelope import sign
from node.chain.hashing import HASH_BYTES
from node.chain.messages import PoolRegistration
from node.clock import Clock
from node.errors import NetworkRefusedError
from node.net.link import LinkClosed, MinerLink, Unreachable
from node.wire import envelope_to_proto
from ponas.v1 import pool_service_pb2 as pb
from pool.link.blobs import BlobError, Shelf
from pool.link.channel import Channel
from pool.link.orders import Order, order_from_wire
from pool.link.wire import (
    PROTOCOL_VERSION,
    WireError,
    acceptance_name,
    report_to_wire,
    strength_from_wire,
    strength_to_wire,
    text_from_wire,
)
from pool.miner.work import Bench, work
from pool.records.state import Strength
from pool.rules.reports import Report

# Waits between attempts to connect double from the first to the last of these; a link that held
# for longer than the last was a good one, and they begin anew.
_FIRST_WAIT_MS, _LAST_WAIT_MS = 500, 15_000
_CHALLENGE_TIMEOUT_MS = 10_000
_WEIGHTS_TIMEOUT_MS = 10_000
# Candidates whose models stay in memory, in case the manager asks for them.
_KEPT_CANDIDATES = 8

_log = structlog.get_logger("pool.miner")

MinerChannel = Channel[pb.MineRequest, pb.MineResponse]


class WrongPool(NetworkRefusedError):
    """The pool is of another network or speaks another version; connecting again won't help."""


class Miner:
    """Works for the pool that `dial` connects to.

    `task` is the network's task, whose data set and rules the miner judges and trains by; `rng`
    spreads the attempts to connect. `activity` says in words what the miner does now.
    """

    def __init__(
        self,
        *,
        key: SigningKey,
        payout_address: bytes,
        network_id: bytes,
        strength: Strength,
        task: Task,
        executor: Executor,
        dial: Callable[[], Awaitable[MinerLink]],
        clock: Clock,
        rng: random.Random,
        workers: int = 1,
    ) -> None:
        self._key = key
        self._payout_address = payout_address
        self._network_id = network_id
        self._strength = strength
        self._dial = dial
        self._clock = clock
        self._rng = rng
        self._task = task
        self._bench = Bench(executor, task, Shelf(_KEPT_CANDIDATES), workers)
        self._order: Order | None = None
        self._changed = asyncio.Event()
        self._deadline: asyncio.Timeout | None = None
        self._wait_ms = _FIRST_WAIT_MS
        self.activity = "not connected yet"

    async def run(self) -> None:
        """Mine until cancelled, connecting again whenever the link ends. Raises WrongPool."""
        while True:
            dialled_ms = self._clock.now_ms()
            try:
                reason = await self._mine(await self._dial())
            except WrongPool:
                raise
            except (Unreachable, LinkClosed) as error:
                reason = str(error)
            except Exception as error:
                # Whatever a pool brings to light, it must not stop the miner's node.
                reason = f"the pool is at fault: {_cause(error)!r}"
                _log.exception("pool_at_fault", reason=reason)
            self._idle(f"not connected to the pool: {reason}")
            if self._clock.now_ms() - dialled_ms > _LAST_WAIT_MS:
                self._wait_ms = _FIRST_WAIT_MS
            # Spread over half the wait, so that a pool's miners don't all come back at once.
            wait_ms = self._rng.randint(self._wait_ms // 2, self._wait_ms)
            self._wait_ms = min(2 * self._wait_ms, _LAST_WAIT_MS)
            await self._clock.sleep_until(self._clock.now_ms() + wait_ms)

    async def _mine(self, link: MinerLink) -> str:
        """Register and work until the link ends; returns the reason."""
        try:
            await self._register(link)
        except Exception as error:
            await link.close(str(error))
            raise
        channel: MinerChannel = Channel(link, pb.MineRequest, self._bench.shelf.get)
        self._order = None
        self._changed.clear()
        async with asyncio.TaskGroup() as group:
            working = group.create_task(self._work_all(channel))
            reason = await channel.run(lambda message: self._on_message(channel, message))
            working.cancel()
        return reason

    async def _register(self, link: MinerLink) -> None:
        """Answer the manager's challenge. Raises WrongPool, or LinkClosed if none comes."""
        try:
            async with asyncio.timeout(_CHALLENGE_TIMEOUT_MS / 1_000):
                message = await link.receive()
        except TimeoutError as error:
            raise LinkClosed("the pool sent no challenge") from error
        if not message.HasField("challenge"):
            raise LinkClosed("the pool did not begin with a challenge")
        challenge = message.challenge
        if challenge.protocol_version != PROTOCOL_VERSION:
            raise WrongPool(
                f"the pool speaks version {challenge.protocol_version} of the protocol, "
                f"this miner version {PROTOCOL_VERSION}"
            )
        fields = (challenge.network_id, challenge.nonce, challenge.manager)
        if any(len(field) != HASH_BYTES for field in fields):
            raise LinkClosed(f"network, nonce and manager are not all {HASH_BYTES} bytes")
        if challenge.network_id != self._network_id:
            raise WrongPool(
                f"the pool is of network {challenge.network_id.hex()}, "
                f"this miner of {self._network_id.hex()}"
            )
        registration = PoolRegistration(
            nonce=challenge.nonce,
            manager=challenge.manager,
            strength=strength_to_wire(self._strength),
            payout_address=self._payout_address,
        )
        envelope = sign(registration, self._key, self._network_id).envelope
        await link.send(pb.MineRequest(registration=envelope_to_proto(envelope)))

    def _on_message(self, channel: MinerChannel, message: pb.MineResponse) -> None:
        try:
            self._handle(message)
        except WireError as error:
            channel.end(f"the pool's message makes no sense: {error}")

    def _handle(self, message: pb.MineResponse) -> None:
        match message.WhichOneof("content"):
            case "welcome":
                strength = strength_from_wire(message.welcome.strength)
                reason = text_from_wire(message.welcome.reason)
                _log.info("registered", strength=str(strength), reason=reason)
            case "assignment":
                self._take(order_from_wire(message.assignment, self._task, self._clock.now_ms()))
            case "idle":
                self._take(None)
                self._idle(message.idle.reason)
            case "acknowledgement":
                self._on_acknowledgement(message.acknowledgement)
            case "shared_best":
                best = message.shared_best
                _log.info("best_shared", round=best.round, correct=best.correct, size=best.size)
            case other:
                raise WireError(f"{other} is not expected after the registration")

    def _on_acknowledgement(self, acknowledgement: pb.Acknowledgement) -> None:
        if acknowledgement.acceptance == pb.ACCEPTANCE_ACCEPTED:
            return
        _log.warning(
            "result_not_accepted",
            acceptance=acceptance_name(acknowledgement.acceptance),
            episode=acknowledgement.episode,
            reason=text_from_wire(acknowledgement.reason),
        )

    def _take(self, order: Order | None) -> None:
        """Go on with an order: after the current candidate, or at once if the round is another."""
        is_same_round = order is None or self._order is None or order.round == self._order.round
        self._order = order
        self._changed.set()
        # One that has just run out is about to end the work anyhow, and can't be moved any more.
        if not is_same_round and self._deadline is not None and not self._deadline.expired():
            self._deadline.reschedule(asyncio.get_running_loop().time())

    def _idle(self, reason: str) -> None:
        reason = text_from_wire(reason)
        self.activity = f"idle: {reason}"
        _log.warning("not_mining", reason=reason)

    async def _work_all(self, channel: MinerChannel) -> None:
        """Work on the newest order, never beyond the end of its phase."""
        round_number = None
        while True:
            await self._changed.wait()
            self._changed.clear()
            order = self._order
            if order is None:
                continue
            if order.round != round_number:
                round_number = order.round
                self._bench.shelf.clear()
            await self._work_in_time(channel, order)

    async def _work_in_time(self, channel: MinerChannel, order: Order) -> None:
        def report(result: Report) -> None:
            channel.send(pb.MineRequest(result=report_to_wire(result)))

        async def fetch_weights(hash_: bytes, max_bytes: int) -> bytes:
            return await channel.fetch(hash_, max_bytes, _WEIGHTS_TIMEOUT_MS)

        self.activity = f"works on assignment {order.id} of round {order.round}"
        left_ms = order.end_ms - self._clock.now_ms()
        try:
            async with asyncio.timeout(left_ms / 1_000) as self._deadline:
                await work(
                    self._bench, order, fetch_weights, report, lambda: not self._changed.is_set()
                )
        except* TimeoutError:
            # Expected once a round, so not worth a warning.
            self.activity = f"idle: the train phase of round {order.round} is over"
        except* (JobFailed, BlobError) as failures:
            # A new connection brings a new assignment, with the state of the search.
            channel.end(f"the work stopped: {_cause(failures)}")
        finally:
            self._deadline = None


def _cause(error: BaseException) -> BaseException:
    """The first failure in a group of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
