"""One miner's connection as the manager holds it: registration, then results in, work out."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from node.chain.envelope import open_as
from node.chain.errors import Rejected
from node.chain.messages import Envelope, PoolRegistration
from node.clock import Clock
from node.net.limits import TokenBucket
from node.net.link import ManagerLink
from node.wire import envelope_from_proto
from ponas.v1 import pool_service_pb2 as pb
from pool.link.channel import Channel
from pool.link.wire import (
    PROTOCOL_VERSION,
    WireError,
    report_from_wire,
    strength_from_wire,
)
from pool.records.floods import Flood
from pool.records.strengths import Strength
from pool.rules.reports import Report

REGISTRATION_TIMEOUT_MS = 10_000
"""How long a new connection may take to register."""

# What may wait while a result is confirmed: a miner that comes back may send a thousand at once.
_MAX_WAITING_RESULTS = 1_024
_MAX_WAITING_BYTES = 1 << 21

MESSAGES_A_SECOND = 100
"""Messages that a miner may send for long, those about blobs aside: each result is written down."""

MESSAGES_AT_ONCE = 2_048
"""Messages beyond that: all that a miner keeps for its manager, twice."""

DUPLICATES_A_MINUTE, DUPLICATES_AT_ONCE = 60, 1_024
"""Results that are here already: a miner that comes back sends again all that it keeps."""


class Desk(Protocol):
    """Who deals with what a registered miner sends."""

    def judge_waiting(self, session: Session) -> None:
        """Judge the results that wait, unless one of them is just being confirmed."""
        ...

    def on_acceptance(self, session: Session, envelope: Envelope) -> None:
        """Take the acceptance of a lease. Raises Rejected."""
        ...


class TurnedAway(Exception):
    """A connection that does not register as it must; `reason` is a stable name of the rule."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Registration:
    """A miner that proved to hold its key."""

    key: bytes
    payout_address: bytes
    strength: Strength


class Greeting:
    """Challenges who connects; `rng` draws the nonces that make old registrations worthless."""

    def __init__(self, manager: bytes, network_id: bytes, rng: random.Random) -> None:
        self._manager = manager
        self._network_id = network_id
        self._rng = rng

    async def register(self, link: ManagerLink) -> Registration:
        """Challenge the other end and check its answer.

        Raises TurnedAway with the rule that it breaks, LinkClosed if it went away.
        """
        nonce = self._rng.randbytes(32)
        challenge = pb.Challenge(
            nonce=nonce,
            network_id=self._network_id,
            protocol_version=PROTOCOL_VERSION,
            manager=self._manager,
        )
        await link.send(pb.MineResponse(challenge=challenge))
        try:
            async with asyncio.timeout(REGISTRATION_TIMEOUT_MS / 1_000):
                answer = await link.receive()
        except TimeoutError as error:
            raise TurnedAway("timeout", "no registration came in time") from error
        if not answer.HasField("registration"):
            raise TurnedAway("not-registered", "the first message must be the registration")
        return self._check(answer, nonce)

    def _check(self, answer: pb.MineRequest, nonce: bytes) -> Registration:
        # 1. The envelope is a registration, signed by its key for this network.
        try:
            envelope = envelope_from_proto(answer.registration)
            signed = open_as(PoolRegistration, envelope, self._network_id)
        except Rejected as error:
            raise TurnedAway(str(error.reason), error.detail) from error
        # 2. It answers this challenge, not an earlier one.
        if signed.message.nonce != nonce:
            raise TurnedAway("nonce", "the registration answers another challenge")
        # 3. It is meant for this manager, not passed on by another.
        if signed.message.manager != self._manager:
            raise TurnedAway("manager", "the registration is meant for another manager")
        # 4. The strength is one.
        try:
            strength = strength_from_wire(signed.message.strength)
        except WireError as error:
            raise TurnedAway("strength", str(error)) from error
        return Registration(signed.signer, signed.message.payout_address, strength)


class Session:
    """A registered miner's connection.

    `held` finds the weights that it may ask for. Results wait while one is confirmed, so that they
    are judged in their order. By `clock`, which never goes back, it began at `since_ms` and its
    last message came at `heard_ms`; `heartbeat_ms` is how often it was asked to send one.
    """

    def __init__(
        self,
        key: bytes,
        link: ManagerLink,
        held: Callable[[bytes], bytes | None],
        clock: Clock,
    ) -> None:
        self.key = key
        self.channel: Channel[pb.MineResponse, pb.MineRequest] = Channel(
            link, pb.MineResponse, held, clock
        )
        self.waiting: deque[Report] = deque()
        self.is_confirming = False
        self._waiting_bytes = 0
        self._clock = clock
        self.since_ms = self.heard_ms = clock.now_ms()
        self.heartbeat_ms = 0
        self._messages = TokenBucket(clock, MESSAGES_AT_ONCE, 60 * MESSAGES_A_SECOND)
        self._duplicates = TokenBucket(clock, DUPLICATES_AT_ONCE, DUPLICATES_A_MINUTE)

    async def run(self, desk: Desk) -> str:
        """Hand every message to `desk` until the link ends; returns the reason."""
        return await self.channel.run(partial(self._on_message, desk))

    def _on_message(self, desk: Desk, message: pb.MineRequest) -> None:
        self.heard_ms = self._clock.now_ms()
        if not self._messages.take():
            self.channel.end(Flood.MESSAGES)
            return
        match message.WhichOneof("content"):
            case "result":
                self._on_result(desk, message.result)
            case "lease_acceptance":
                try:
                    desk.on_acceptance(self, envelope_from_proto(message.lease_acceptance))
                except Rejected as error:
                    self.channel.end(f"the acceptance of a lease can't be read: {error}")
            case "heartbeat":
                pass
            case _:
                self.channel.end("this message is not expected after the registration")

    def on_duplicate(self) -> None:
        """A result was here already; too many of them end the link."""
        if not self._duplicates.take():
            self.channel.end(Flood.DUPLICATES)

    def _on_result(self, desk: Desk, result: pb.Result) -> None:
        # Nothing waits when nothing is confirmed.
        self._waiting_bytes = result.ByteSize() + (self._waiting_bytes if self.waiting else 0)
        is_full = len(self.waiting) >= _MAX_WAITING_RESULTS
        if is_full or self._waiting_bytes > _MAX_WAITING_BYTES:
            self.channel.end("results came faster than they can be judged")
            return
        try:
            self.waiting.append(report_from_wire(result))
        except WireError as error:
            self.channel.end(f"the miner's message makes no sense: {error}")
            return
        desk.judge_waiting(self)
