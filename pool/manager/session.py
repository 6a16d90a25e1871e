"""One miner's connection as the manager holds it: registration, then results in, work out."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from node.chain.envelope import open_as
from node.chain.errors import Rejected
from node.chain.messages import PoolRegistration
from node.net.link import ManagerLink
from node.wire import envelope_from_proto
from ponas.v1 import pool_service_pb2 as pb
from pool.link.channel import Channel
from pool.link.wire import (
    PROTOCOL_VERSION,
    WireError,
    report_from_wire,
    strength_from_wire,
    strength_to_wire,
)
from pool.records.state import MinerState, Strength
from pool.rules.reports import Report

REGISTRATION_TIMEOUT_MS = 10_000
"""How long a new connection may take to register."""

# Results that may wait while one is confirmed; a miner sends a few each second.
_MAX_WAITING_RESULTS = 1_024


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
    """A registered miner's connection; `held` finds the weights that it may ask for."""

    def __init__(
        self, key: bytes, link: ManagerLink, held: Callable[[bytes], bytes | None]
    ) -> None:
        self.key = key
        self.channel: Channel[pb.MineResponse, pb.MineRequest] = Channel(
            link, pb.MineResponse, held
        )
        self._results: asyncio.Queue[Report] = asyncio.Queue(_MAX_WAITING_RESULTS)
        self._resting: str | None = None

    async def run(self, judge: Callable[[Session, Report], Awaitable[None]]) -> str:
        """Hand every result to `judge`, in order, until the link ends; returns the reason."""
        async with asyncio.TaskGroup() as group:
            judging = group.create_task(self._judge_all(judge))
            reason = await self.channel.run(self._on_message)
            judging.cancel()
        return reason

    def welcome(self, miner: MinerState) -> None:
        """Tell the miner how it is treated."""
        welcome = pb.Welcome(
            strength=strength_to_wire(miner.strength), reason=miner.strength_reason
        )
        self.channel.send(pb.MineResponse(welcome=welcome))

    def assign(self, assignment: pb.Assignment) -> None:
        """Give the miner a piece of work."""
        self._resting = None
        self.channel.send(pb.MineResponse(assignment=assignment))

    def idle(self, reason: str) -> None:
        """Tell the miner, once, that there is nothing to do and why."""
        if reason != self._resting:
            self._resting = reason
            self.channel.send(pb.MineResponse(idle=pb.Idle(reason=reason)))

    def acknowledge(
        self, report: Report, acceptance: pb.Acceptance.ValueType, reason: str = ""
    ) -> None:
        """Say what became of a result."""
        acknowledgement = pb.Acknowledgement(
            assignment_id=report.assignment_id,
            episode=report.episode,
            acceptance=acceptance,
            reason=reason,
        )
        self.channel.send(pb.MineResponse(acknowledgement=acknowledgement))

    async def _judge_all(self, judge: Callable[[Session, Report], Awaitable[None]]) -> None:
        while True:
            await judge(self, await self._results.get())

    def _on_message(self, message: pb.MineRequest) -> None:
        match message.WhichOneof("content"):
            case "result":
                try:
                    self._results.put_nowait(report_from_wire(message.result))
                except WireError as error:
                    self.channel.end(f"the miner's message makes no sense: {error}")
                except asyncio.QueueFull:
                    self.channel.end("results came faster than they can be judged")
            case "heartbeat":
                pass
            case _:
                self.channel.end("this message is not expected after the registration")
