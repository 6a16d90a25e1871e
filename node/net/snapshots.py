"""Which blob holds the state after a block, by the word of peers."""

from node.chain.hashing import HASH_BYTES
from node.net.link import LinkClosed
from node.net.protocol import SNAPSHOT_TIMEOUT_S, Refusal, Refused
from node.net.session import Session
from ponas.v1.peer_service_pb2 import GetSnapshot, PeerMessage, Snapshot


async def ask_snapshot(session: Session, block_id: bytes) -> bytes:
    """The hash of the blob by a peer's word; empty if it has none, or does not answer in time.

    Raises:
        Refused: the peer answered wrongly.
    """
    request = PeerMessage(get_snapshot=GetSnapshot(block=block_id))
    try:
        answer = await session.ask(request, SNAPSHOT_TIMEOUT_S)
    except (LinkClosed, TimeoutError):
        return b""
    if not answer.HasField("snapshot"):
        raise Refused(Refusal.UNASKED, "answered with something other than a snapshot")
    if len(answer.snapshot.blob) not in (0, HASH_BYTES):
        raise Refused(Refusal.MALFORMED, f"a blob is named by {HASH_BYTES} bytes")
    return answer.snapshot.blob


def serve_snapshot(blob: bytes) -> PeerMessage:
    """Name the blob of a state, or nothing."""
    return PeerMessage(snapshot=Snapshot(blob=blob))
