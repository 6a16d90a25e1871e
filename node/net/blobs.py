"""Blobs by hash: pulled chunk by chunk, resumed from another peer where one breaks off."""

import asyncio
from collections.abc import Callable, Sequence

from node.chain.hashing import blob_hash
from node.net.link import LinkClosed
from node.net.protocol import CHUNK_BYTES, CHUNK_TIMEOUT_S, Refusal, Refused
from node.net.session import Session
from node.tasks import TaskOwner
from ponas.v1.peer_service_pb2 import BlobMissing, GetBlob, PeerMessage
from ponas.v1.types_pb2 import BlobChunk


class NotFound(Exception):
    """No connected peer has the blob, or none that sent it whole."""


def serve_chunk(request: GetBlob, blob: bytes | None) -> PeerMessage:
    """Answer a request from the blob it names, None if this node doesn't have it.

    An offset beyond the end is answered by no data and the true total.
    """
    if blob is None:
        return PeerMessage(blob_missing=BlobMissing(hash=request.hash))
    data = blob[request.offset : request.offset + CHUNK_BYTES]
    chunk = BlobChunk(hash=request.hash, offset=request.offset, total=len(blob), data=data)
    return PeerMessage(blob_chunk=chunk)


class BlobFetcher:
    """Fetches blobs from whoever is connected.

    Args:
        sessions: the connected peers, in the order to ask them.
        refuse: told of a peer that broke a rule.
        tasks: owns the transfers.
    """

    def __init__(
        self,
        sessions: Callable[[], Sequence[Session]],
        refuse: Callable[[Session, Refused], None],
        tasks: TaskOwner,
    ) -> None:
        self._sessions = sessions
        self._refuse = refuse
        self._tasks = tasks
        # The bound is part of the key: a caller that expects too little must not make the
        # transfer of another one fail.
        self._transfers: dict[tuple[bytes, int], asyncio.Task[bytes | None]] = {}

    async def fetch(self, wanted: bytes, max_bytes: int) -> bytes:
        """The blob whose hash is `wanted`; requests for the same one share a transfer.

        Raises:
            NotFound: every peer was asked, and none gave a blob of that hash and at most
                `max_bytes`.
        """
        key = (wanted, max_bytes)
        transfer = self._transfers.get(key)
        if transfer is None:
            transfer = self._tasks.spawn(
                self._transfer(wanted, max_bytes), name=f"fetch {wanted.hex()[:8]}"
            )
            self._transfers[key] = transfer
            transfer.add_done_callback(lambda _: self._transfers.pop(key))
        # One caller that gives up must not end the transfer of the others.
        blob = await asyncio.shield(transfer)
        if blob is None:
            raise NotFound(f"no peer gave blob {wanted.hex()} within {max_bytes} bytes")
        return blob

    async def _transfer(self, wanted: bytes, max_bytes: int) -> bytes | None:
        tried: set[Session] = set()
        reached = b""
        while (session := self._next_untried(tried)) is not None:
            tried.add(session)
            # What others gave may be wrong: if the whole is, this peer alone gets its chance.
            for start in (reached, b"") if reached else (b"",):
                blob, is_whole = await self._pull(session, wanted, max_bytes, start)
                if not is_whole:
                    reached = max(reached, blob, key=len)
                    break
                if blob_hash(blob) == wanted:
                    return blob
                reached = b""
                if not start:
                    detail = f"sent another blob for {wanted.hex()}"
                    self._refuse(session, Refused(Refusal.WRONG_HASH, detail))
        return None

    def _next_untried(self, tried: set[Session]) -> Session | None:
        return next((session for session in self._sessions() if session not in tried), None)

    async def _pull(
        self, session: Session, wanted: bytes, max_bytes: int, start: bytes
    ) -> tuple[bytes, bool]:
        """What one peer brings the blob to from `start` on, and whether it says that is all."""
        blob = bytearray(start)
        try:
            while True:
                request = GetBlob(hash=wanted, offset=len(blob))
                answer = await session.ask(PeerMessage(get_blob=request), CHUNK_TIMEOUT_S)
                if answer.blob_missing.hash == wanted:
                    return bytes(blob), False
                chunk = _checked_chunk(answer, request, max_bytes)
                blob += chunk.data
                if len(blob) >= chunk.total:
                    return bytes(blob), True
        except Refused as error:
            self._refuse(session, error)
        except (LinkClosed, TimeoutError):
            # Gone or slow is no offence; the next peer goes on where this one stopped.
            pass
        return bytes(blob), False


def _checked_chunk(answer: PeerMessage, request: GetBlob, max_bytes: int) -> BlobChunk:
    chunk = answer.blob_chunk
    if (chunk.hash, chunk.offset) != (request.hash, request.offset):
        raise Refused(Refusal.UNASKED, "answered with something other than the chunk asked for")
    if chunk.total > max_bytes:
        raise Refused(
            Refusal.OVERSIZED, f"offers a blob of {chunk.total} bytes where {max_bytes} are due"
        )
    if len(chunk.data) != max(0, min(CHUNK_BYTES, chunk.total - chunk.offset)):
        raise Refused(Refusal.MALFORMED, f"sent a chunk of {len(chunk.data)} bytes")
    return chunk
