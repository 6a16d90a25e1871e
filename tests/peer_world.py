"""Small networks of `PeerNet`s in memory, with handlers that follow a script."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from nacl.signing import SigningKey

from node.chain.envelope import open_envelope, sign
from node.chain.hashing import blob_hash
from node.chain.messages import Envelope, Transfer
from node.clock import LoopClock
from node.net.greeting import NONCE_BYTES, Introduction, greet
from node.net.link import LinkClosed, PeerLink
from node.net.memory import MemoryNetwork
from node.net.peers import PeerNet
from node.net.protocol import Gossip
from node.tasks import TaskOwner
from node.wire import WireBlock, envelope_to_proto
from ponas.v1.peer_service_pb2 import PeerMessage

NETWORK = bytes([9]) * 32
GENESIS = bytes([1]) * 32
KEY = SigningKey(bytes([5]) * 32)


def envelope(number: int, network_id: bytes = NETWORK) -> Envelope:
    """A valid signed object, another one for each number."""
    return sign(Transfer(bytes(32), number + 1, 0), KEY, network_id).envelope


def gossip(number: int) -> PeerMessage:
    return PeerMessage(gossip=envelope_to_proto(envelope(number)))


def key_of(name: str) -> SigningKey:
    """The key of the node of that name."""
    return SigningKey(blob_hash(name.encode()))


def public_key_of(name: str) -> bytes:
    return bytes(key_of(name).verify_key)


async def introduce(link: PeerLink, name: str) -> None:
    """Greet over a bare link as the node of that name."""
    nonce = random.Random(name).randbytes(NONCE_BYTES)
    await greet(link, Introduction(NETWORK, key_of(name), (0, GENESIS), nonce))


def accept_all(_: Envelope) -> Gossip:
    return Gossip.RELAY


def check_signature(received: Envelope) -> Gossip:
    open_envelope(received, NETWORK)
    return Gossip.RELAY


class ScriptedHandler:
    """A `ChainHandler` whose chain is a list of blocks, known by their place in it."""

    def __init__(self) -> None:
        self.judge: Callable[[Envelope], Gossip] = check_signature
        self.heard: list[Envelope] = []
        self.blobs: dict[bytes, bytes] = {}
        self.num_served: Counter[bytes] = Counter()
        self.chain: list[WireBlock] = []
        self.votes: list[Envelope] = []
        self.batches: list[int] = []
        self.votes_learnt: list[Envelope] = []

    def head(self) -> tuple[int, bytes]:
        return len(self.chain), self.id_at(len(self.chain))

    def id_at(self, height: int) -> bytes:
        return blob_hash(self.chain[height - 1].body) if height else GENESIS

    def on_gossip(self, envelope: Envelope) -> Gossip:
        verdict = self.judge(envelope)
        self.heard.append(envelope)
        return verdict

    def locator(self) -> Sequence[bytes]:
        return [self.head()[1]]

    def blocks_after(
        self, locator: Sequence[bytes], limit: int
    ) -> tuple[Sequence[WireBlock], Sequence[Envelope]]:
        known = {self.id_at(height): height for height in range(len(self.chain) + 1)}
        start = max((known.get(block_id, 0) for block_id in locator), default=0)
        return self.chain[start : start + limit], self.votes

    async def on_blocks(self, blocks: Sequence[WireBlock], votes: Sequence[Envelope]) -> bool:
        for vote in votes:
            self.judge(vote)
        self.chain.extend(blocks)
        self.batches.append(len(blocks))
        self.votes_learnt.extend(votes)
        return bool(blocks)

    def blob(self, blob_hash: bytes) -> bytes | None:
        self.num_served[blob_hash] += 1
        return self.blobs.get(blob_hash)


@dataclass(frozen=True)
class Peer:
    """A node of a test."""

    net: PeerNet
    handler: ScriptedHandler


class World:
    """Hosts by name in one `MemoryNetwork`."""

    def __init__(self, delay_ms: tuple[int, int]) -> None:
        self.clock = LoopClock(asyncio.get_running_loop())
        self.network = MemoryNetwork(self.clock, random.Random(11), delay_ms)
        self._longest_delay_ms = delay_ms[1]
        self._tasks = TaskOwner()
        self._peers: list[Peer] = []

    def add(self, name: str, dials: Sequence[str] = (), network_id: bytes = NETWORK) -> Peer:
        """Start a node that listens under its name."""
        handler = ScriptedHandler()
        net = PeerNet(
            network_id=network_id,
            key=key_of(name),
            handler=handler,
            transport=self.network.transport(name),
            clock=self.clock,
            rng=random.Random(name),
            addresses=dials,
        )
        self.network.listen(name, net.accept)
        self._tasks.spawn(net.run(), name=f"run {name}")
        self._peers.append(Peer(net, handler))
        return self._peers[-1]

    async def intrude(self, address: str, name: str = "mallory") -> PeerLink:
        """A bare link of somebody who greeted properly and was let in, or not."""
        link = await self.network.transport(name).dial_peer(address)
        await introduce(link, name)
        await pass_time(self._longest_delay_ms / 1_000)
        return link

    async def close(self) -> None:
        for peer in self._peers:
            await peer.net.close()
        await self._tasks.close()
        await self.network.close()


@asynccontextmanager
async def open_world(delay_ms: tuple[int, int] = (5, 50)) -> AsyncIterator[World]:
    world = World(delay_ms)
    yield world
    await world.close()


async def pass_time(seconds: float) -> None:
    """Let the network run for a while of virtual time."""
    await asyncio.sleep(seconds)


async def drain(link: PeerLink) -> tuple[list[PeerMessage], str]:
    """What a link still brings until it closes, and why it closed."""
    messages: list[PeerMessage] = []
    try:
        while True:
            messages.append(await link.receive())
    except LinkClosed as closed:
        return messages, closed.reason
