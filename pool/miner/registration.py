"""A miner introduces itself: the manager's challenge, checked, and the signed answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from nacl.signing import SigningKey

from node.chain.envelope import sign
from node.chain.hashing import HASH_BYTES
from node.chain.messages import PoolRegistration
from node.errors import NetworkRefusedError
from node.net.link import LinkClosed, MinerLink
from node.wire import envelope_to_proto
from ponas.v1 import pool_service_pb2 as pb
from pool.link.wire import PROTOCOL_VERSION, strength_to_wire
from pool.records.strengths import Strength

_CHALLENGE_TIMEOUT_MS = 10_000


class WrongPool(NetworkRefusedError):
    """The pool is of another network or speaks another version; connecting again won't help."""


@dataclass(frozen=True)
class Applicant:
    """Who wants to mine, and how it wants to be treated and paid."""

    key: SigningKey
    payout_address: bytes
    network_id: bytes
    strength: Strength

    @property
    def public_key(self) -> bytes:
        """The miner's identity, 32 bytes."""
        return bytes(self.key.verify_key)


async def receive_challenge(link: MinerLink, network_id: bytes) -> pb.Challenge:
    """The challenge of a pool of this network.

    Raises WrongPool, or LinkClosed if none comes in time or it makes no sense.
    """
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
    if challenge.network_id != network_id:
        raise WrongPool(
            f"the pool is of network {challenge.network_id.hex()}, this miner of {network_id.hex()}"
        )
    return challenge


async def register(link: MinerLink, applicant: Applicant) -> bytes:
    """Answer the manager's challenge; returns the manager's key.

    Raises WrongPool or LinkClosed; the link is closed then.
    """
    try:
        challenge = await receive_challenge(link, applicant.network_id)
        registration = PoolRegistration(
            nonce=challenge.nonce,
            manager=challenge.manager,
            strength=strength_to_wire(applicant.strength),
            payout_address=applicant.payout_address,
        )
        envelope = sign(registration, applicant.key, applicant.network_id).envelope
        await link.send(pb.MineRequest(registration=envelope_to_proto(envelope)))
    except Exception as error:
        await link.close(str(error))
        raise
    return challenge.manager


async def is_there(link: MinerLink, network_id: bytes) -> bool:
    """Whether a pool answers at the other end; closes the link.

    Raises WrongPool if it is another network's.
    """
    try:
        await receive_challenge(link, network_id)
    except LinkClosed:
        return False
    finally:
        await link.close("only looked whether the pool is back")
    return True
