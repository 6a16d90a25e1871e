"""Header-first sync: whose headers link to what is known is then asked for the bodies.

A liar has to sign a chain of headers before a single body is moved, and bodies are asked for while
those before are checked (`node.net.bodies`).
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import pairwise

import structlog

from node.chain.block import read_header
from node.chain.errors import Rejected
from node.chain.hashing import HASH_BYTES
from node.chain.messages import Envelope
from node.net.bodies import BodyFetcher
from node.net.link import LinkClosed
from node.net.protocol import (
    MAX_BODIES,
    MAX_HEADERS,
    MAX_LOCATOR,
    SYNC_BYTES,
    SYNC_TIMEOUT_S,
    ChainHandler,
    Header,
    Refusal,
    Refused,
)
from node.net.session import Session
from node.tasks import TaskOwner
from node.wire import WireBlock, envelope_from_proto, envelope_to_proto
from ponas.v1.peer_service_pb2 import GetHeaders, Headers, PeerMessage

# Blocks that wait for votes in later ones; a chain with more must do without a quorum's word.
_MAX_WAITING = 2 * MAX_BODIES
# Of all peers together.
_MAX_WAITING_BYTES = 24 * 1024 * 1024

_log = structlog.get_logger("peers")


class Syncer:
    """Follows peers' chains, one at a time from each.

    Args:
        network_id: 32 bytes.
        handler: takes the blocks in.
        sessions: the connected peers, who may have bodies too.
        refuse: told of a peer that broke a rule.
        tasks: owns the transfers.
    """

    def __init__(
        self,
        network_id: bytes,
        handler: ChainHandler,
        sessions: Callable[[], Sequence[Session]],
        refuse: Callable[[Session, Refused | Rejected], None],
        tasks: TaskOwner,
    ) -> None:
        self._network_id = network_id
        self._handler = handler
        self._bodies = BodyFetcher(sessions, refuse)
        self._refuse = refuse
        self._tasks = tasks
        self._syncing: set[Session] = set()
        # Bodies of blocks that wait, from each peer.
        self._waiting_bytes: dict[Session, int] = {}

    def start(self, session: Session) -> None:
        """Ask a peer for blocks until it has nothing new; does nothing if it is asked already."""
        if session not in self._syncing:
            self._syncing.add(session)
            self._tasks.spawn(self._sync(session), name=f"sync {session.link.remote}")

    async def _sync(self, session: Session) -> None:
        try:
            while await self._pull(session):
                pass
        except (Refused, Rejected) as error:
            self._refuse(session, error)
        except (LinkClosed, TimeoutError) as error:
            _log.info("sync_broken", remote=session.link.remote, reason=str(error))
        finally:
            self._syncing.discard(session)

    async def _pull(self, session: Session) -> bool:
        """Take in the peer's next headers and their bodies; whether something was new.

        Raises:
            Refused, Rejected: the peer answered wrongly.
            LinkClosed, TimeoutError: it did not answer.
        """
        headers, votes = await self._ask_headers(session)
        rest = await self._handler.missing(headers, votes)
        if not rest:
            return await self._handler.on_blocks([], votes)
        learnt = False
        # Blocks that are not in the tree yet, with those behind them still on their way.
        waiting: list[tuple[Header, bytes]] = []
        asking = self._ask_bodies(session, rest)
        try:
            while rest:
                bodies = await asking
                waiting += zip(rest, bodies, strict=False)
                rest = rest[len(bodies) :]
                if rest:
                    asking = self._ask_bodies(session, rest)
                more_follow = bool(rest) and self._may_wait(session, waiting)
                is_new = await self._handler.on_blocks(
                    [WireBlock(header.envelope, body) for header, body in waiting],
                    () if more_follow else votes,
                    more_follow=more_follow,
                )
                learnt = learnt or is_new
                if not (is_new or more_follow):
                    break
                waiting = [each for each in waiting if not self._handler.knows(each[0].id)]
        finally:
            self._waiting_bytes.pop(session, None)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        return learnt

    def _may_wait(self, session: Session, waiting: Sequence[tuple[Header, bytes]]) -> bool:
        """Whether blocks may wait for votes in those behind them. What one message brought may,
        however much others have brought."""
        num_bytes = sum(len(body) for _, body in waiting)
        self._waiting_bytes[session] = num_bytes
        has_room = sum(self._waiting_bytes.values()) <= _MAX_WAITING_BYTES
        return len(waiting) < _MAX_WAITING and (num_bytes <= SYNC_BYTES or has_room)

    async def _ask_headers(self, session: Session) -> tuple[list[Header], list[Envelope]]:
        request = GetHeaders(locator=self._handler.locator()[:MAX_LOCATOR], limit=MAX_HEADERS)
        answer = await session.ask(PeerMessage(get_headers=request), SYNC_TIMEOUT_S)
        if not answer.HasField("headers"):
            raise Refused(Refusal.UNASKED, "answered with something other than headers")
        if len(answer.headers.headers) > MAX_HEADERS:
            raise Refused(Refusal.OVERSIZED, f"sent more than {MAX_HEADERS} headers")
        received = [envelope_from_proto(header) for header in answer.headers.headers]
        headers = [read_header(header, self._network_id) for header in received]
        check_links(headers, self._handler.knows)
        return headers, [envelope_from_proto(vote) for vote in answer.headers.votes]

    def _ask_bodies(
        self, session: Session, headers: Sequence[Header]
    ) -> asyncio.Task[Sequence[bytes]]:
        # Not awaited at once: what came before is checked meanwhile.
        return asyncio.ensure_future(self._bodies.fetch(session, headers))


def check_links(headers: Sequence[Header], knows: Callable[[bytes], bool]) -> None:
    """Check that headers form a chain from a known block on.

    Raises:
        Refused: the first's parent is unknown, one's parent is not the one before, or a round
            does not rise.
    """
    if headers and not knows(headers[0].message.parent):
        raise Refused(Refusal.BROKEN_HEADERS, "the headers start from a block nobody asked about")
    for before, header in pairwise(headers):
        if header.message.parent != before.id:
            raise Refused(Refusal.BROKEN_HEADERS, "a header does not build on the one before it")
        if header.message.round <= before.message.round:
            raise Refused(Refusal.BROKEN_HEADERS, "rounds do not rise along the headers")


def check_locator(request: GetHeaders) -> None:
    """Refuse a request that no honest peer makes.

    Raises:
        Refused: the locator is too long or holds no ids.
    """
    if len(request.locator) > MAX_LOCATOR or any(len(i) != HASH_BYTES for i in request.locator):
        detail = f"a locator has at most {MAX_LOCATOR} ids of {HASH_BYTES} bytes"
        raise Refused(Refusal.MALFORMED, detail)


def serve_headers(request: GetHeaders, handler: ChainHandler) -> PeerMessage:
    """The headers after the locator, then as many votes as the message takes."""
    headers, votes = handler.headers_after(tuple(request.locator), min(request.limit, MAX_HEADERS))
    answer = Headers(headers=map(envelope_to_proto, headers))
    left_bytes = SYNC_BYTES - answer.ByteSize()
    for vote in map(envelope_to_proto, votes):
        if (left_bytes := left_bytes - vote.ByteSize()) < 0:
            break
        answer.votes.append(vote)
    return PeerMessage(headers=answer)
