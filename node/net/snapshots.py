"""Which blob holds the state after a block: asked of all peers at once, on nobody's word."""

import asyncio
from collections.abc import Callable, Sequence

from node.chain.hashing import HASH_BYTES
from node.net.link import LinkClosed
from node.net.protocol import SNAPSHOT_TIMEOUT_S, Refusal, Refused
from node.net.session import Session
from ponas.v1.peer_service_pb2 import GetSnapshot, PeerMessage, Snapshot


class SnapshotFinder:
    """Remembers who named which blob.

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
        self._named: dict[bytes, list[Session]] = {}

    async def find(self, block_id: bytes) -> Sequence[bytes]:
        """Hashes of the blobs that hold the state after a block by the peers' word.

        What most of them name comes first, for honest nodes write the same bytes.
        """
        sessions = self._sessions()
        blobs = await asyncio.gather(*(self._ask(session, block_id) for session in sessions))
        self._named = {blob: [] for blob in blobs if blob}
        for session, blob in zip(sessions, blobs, strict=True):
            if blob:
                self._named[blob].append(session)
        return sorted(self._named, key=lambda blob: -len(self._named[blob]))

    def disprove(self, blob: bytes, detail: str) -> None:
        """Blame all who named a blob that is no state of the block asked for."""
        for session in self._named.pop(blob, ()):
            self._refuse(session, Refused(Refusal.FALSE_SNAPSHOT, detail))

    async def _ask(self, session: Session, block_id: bytes) -> bytes:
        """The hash by a peer's word; empty if it has none, or does not answer in time."""
        request = PeerMessage(get_snapshot=GetSnapshot(block=block_id))
        try:
            return _checked(await session.ask(request, SNAPSHOT_TIMEOUT_S))
        except Refused as error:
            self._refuse(session, error)
        except (LinkClosed, TimeoutError):
            # Gone or slow is no offence.
            pass
        return b""


def serve_snapshot(blob: bytes) -> PeerMessage:
    """Name the blob of a state, or nothing."""
    return PeerMessage(snapshot=Snapshot(blob=blob))


def _checked(answer: PeerMessage) -> bytes:
    if not answer.HasField("snapshot"):
        raise Refused(Refusal.UNASKED, "answered with something other than a snapshot")
    if len(answer.snapshot.blob) not in (0, HASH_BYTES):
        raise Refused(Refusal.MALFORMED, f"a blob is named by {HASH_BYTES} bytes")
    return answer.snapshot.blob
