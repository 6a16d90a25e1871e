"""Bodies of a chain of headers: from the peer that sent the headers, or another where it is slow.

A peer that announces a chain and then brings no bodies must not hold up the sync while others have
them, so requests are hedged as those for blobs are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from node.chain.hashing import HASH_BYTES, blob_hash
from node.chain.messages import MAX_BODY_BYTES
from node.net.link import LinkClosed
from node.net.protocol import (
    MAX_BODIES,
    SYNC_BYTES,
    SYNC_TIMEOUT_S,
    ChainHandler,
    Header,
    Refusal,
    Refused,
)
from node.net.session import Session
from node.tasks import TaskOwner
from ponas.v1.peer_service_pb2 import Bodies, GetBodies, PeerMessage

# Bodies are large, so another peer is asked only after a while, and no third meanwhile.
_HEDGE_S = 1.0
_PEERS_AT_ONCE = 2

_Pull = asyncio.Task[Sequence[bytes]]


class BodyFetcher:
    """Fetches bodies from whoever is connected.

    Args:
        sessions: the connected peers.
        refuse: told of a peer that broke a rule.
    """

    def __init__(
        self,
        sessions: Callable[[], Sequence[Session]],
        refuse: Callable[[Session, Refused], None],
    ) -> None:
        self._sessions = sessions
        self._refuse = refuse

    async def fetch(self, source: Session, headers: Sequence[Header]) -> Sequence[bytes]:
        """Bodies of the first of `headers`, which `source` sent: at least one, all of the hashes
        that the headers name.

        Raises:
            TimeoutError: nobody brought any in time.
        """
        # The prompt before the late; among them the one that must have the bodies.
        others = [session for session in self._sessions() if session is not source]
        left = sorted((source, *others), key=lambda session: session.lag_ms > _HEDGE_S * 1_000)
        pulls = TaskOwner()
        running: list[_Pull] = []
        try:
            while left or running:
                if left and len(running) < _PEERS_AT_ONCE:
                    session = left.pop(0)
                    running.append(
                        pulls.spawn(
                            self._pull(session, headers, must_have=session is source),
                            name=f"bodies from {session.link.remote}",
                        )
                    )
                ended, _ = await asyncio.wait(
                    running, timeout=_HEDGE_S, return_when=asyncio.FIRST_COMPLETED
                )
                # In the order in which they were started, so that a simulation repeats.
                for pull in [pull for pull in running if pull in ended]:
                    running.remove(pull)
                    if bodies := pull.result():
                        return bodies
        finally:
            await pulls.close()
        raise TimeoutError("nobody brought the bodies")

    async def _pull(
        self, session: Session, headers: Sequence[Header], *, must_have: bool
    ) -> Sequence[bytes]:
        """What one peer has of the bodies, checked; nothing if it failed."""
        asked = headers[:MAX_BODIES]
        request = PeerMessage(get_bodies=GetBodies(ids=[header.id for header in asked]))
        try:
            bodies = _checked(await session.ask(request, SYNC_TIMEOUT_S), asked)
            if must_have and not bodies:
                raise Refused(Refusal.MALFORMED, "sent no bodies for headers of its own")
        except Refused as error:
            self._refuse(session, error)
            return ()
        except (LinkClosed, TimeoutError):
            # Gone or slow is no offence.
            return ()
        return bodies


def _checked(answer: PeerMessage, headers: Sequence[Header]) -> Sequence[bytes]:
    if not answer.HasField("bodies"):
        raise Refused(Refusal.UNASKED, "answered with something other than bodies")
    bodies = answer.bodies.bodies
    if len(bodies) > len(headers):
        raise Refused(Refusal.MALFORMED, f"sent {len(bodies)} bodies for {len(headers)} headers")
    if any(len(body) > MAX_BODY_BYTES for body in bodies):
        raise Refused(Refusal.OVERSIZED, f"a body has at most {MAX_BODY_BYTES} bytes")
    for body, header in zip(bodies, headers, strict=False):
        if blob_hash(body) != header.message.body_hash:
            raise Refused(Refusal.WRONG_HASH, "sent another body than its header names")
    return bodies


def check_ids(request: GetBodies) -> None:
    """Refuse a request that no honest peer makes.

    Raises:
        Refused: it asks for too many bodies, or by what is no id.
    """
    if not 1 <= len(request.ids) <= MAX_BODIES or any(len(i) != HASH_BYTES for i in request.ids):
        detail = f"bodies are asked for by 1 to {MAX_BODIES} ids of {HASH_BYTES} bytes"
        raise Refused(Refusal.MALFORMED, detail)


def serve_bodies(request: GetBodies, handler: ChainHandler) -> PeerMessage:
    """As many of the bodies as one message takes, up to the first that is not here."""
    answer = Bodies()
    left_bytes = SYNC_BYTES
    for block_id in request.ids:
        body = handler.body(block_id)
        if body is None or (left_bytes := left_bytes - len(body)) < 0:
            break
        answer.bodies.append(body)
    return PeerMessage(bodies=answer)
