"""The peer protocol over links: greeting, gossip, block sync and blobs with every peer."""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Sequence

import structlog
from nacl.signing import SigningKey

from node.chain.errors import Rejected
from node.chain.hashing import blake, u64
from node.chain.messages import Envelope
from node.clock import Clock
from node.net.blobs import BlobFetcher, serve_chunk
from node.net.greeting import NONCE_BYTES, Introduction, greet
from node.net.limits import Seen, backoff_ms
from node.net.link import LinkClosed, PeerLink, Transport, Unreachable
from node.net.protocol import ChainHandler, Gossip, Refusal, Refused
from node.net.session import Session
from node.net.sync import check_request, pull_blocks, serve_blocks
from node.tasks import TaskOwner
from node.views import PeerView
from node.wire import envelope_from_proto, envelope_to_proto
from ponas.v1.peer_service_pb2 import Hello, PeerMessage
from ponas.v1.types_pb2 import Envelope as EnvelopeMessage

# Peers that dialled us. Those at the given addresses come beside them: strangers can't take
# their places.
MAX_INBOUND = 64
# Gossip remembered, to judge nothing twice; and what a peer that comes late is told.
_SEEN = 65_536
_RECENT = 256

_log = structlog.get_logger("peers")


class PeerNet:
    """A node's place among its peers.

    Every peer has proved its public key, which tells one connection of a peer from another;
    nothing else is trusted to it, since until links are encrypted somebody in between may have
    passed the proof on.

    Args:
        network_id: 32 bytes; peers of another network are refused.
        key: identity of this node.
        handler: the consensus node.
        transport: opens links.
        clock: measures rates and back-off.
        rng: draws nonces and the jitter of the back-off; must be unpredictable on a real network.
        addresses: HOST:PORT of peers to stay connected to.
    """

    def __init__(
        self,
        *,
        network_id: bytes,
        key: SigningKey,
        handler: ChainHandler,
        transport: Transport,
        clock: Clock,
        rng: random.Random,
        addresses: Sequence[str] = (),
    ) -> None:
        # Messages and links refused since start, by `Reason` and `Refusal`.
        self.refused: Counter[str] = Counter()
        self._network_id = network_id
        self._key = key
        self._handler = handler
        self._transport = transport
        self._clock = clock
        self._rng = rng
        self._addresses = tuple(dict.fromkeys(addresses))
        self._sessions: dict[bytes, Session] = {}
        self._key_at: dict[str, bytes] = {}
        self._seen = Seen(_SEEN)
        self._recent: deque[PeerMessage] = deque(maxlen=_RECENT)
        self._syncing: set[Session] = set()
        self._tasks = TaskOwner()
        self._blobs = BlobFetcher(lambda: tuple(self._sessions.values()), self._refuse, self._tasks)
        self._closed = asyncio.Event()

    async def run(self) -> None:
        """Keep the given addresses connected until `close`."""
        for address in self._addresses:
            self._tasks.spawn(self._keep_connected(address), name=f"dial {address}")
        await self._closed.wait()

    async def close(self) -> None:
        """End all sessions, transfers and dialling."""
        self._closed.set()
        sessions = tuple(self._sessions.values())
        for session in sessions:
            session.end("the node stops")
        await self._tasks.close()

    async def accept(self, link: PeerLink) -> None:
        """Serve a peer that connected, until its link ends."""
        await self._serve(link)

    def broadcast(self, envelope: Envelope) -> None:
        """Send an object of this node's own to all peers; never waits. A second time does nothing.

        Peers that connect later hear of the last 256 objects sent or passed on.
        """
        if self._seen.add(key := _gossip_key(envelope)):
            self._spread(envelope, key)

    async def fetch(self, blob_hash: bytes, max_bytes: int) -> bytes:
        """A blob of at most `max_bytes` by its hash, from whichever peer has it.

        Raises:
            NotFound: no connected peer gave it.
        """
        return await self._blobs.fetch(blob_hash, max_bytes)

    def request_sync(self, public_key: bytes | None = None) -> None:
        """Ask a peer, or the one with the highest head, for blocks until it has nothing new.

        Does nothing if the peer is gone or being asked already.
        """
        if public_key is None:
            session = max(
                self._sessions.values(), key=lambda session: session.head_round, default=None
            )
        else:
            session = self._sessions.get(public_key)
        if session is None or session in self._syncing or self._closed.is_set():
            return
        self._syncing.add(session)
        self._tasks.spawn(self._sync(session), name=f"sync {session.link.remote}")

    def peers(self) -> list[PeerView]:
        """The connected peers, for people."""
        return [
            PeerView(
                session.link.remote, session.public_key, session.link.outbound, session.head_round
            )
            for session in self._sessions.values()
        ]

    async def _keep_connected(self, address: str) -> None:
        attempt = 0
        while True:
            # The peer may have dialled us; then this address is looked after already.
            if connected := self._sessions.get(self._key_at.get(address, b"")):
                await connected.ended.wait()
            try:
                link = await self._transport.dial_peer(address)
            except Unreachable as error:
                _log.warning("peer_unreachable", address=address, reason=error.reason)
                attempt += 1
            else:
                refusal = await self._serve(link)
                if refusal is Refusal.OWN_IDENTITY:
                    return
                attempt = 0 if refusal in (None, Refusal.DUPLICATE_CONNECTION) else attempt + 1
            await self._clock.sleep_until(self._clock.now_ms() + backoff_ms(attempt, self._rng))

    async def _serve(self, link: PeerLink) -> Refusal | None:
        """Talk to a peer until its link ends; says why it was not let in."""
        try:
            return await self._greet_and_talk(link)
        finally:
            # Whatever ended it, also in the midst of the greeting.
            await link.close("broken off")

    async def _greet_and_talk(self, link: PeerLink) -> Refusal | None:
        nonce = self._rng.randbytes(NONCE_BYTES)
        own = Introduction(self._network_id, self._key, self._handler.head(), nonce)
        try:
            session = self._admit(link, await greet(link, own))
        except Refused as error:
            self.refused[error.reason] += 1
            _log.warning("peer_refused", remote=link.remote, reason=str(error))
            await link.close(str(error))
            return error.reason
        except LinkClosed as closed:
            _log.info("peer_lost", remote=link.remote, reason=closed.reason)
            return Refusal.NO_HELLO
        _log.info("peer_connected", remote=link.remote, public_key=session.public_key.hex())
        try:
            await session.run(self._on_message)
        finally:
            if self._sessions.get(session.public_key) is session:
                del self._sessions[session.public_key]
            if isinstance(session.reason, Refusal):
                self.refused[session.reason] += 1
            _log.info("peer_lost", remote=link.remote, reason=session.reason)
        return None

    def _admit(self, link: PeerLink, hello: Hello) -> Session:
        """Enter a peer among the connected ones, and tell it what it may have missed."""
        key = hello.public_key
        if link.outbound:
            self._key_at[link.remote] = key
        rival = self._sessions.get(key)
        if rival is not None and not rival.ended.is_set():
            # Of two links both ends must keep the same one: the one that the lower key dialled.
            keep_outbound = bytes(self._key.verify_key) < key
            if rival.link.outbound == link.outbound or link.outbound != keep_outbound:
                raise Refused(Refusal.DUPLICATE_CONNECTION, "this peer is connected already")
            rival.end(Refusal.DUPLICATE_CONNECTION)
        elif not link.outbound and self._num_inbound() >= MAX_INBOUND:
            raise Refused(Refusal.TOO_MANY_PEERS, f"serves {MAX_INBOUND} peers already")
        session = self._sessions[key] = Session(link, key, hello.head_round, self._clock)
        for message in self._recent:
            session.post(message)
        if hello.head != self._handler.head()[1]:
            self.request_sync(key)
        return session

    def _num_inbound(self) -> int:
        return sum(not session.link.outbound for session in self._sessions.values())

    def _on_message(self, session: Session, message: PeerMessage) -> None:
        try:
            self._dispatch(session, message)
        except (Refused, Rejected) as error:
            self._refuse(session, error)

    def _dispatch(self, session: Session, message: PeerMessage) -> None:
        match message.WhichOneof("content"):
            case "gossip":
                self._on_gossip(session, message.gossip)
            case "get_blob":
                request = message.get_blob
                session.answer(lambda: serve_chunk(request, self._handler.blob(request.hash)))
            case "get_blocks":
                check_request(message.get_blocks)
                session.answer(lambda: serve_blocks(message.get_blocks, self._handler))
            case "blocks" | "blob_chunk" | "blob_missing":
                if not session.settle(message):
                    raise Refused(Refusal.UNASKED, "answered what nobody asked")
            case "hello" | "proof":
                raise Refused(Refusal.MALFORMED, "greeted twice")
            case None:
                raise Refused(Refusal.MALFORMED, "sent an empty message")

    def _on_gossip(self, session: Session, message: EnvelopeMessage) -> None:
        envelope = envelope_from_proto(message)
        key = _gossip_key(envelope)
        if not session.delivered.add(key):
            raise Refused(Refusal.REPLAYED, "sent the same object twice")
        if not self._seen.add(key):
            return
        match self._handler.on_gossip(envelope):
            case Gossip.RELAY:
                self._spread(envelope, key)
            case Gossip.DEFER:
                self._seen.discard(key)
                session.delivered.discard(key)
            case Gossip.DROP:
                pass

    def _spread(self, envelope: Envelope, key: bytes) -> None:
        message = PeerMessage(gossip=envelope_to_proto(envelope))
        self._recent.append(message)
        for session in self._sessions.values():
            if key not in session.delivered:
                session.post(message)

    async def _sync(self, session: Session) -> None:
        try:
            while await pull_blocks(session, self._handler):
                pass
        except (Refused, Rejected) as error:
            self._refuse(session, error)
        except (LinkClosed, TimeoutError) as error:
            _log.info("sync_broken", remote=session.link.remote, reason=str(error))
        finally:
            self._syncing.discard(session)

    def _refuse(self, session: Session, error: Refused | Rejected) -> None:
        self.refused[error.reason] += 1
        _log.debug("message_refused", remote=session.link.remote, reason=str(error))
        session.blame()


def _gossip_key(envelope: Envelope) -> bytes:
    """What gossip is known by: with the signature, unlike the id.

    Else somebody could send an object with a spoilt signature first, and the true one would
    pass for known.
    """
    return blake(
        "ponas/gossip",
        u64(envelope.kind),
        envelope.payload,
        envelope.public_key,
        envelope.signature,
    )
