"""A node in the test's own process that all others talk through, and that notes what they sign."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import combinations
from typing import Self

from nacl.signing import SigningKey

from node.assembly import Node
from node.chain.envelope import Signed, open_envelope, sign
from node.chain.errors import Rejected
from node.chain.evidence import prove
from node.chain.genesis import Network
from node.chain.messages import List, Payload, Vote
from node.chain.offence import Proven
from node.clock import SystemClock
from node.config import Role
from node.consensus.chain import Chain
from node.endpoint import parse_endpoint
from node.identity import Identity
from node.net.grpc_transport import GrpcServer, GrpcTransport
from node.net.link import PeerLink
from node.publishing.shelf import MemoryShelf
from node.query import QueryServicer
from node.setup import Setup, Surroundings
from node.store.memory import MemoryStore
from node.store.writer import InlineWriter
from node.wire import envelope_from_proto
from ponas.v1.peer_service_pb2 import PeerMessage


class Witness:
    """Follows the chain and attests to nothing.

    Nodes whose only peer it is can send nothing past it, not even what other nodes would drop.
    """

    def __init__(self, network: Network) -> None:
        self.address = ""
        self._network = network
        self._signed: dict[bytes, Signed[Payload]] = {}
        store = MemoryStore()
        key = Identity(SigningKey.generate())
        self._node = Node(
            Setup(Role.FULL, network, key, key.public_key, discovers=False),
            Surroundings(
                clock=SystemClock(),
                transport=GrpcTransport(),
                store=store,
                writer=InlineWriter(store),
                counter=None,
                auditing=None,
                trainer=None,
                shelf=MemoryShelf(),
                aside=asyncio.to_thread,
                rng=random.Random(0),
            ),
        )

    @classmethod
    @asynccontextmanager
    async def of(cls, network: Network) -> AsyncIterator[Self]:
        """Let one listen on a free port, and look on."""
        witness = cls(network)
        server = GrpcServer(QueryServicer(witness._node.views), witness._serve)
        witness.address = await server.start("127.0.0.1:0")
        witness._node.listens_at(parse_endpoint(witness.address).port)
        running = asyncio.ensure_future(witness._node.run())
        try:
            yield witness
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await witness._node.close()
            await server.stop()

    @property
    def chain(self) -> Chain:
        """The chain as it follows it."""
        return self._node.chain

    def send(self, message: Payload, key: SigningKey) -> None:
        """Sign something in the name of `key`, and send it to all nodes. Raises Rejected."""
        self._node.submit(sign(message, key, self._network.id).envelope)

    def note(self, signed: Signed[Payload]) -> None:
        """Remember what somebody has signed."""
        self._signed[signed.id] = signed

    def last_round_of(self, kind: type[List | Vote], signer: bytes) -> int:
        """The newest round of which it has seen a list or vote of somebody; 0 for none."""
        rounds = (
            signed.message.round
            for signed in self._signed.values()
            if signed.signer == signer and isinstance(signed.message, kind)
        )
        return max(rounds, default=0)

    def offences(self) -> list[Proven]:
        """Every two lists and every two votes of one signer that contradict each other."""
        by_signer = defaultdict[tuple[bytes, type[Payload]], list[Signed[Payload]]](list)
        for _, signed in sorted(self._signed.items()):
            if isinstance(signed.message, List | Vote):
                by_signer[signed.signer, type(signed.message)].append(signed)
        pairs = (pair for signed in by_signer.values() for pair in combinations(signed, 2))
        return [proven for pair in pairs if (proven := _proven(pair)) is not None]

    async def _serve(self, link: PeerLink) -> None:
        await self._node.on_peer(_TappedLink(link, self._hear))

    def _hear(self, message: PeerMessage) -> None:
        # Votes come in answers to a sync too.
        for envelope in (message.gossip, *message.headers.votes):
            if envelope.public_key:
                self.note(open_envelope(envelope_from_proto(envelope), self._network.id))


def _proven(pair: tuple[Signed[Payload], ...]) -> Proven | None:
    try:
        return prove(pair)
    except Rejected:
        return None


class _TappedLink:
    """A link whose messages somebody else hears before who receives them."""

    def __init__(self, link: PeerLink, hear: Callable[[PeerMessage], None]) -> None:
        self.remote = link.remote
        self.outbound = link.outbound
        self._link = link
        self._hear = hear

    async def send(self, message: PeerMessage) -> None:
        await self._link.send(message)

    async def receive(self) -> PeerMessage:
        message = await self._link.receive()
        self._hear(message)
        return message

    async def close(self, reason: str) -> None:
        await self._link.close(reason)
