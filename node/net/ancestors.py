"""The blocks below a known one. Hashes bind them to it, so it does not matter who sends them."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from node.chain.block import open_header
from node.chain.errors import Rejected
from node.net.bodies import BodyFetcher
from node.net.link import LinkClosed
from node.net.protocol import (
    MAX_BODIES,
    SYNC_TIMEOUT_S,
    ChainHandler,
    Header,
    Refusal,
    Refused,
)
from node.net.session import Session
from node.wire import envelope_from_proto, envelope_to_proto
from ponas.v1.peer_service_pb2 import GetAncestors, Headers, PeerMessage


class AncestorFetcher:
    """Fetches old blocks, a few at a time.

    Args:
        network_id: 32 bytes.
        sessions: the connected peers, in the order to ask them.
        refuse: told of a peer that broke a rule.
    """

    def __init__(
        self,
        network_id: bytes,
        sessions: Callable[[], Sequence[Session]],
        refuse: Callable[[Session, Refused | Rejected], None],
    ) -> None:
        self._network_id = network_id
        self._sessions = sessions
        self._refuse = refuse
        self._bodies = BodyFetcher(sessions, refuse)

    async def fetch(self, block_id: bytes) -> Sequence[tuple[Header, bytes]]:
        """Header and body of a block and of some below it, downwards; nothing if nobody has it."""
        for session in self._sessions():
            try:
                if headers := await self._ask(session, block_id):
                    bodies = await self._bodies.fetch(session, headers)
                    return list(zip(headers, bodies, strict=False))
            except (Refused, Rejected) as error:
                self._refuse(session, error)
            except (LinkClosed, TimeoutError):
                # Gone or slow is no offence.
                continue
        return ()

    async def _ask(self, session: Session, block_id: bytes) -> Sequence[Header]:
        request = GetAncestors(block=block_id, limit=MAX_BODIES)
        answer = await session.ask(PeerMessage(get_ancestors=request), SYNC_TIMEOUT_S)
        if not answer.HasField("headers"):
            raise Refused(Refusal.UNASKED, "answered with something other than headers")
        if len(answer.headers.headers) > MAX_BODIES:
            raise Refused(Refusal.OVERSIZED, f"sent more than {MAX_BODIES} headers")
        received = [envelope_from_proto(header) for header in answer.headers.headers]
        headers = [open_header(header, self._network_id) for header in received]
        if headers and headers[0].id != block_id:
            raise Refused(Refusal.BROKEN_HEADERS, "the headers start from another block")
        for header, below in pairwise(headers):
            if below.id != header.message.parent:
                raise Refused(Refusal.BROKEN_HEADERS, "a header does not build on the one after it")
        return headers


def serve_ancestors(request: GetAncestors, handler: ChainHandler) -> PeerMessage:
    """The headers from a block down."""
    headers = handler.headers_down(request.block, min(request.limit, MAX_BODIES))
    return PeerMessage(headers=Headers(headers=map(envelope_to_proto, headers)))
