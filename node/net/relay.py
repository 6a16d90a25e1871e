"""Gossip: every object judged once and passed on to those who have not sent it."""

from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable

from node.chain.errors import Rejected
from node.chain.hashing import blake, u64
from node.chain.messages import TRANSACTIONS, Envelope
from node.net.limits import Seen
from node.net.protocol import ChainHandler, Gossip, Refusal, Refused
from node.net.session import Session
from node.tasks import TaskOwner
from node.wire import envelope_from_proto, envelope_to_proto
from ponas.v1.peer_service_pb2 import PeerMessage
from ponas.v1.types_pb2 import Envelope as EnvelopeMessage

# Gossip remembered, to judge nothing twice; and what a peer that comes late is told.
_SEEN = 65_536
_RECENT = 256
# Objects of which it is known who told of them first.
_TOLD = 1_024


class Relay:
    """Passes objects on between the connected peers.

    Args:
        handler: says what is to become of an object.
        sessions: the connected peers.
        refuse: told of a peer whose object broke a rule, if that took long to find out.
        tasks: owns what takes long.
    """

    def __init__(
        self,
        handler: ChainHandler,
        sessions: Callable[[], Iterable[Session]],
        refuse: Callable[[Session, Rejected], None],
        tasks: TaskOwner,
    ) -> None:
        self._handler = handler
        self._sessions = sessions
        self._refuse = refuse
        self._tasks = tasks
        self._seen = Seen(_SEEN)
        self._num_news = 0
        self._tellers: OrderedDict[bytes, Session] = OrderedDict()
        self._recent: deque[PeerMessage] = deque(maxlen=_RECENT)

    def broadcast(self, envelope: Envelope) -> None:
        """Send an object of this node's own to all peers; a second time does nothing."""
        if self._seen.add(key := _gossip_key(envelope)):
            self._spread(envelope, key)

    def offer(self, envelope: Envelope) -> None:
        """Send a transaction of this node's own to all peers, also those who had no use for it."""
        key = _gossip_key(envelope)
        if self._seen.add(key):
            self._spread(envelope, key)
        else:
            self._post(PeerMessage(gossip=envelope_to_proto(envelope)), key)

    def catch_up(self, session: Session) -> None:
        """Tell a new peer what was sent or passed on last."""
        for message in self._recent:
            session.post(message)

    def take(self, session: Session, message: EnvelopeMessage) -> None:
        """Judge what a peer sent, and pass it on.

        Raises:
            Refused: it sent the object before.
            Rejected: the object breaks a rule.
        """
        envelope = envelope_from_proto(message)
        key = _gossip_key(envelope)
        is_again = not session.delivered.add(key)
        if envelope.kind in TRANSACTIONS:
            # Who has taken a transaction in offers it until it is final, so none is refused for
            # coming again; but each one judged in vain is work that nobody pays for.
            if not session.useless.has():
                return
        elif is_again:
            raise Refused(Refusal.REPLAYED, "sent the same object twice")
        if not self._seen.add(key):
            return
        verdict = self._handler.on_gossip(envelope)
        if isinstance(verdict, Gossip):
            self._act_on(verdict, session, envelope, key)
        else:
            waiting = self._wait(verdict, session, envelope, key)
            self._tasks.spawn(waiting, name=f"judge gossip of {session.link.remote}")

    async def _wait(
        self, judging: Awaitable[Gossip], session: Session, envelope: Envelope, key: bytes
    ) -> None:
        try:
            self._act_on(await judging, session, envelope, key)
        except Rejected as error:
            self._refuse(session, error)

    def _act_on(self, verdict: Gossip, session: Session, envelope: Envelope, key: bytes) -> None:
        match verdict:
            case Gossip.RELAY:
                self._num_news += 1
                session.last_news = self._num_news
                self._tellers[key] = session
                if len(self._tellers) > _TOLD:
                    self._tellers.popitem(last=False)
                self._spread(envelope, key)
            case Gossip.DEFER:
                self._seen.discard(key)
                if envelope.kind in TRANSACTIONS:
                    session.useless.take()
            case Gossip.DROP:
                pass

    def teller(self, envelope: Envelope) -> Session | None:
        """Who told of an object first; None if nobody did, or long ago."""
        return self._tellers.get(_gossip_key(envelope))

    def _spread(self, envelope: Envelope, key: bytes) -> None:
        message = PeerMessage(gossip=envelope_to_proto(envelope))
        self._recent.append(message)
        self._post(message, key)

    def _post(self, message: PeerMessage, key: bytes) -> None:
        for session in self._sessions():
            if key not in session.delivered:
                session.post(message)


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
