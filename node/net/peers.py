"""The peer protocol over links: who is let in, and what becomes of each message."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence

import structlog
from nacl.signing import SigningKey

from node.chain.errors import Rejected
from node.chain.messages import Envelope
from node.chain.params import RULES_VERSION
from node.clock import Clock
from node.net.addressbook import AddressBook
from node.net.addresses import checked_address, with_port
from node.net.ancestors import AncestorFetcher
from node.net.bans import Bans
from node.net.blobs import BlobFetcher
from node.net.conduct import Verdict, score
from node.net.dialler import Dialler
from node.net.dispatch import Dispatcher
from node.net.greeting import NONCE_BYTES, Introduction, greet
from node.net.link import LinkClosed, PeerLink, Transport
from node.net.protocol import ChainHandler, Refusal, Refused
from node.net.relay import Relay
from node.net.remembered import PeerMemory
from node.net.roster import Roster
from node.net.session import Session
from node.net.snapshots import SnapshotFinder
from node.net.sync import Syncer
from node.net.tending import tend
from node.store.base import Store
from node.store.writer import Writer
from node.tasks import TaskOwner
from node.views.status import BanView, PeersView, PeerView
from ponas.v1.peer_service_pb2 import Hello, PeerMessage

# Peers to come back to first after a restart.
_ANCHORS = 2

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
        clock: measures rates and back-off, and what is compared with peers' clocks.
        rng: draws nonces, back-off and whom to dial; must be unpredictable on a real network.
        store: keeps known addresses and bans.
        writer: writes to the store.
        addresses: HOST:PORT of peers to stay connected to; they are never banned.
        discovers: whether to dial others too, and to be dialled by them.
        rules: tells the versions of the chain's rules as `Introduction` has them.
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
        store: Store,
        writer: Writer,
        addresses: Sequence[str] = (),
        discovers: bool = True,
        rules: Callable[[], Sequence[int]] = lambda: (RULES_VERSION,),
    ) -> None:
        # Messages and links refused since start, by `Reason` and `Refusal`.
        self.refused: Counter[str] = Counter()
        self._network_id = network_id
        self._key = key
        self._handler = handler
        self._clock = clock
        self._rng = rng
        self._discovers = discovers
        self._rules = rules
        self._listen_port = 0
        self._roster = Roster(bytes(key.verify_key), addresses)
        self._tasks = TaskOwner()
        self._memory = PeerMemory(store, writer, self._tasks)
        remembered = self._memory.load()
        self._book = AddressBook(rng, remembered.known)
        self._bans = Bans(clock, remembered.bans, self._memory.keep_bans)
        self._relay = Relay(handler, self._roster.all, self._refuse, self._tasks)
        self._syncer = Syncer(network_id, handler, self._roster.all, self._refuse, self._tasks)
        self.ancestors = AncestorFetcher(network_id, self._by_news, self._refuse)
        self.snapshots = SnapshotFinder(self._roster.all, self._refuse)
        self._blobs = BlobFetcher(self._refuse, self._tasks)
        self._dispatcher = Dispatcher(
            handler, self._relay, self._book, self._roster.addresses, clock, self._blobs, rules
        )
        self._dialler = Dialler(
            self,
            given=addresses,
            discovers=discovers,
            anchors=remembered.anchors,
            book=self._book,
            transport=transport,
            clock=clock,
            rng=rng,
            tasks=self._tasks,
        )
        self._closed = asyncio.Event()

    async def run(self) -> None:
        """Dial peers until `close`."""
        self._tasks.spawn(self._dialler.run(), name="dialler")
        await self._closed.wait()

    def listens_at(self, port: int) -> None:
        """Tell peers from now on that they can dial this node at a TCP port of its host.

        One that discovers nobody does not want to be discovered either.
        """
        if self._discovers:
            self._listen_port = port

    async def close(self) -> None:
        """End all sessions, transfers and dialling."""
        self._closed.set()
        for session in self._roster.all():
            session.end("the node stops")
        await self._tasks.close()

    async def accept(self, link: PeerLink) -> None:
        """Serve a peer that connected, until its link ends."""
        await self.serve(link)

    def broadcast(self, envelope: Envelope) -> None:
        """Send an object of this node's own to all peers; never waits. A second time does nothing.

        Peers that connect later hear of the last 256 objects sent or passed on.
        """
        self._relay.broadcast(envelope)

    def offer(self, envelope: Envelope) -> None:
        """Send a transaction to all peers, again where it was sent before; never waits."""
        self._relay.offer(envelope)

    async def fetch(
        self, blob_hash: bytes, max_bytes: int, named_by: Envelope | None = None
    ) -> bytes:
        """A blob of at most `max_bytes` by its hash, from whichever peer has it.

        Who told of the object that it is `named_by` is asked first.

        Raises:
            NotFound: no connected peer gave it.
        """
        return await self._blobs.fetch(blob_hash, max_bytes, lambda: self._by_news(named_by))

    def request_sync(self, public_key: bytes | None = None) -> None:
        """Ask a peer, or the one with the highest head, for blocks until it has nothing new.

        Does nothing if the peer is gone or being asked already.
        """
        if public_key is None:
            session = max(self._roster.all(), key=lambda session: session.head_round, default=None)
        else:
            session = self._roster.of_key(public_key)
        if session is not None and not self._closed.is_set():
            self._syncer.start(session)

    def view(self) -> PeersView:
        """Peers and bans, for people."""
        return PeersView(
            self.peers(),
            [BanView(ban.subject, ban.reason, ban.until_ms) for ban in self._bans.bans()],
            len(self._book),
        )

    def peers(self) -> list[PeerView]:
        """The connected peers, for people."""
        return [self._view_of(session) for session in self._roster.all()]

    def clock_offsets_ms(self) -> list[int]:
        """How far the clocks of the peers that this node dialled are ahead of its own at least."""
        offsets = (each.clock_offset_ms for each in self._roster.all() if each.link.outbound)
        return [offset_ms for offset_ms in offsets if offset_ms is not None]

    def sessions(self) -> Sequence[Session]:
        """The connected peers."""
        return self._roster.all()

    def session_at(self, address: str) -> Session | None:
        """The peer that is known to live at an address, if it is connected."""
        return self._roster.at(address)

    def is_banned(self, address: str) -> bool:
        """Whether an address is not to be dialled."""
        return self._bans.is_banned(address)

    def unban(self, subject: str) -> bool:
        """Listen to a banned key in hexadecimal or host again; whether it was banned."""
        return self._bans.lift(subject)

    async def serve(self, link: PeerLink) -> Refusal | None:
        """Talk to a peer until its link ends; says why it was not let in."""
        try:
            with self._roster.greeting(link):
                hello = await self._greet(link)
            session = self._admit(link, hello)
        except Refused as error:
            return await self._turn_away(link, error)
        except LinkClosed as closed:
            _log.info("peer_lost", remote=link.remote, reason=closed.reason)
            return Refusal.NO_HELLO
        else:
            await self._talk(session)
            return None
        finally:
            # Whatever ended it, also in the midst of the greeting.
            await link.close("broken off")

    async def meet(self, link: PeerLink) -> Refusal | None:
        """Greet a peer and hang up; says what was wrong."""
        try:
            await self._greet(link)
        except Refused as error:
            return await self._turn_away(link, error)
        except LinkClosed:
            return Refusal.NO_HELLO
        else:
            self._note_met(link.remote)
            return None
        finally:
            await link.close("only looking")

    def _by_news(self, named_by: Envelope | None = None) -> Sequence[Session]:
        """The connected peers, first who told of an object first: it has what goes with it, or has
        it soon. Then who told something new last."""
        teller = None if named_by is None else self._relay.teller(named_by)
        return sorted(self._roster.all(), key=lambda each: (each is not teller, -each.last_news))

    async def _greet(self, link: PeerLink) -> Hello:
        is_trusted = link.outbound and self._roster.is_given(link.remote)
        if not is_trusted and self._bans.is_banned(link.remote):
            raise Refused(Refusal.BANNED, "this host misbehaved")
        own = Introduction(
            self._network_id,
            self._key,
            self._handler.head(),
            self._rng.randbytes(NONCE_BYTES),
            self._listen_port,
            self._rules(),
        )
        hello = await greet(link, own)
        if not is_trusted and self._bans.is_banned(link.remote, hello.public_key):
            raise Refused(Refusal.BANNED, "this peer misbehaved")
        return hello

    async def _turn_away(self, link: PeerLink, error: Refused) -> Refusal:
        self.refused[error.reason] += 1
        if error.reason is Refusal.BAD_PROOF:
            self._bans.blame(error, link.remote)
        _log.warning("peer_refused", remote=link.remote, reason=str(error))
        await link.close(str(error))
        return error.reason

    def _admit(self, link: PeerLink, hello: Hello) -> Session:
        """Enter a peer among the connected ones, and tell it what it may have missed."""
        if self._closed.is_set():
            raise LinkClosed("the node stops")
        key = hello.public_key
        address = link.remote if link.outbound else with_port(link.remote, hello.listen_port)
        session = self._roster.admit(
            link, key, lambda: Session(link, key, hello.head_round, self._clock, address)
        )
        if link.outbound:
            self._note_met(link.remote)
        elif address is not None:
            self._book.add(address, link.remote)
        self._relay.catch_up(session)
        if hello.head != self._handler.head()[1]:
            self.request_sync(key)
        _log.info("peer_connected", remote=link.remote, public_key=key.hex())
        return session

    async def _talk(self, session: Session) -> None:
        tending = self._tasks.spawn(self._tend(session), name=f"tend {session.link.remote}")
        try:
            await session.run(self._on_message)
        finally:
            tending.cancel()
            self._roster.leave(session)
            if isinstance(session.reason, Refusal):
                self.refused[session.reason] += 1
            _log.info("peer_lost", remote=session.link.remote, reason=session.reason)

    async def _tend(self, session: Session) -> None:
        try:
            await tend(session, self._book, self._clock, self._rules)
        except Refused as error:
            self._refuse(session, error)

    def _note_met(self, address: str) -> None:
        """Remember a node that answered at an address, for others and for the next run."""
        try:
            self._book.met(checked_address(address))
        except ValueError:
            # A name that the operator gave; it is in the settings, and peers don't take it.
            return
        self._memory.keep_known(self._book.known())
        dialled = [each.link.remote for each in self._roster.all() if each.link.outbound]
        chosen = [each for each in dialled if not self._roster.is_given(each)]
        self._memory.keep_anchors(chosen[:_ANCHORS])

    def _on_message(self, session: Session, message: PeerMessage) -> None:
        try:
            self._dispatcher.take(session, message)
        except (Refused, Rejected) as error:
            self._refuse(session, error)

    def _refuse(self, session: Session, error: Refused | Rejected) -> None:
        self.refused[error.reason] += 1
        remote, key = session.link.remote, session.public_key
        _log.debug("message_refused", remote=remote, reason=str(error))
        is_trusted = self._roster.is_trusted(session)
        verdict = self._bans.blame(error, remote, key, is_trusted=is_trusted)
        if verdict is not Verdict.KEEP:
            # The last offence may weigh nothing; all of them tell what the points were for.
            offences = dict(self._bans.conduct_of(key).offences)
            _log.warning(
                "peer_misbehaved", remote=remote, verdict=verdict.name.lower(), offences=offences
            )
            session.end(Refusal.BANNED if verdict is Verdict.BAN else Refusal.TOO_MANY_REFUSED)
        session.blame()

    def _view_of(self, session: Session) -> PeerView:
        conduct = self._bans.conduct_of(session.public_key)
        return PeerView(
            address=session.link.remote,
            public_key=session.public_key,
            outbound=session.link.outbound,
            head_round=session.head_round,
            score=round(score(conduct, self._clock.now_ms())),
            offences=conduct.offences,
            clock_offset_ms=session.clock_offset_ms,
        )
