"""Small networks of `PeerNet`s in memory, with handlers that follow a script."""

import asyncio
import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from nacl.signing import SigningKey

from node.chain.block import open_header
from node.chain.envelope import open_envelope, sign
from node.chain.hashing import blob_hash
from node.chain.messages import Commit, Envelope, Fallback, Transfer
from node.chain.params import RULES_VERSION
from node.clock import LoopClock
from node.endpoint import parse_endpoint
from node.net.greeting import NONCE_BYTES, Introduction, greet
from node.net.link import LinkClosed, PeerLink
from node.net.memory import MemoryNetwork, between
from node.net.peers import PeerNet
from node.net.protocol import Gossip, Header
from node.store.base import Store
from node.store.blobs import Part, part_of
from node.store.memory import MemoryStore
from node.store.writer import InlineWriter
from node.tasks import TaskOwner
from node.wire import WireBlock, envelope_to_proto
from ponas.v1.peer_service_pb2 import Addresses, PeerMessage, Pong

NETWORK = bytes([9]) * 32
GENESIS = bytes([1]) * 32
KEY = SigningKey(bytes([5]) * 32)


def envelope(number: int, network_id: bytes = NETWORK) -> Envelope:
    """A valid signed object, another one for each number."""
    return sign(Commit(number + 1, 0, bytes(32)), KEY, network_id).envelope


def transaction(number: int) -> Envelope:
    """A signed transaction, another one for each number."""
    return sign(Transfer(bytes(32), number + 1, 0, 0), KEY, NETWORK).envelope


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


def chain(length: int, body_bytes: int = 50) -> list[WireBlock]:
    """Blocks a round apart, each with a body of its own, on genesis."""
    blocks, parent = list[WireBlock](), GENESIS
    for number in range(1, length + 1):
        body = number.to_bytes(4, "big") + bytes(body_bytes - 4)
        fallback = Fallback(number, parent, 0, (), blob_hash(body), bytes(32))
        blocks.append(WireBlock(sign(fallback, KEY, NETWORK).envelope, body))
        parent = block_id(blocks[-1])
    return blocks


def block_id(block: WireBlock) -> bytes:
    return open_header(block.header, NETWORK).id


class Tame:
    """A bare link whose holder does what a node asks of everybody, and no more.

    It answers pings and tells no addresses; the rest is the test's.
    """

    def __init__(self, link: PeerLink) -> None:
        self._link = link
        self.remote, self.outbound = link.remote, link.outbound
        self.send, self.close = link.send, link.close
        self._early = deque[PeerMessage]()

    async def show_up(self) -> None:
        """Answer the first ping, so that the peer passes for prompt; nothing else is lost."""
        with suppress(LinkClosed):
            while not (message := await self._link.receive()).HasField("ping"):
                self._early.append(message)
            await self.send(PeerMessage(pong=Pong(rules_version=RULES_VERSION)))

    async def receive(self) -> PeerMessage:
        if self._early:
            return self._early.popleft()
        while True:
            message = await self._link.receive()
            match message.WhichOneof("content"):
                case "ping":
                    await self.send(PeerMessage(pong=Pong(rules_version=RULES_VERSION)))
                case "get_addresses":
                    await self.send(PeerMessage(addresses=Addresses()))
                case _:
                    return message


class ScriptedHandler:
    """A `ChainHandler` whose chain is a list of blocks, known by their place in it."""

    def __init__(self) -> None:
        self.judge: Callable[[Envelope], Gossip | Awaitable[Gossip]] = check_signature
        self.heard: list[Envelope] = []
        self.blobs: dict[bytes, bytes] = {}
        self.snapshots: dict[bytes, bytes] = {}
        self.num_served: Counter[bytes] = Counter()
        self.chain: list[WireBlock] = []
        self.votes: list[Envelope] = []
        self.batches: list[int] = []
        self.votes_learnt: list[Envelope] = []
        # Blocks left for later while more are on their way, as those that nobody voted for yet.
        self.num_held_back = 0
        self._known = {GENESIS: 0}

    def head(self) -> tuple[int, bytes]:
        return len(self.chain), self.id_at(len(self.chain))

    def id_at(self, height: int) -> bytes:
        return block_id(self.chain[height - 1]) if height else GENESIS

    def _heights(self) -> dict[bytes, int]:
        """Heights by id, of a chain that only grows."""
        for height in range(len(self._known), len(self.chain) + 1):
            self._known[self.id_at(height)] = height
        return self._known

    def on_gossip(self, envelope: Envelope) -> Gossip | Awaitable[Gossip]:
        verdict = self.judge(envelope)
        self.heard.append(envelope)
        return verdict

    def locator(self) -> Sequence[bytes]:
        return [self.head()[1]]

    def knows(self, block_id: bytes) -> bool:
        return block_id in self._heights()

    def headers_after(
        self, locator: Sequence[bytes], limit: int
    ) -> tuple[Sequence[Envelope], Sequence[Envelope]]:
        heights = self._heights()
        start = max((heights.get(block_id, 0) for block_id in locator), default=0)
        return [block.header for block in self.chain[start : start + limit]], self.votes

    def headers_down(self, block_id: bytes, limit: int) -> Sequence[Envelope]:
        top = self._heights().get(block_id, 0)
        return [block.header for block in self.chain[max(0, top - limit) : top]][::-1]

    def body(self, block_id: bytes) -> bytes | None:
        height = self._heights().get(block_id)
        return self.chain[height - 1].body if height else None

    async def missing(
        self, headers: Sequence[Header], votes: Sequence[Envelope]
    ) -> Sequence[Header]:
        missing = [header for header in headers if not self.knows(header.id)]
        return [open_header(header.envelope, NETWORK) for header in missing]

    async def on_blocks(
        self, blocks: Sequence[WireBlock], votes: Sequence[Envelope], *, more_follow: bool = False
    ) -> bool:
        for vote in votes:
            self.judge(vote)
        self.chain.extend(blocks[: len(blocks) - self.num_held_back] if more_follow else blocks)
        self.batches.append(len(blocks))
        self.votes_learnt.extend(votes)
        return bool(blocks)

    def snapshot(self, block_id: bytes) -> bytes:
        return self.snapshots.get(block_id, b"")

    def blob_part(self, blob_hash: bytes, offset: int) -> Part | None:
        self.num_served[blob_hash] += 1
        blob = self.blobs.get(blob_hash)
        return None if blob is None else part_of(blob, offset)


@dataclass(frozen=True)
class Peer:
    """A node of a test."""

    net: PeerNet
    handler: ScriptedHandler


class World:
    """Hosts by name in one `MemoryNetwork`."""

    def __init__(self, delay_ms: tuple[int, int]) -> None:
        self.clock = LoopClock(asyncio.get_running_loop())
        self.network = MemoryNetwork(self.clock, between(random.Random(11), *delay_ms))
        self._longest_delay_ms = delay_ms[1]
        self._tasks = TaskOwner()
        self._peers: list[Peer] = []

    def add(
        self,
        name: str,
        dials: Sequence[str] = (),
        network_id: bytes = NETWORK,
        store: Store | None = None,
        offset_ms: int = 0,
        discovers: bool = True,
        rules: Sequence[int] = (RULES_VERSION,),
    ) -> Peer:
        """Start a node that listens under its name, by a clock that is off by `offset_ms`.

        A name of the form IP:PORT is announced to others by a node that discovers.
        """
        handler = ScriptedHandler()
        store = MemoryStore() if store is None else store
        clock = LoopClock(asyncio.get_running_loop(), offset_ms)
        net = PeerNet(
            network_id=network_id,
            key=key_of(name),
            handler=handler,
            transport=self.network.transport(name),
            clock=clock,
            rng=random.Random(name),
            store=store,
            writer=InlineWriter(store),
            addresses=dials,
            discovers=discovers,
            rules=lambda: rules,
        )
        if ":" in name:
            net.listens_at(parse_endpoint(name).port)
        self.network.listen(name, net.accept)
        self._tasks.spawn(net.run(), name=f"run {name}")
        self._peers.append(Peer(net, handler))
        return self._peers[-1]

    async def intrude(self, address: str, name: str = "mallory") -> PeerLink:
        """A bare link of somebody who greeted properly and was let in, or not."""
        link = await self.network.transport(name).dial_peer(address)
        await introduce(link, name)
        tame = Tame(link)
        await tame.show_up()
        await pass_time(self._longest_delay_ms / 1_000)
        return tame

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
