"""Blobs by hash: pulled chunk by chunk, from another peer as well where one is slow or breaks off.

A peer that is silent must not cost a round, so requests are hedged (Dean and Barroso, "The Tail at
Scale", CACM 56(2), 2013): whenever nothing has come for a moment, one more peer is asked.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from node.chain.hashing import blob_hash
from node.net.link import LinkClosed
from node.net.protocol import CHUNK_BYTES, CHUNK_TIMEOUT_S, HEDGE_MS, Refusal, Refused
from node.net.session import Session
from node.store.blobs import Part
from node.tasks import TaskOwner
from ponas.v1.peer_service_pb2 import BlobMissing, GetBlob, PeerMessage
from ponas.v1.types_pb2 import BlobChunk

# Few, because honest peers that are slow share this node's line. Peers that were slow to answer
# last get one place less, so that they can't keep the others from being asked.
_PEERS_AT_ONCE = 4
# What broken transfers have brought is kept up to this much, for when the blob is asked for again:
# as much as the largest blob of all, a snapshot, since that one takes long enough to break off.
_MAX_KEPT_BYTES = 64 * 1024 * 1024

_Pull = asyncio.Task[bytes | None]


class NotFound(Exception):
    """No connected peer has the blob, or none that sent it whole."""


def serve_chunk(request: GetBlob, part: Part | None) -> PeerMessage:
    """Answer a request with what it asks for, None if this node doesn't have the blob.

    An offset beyond the end is answered by no data and the true total.
    """
    if part is None:
        return PeerMessage(blob_missing=BlobMissing(hash=request.hash))
    total, data = part
    chunk = BlobChunk(hash=request.hash, offset=request.offset, total=total, data=data)
    return PeerMessage(blob_chunk=chunk)


def result_of(transfer: asyncio.Task[bytes | None]) -> bytes | None:
    """What a transfer has brought so far: the blob, or nothing."""
    is_over = transfer.done() and not transfer.cancelled() and transfer.exception() is None
    return transfer.result() if is_over else None


@dataclass
class _Shared:
    """A transfer under way, and how many callers wait for it."""

    transfer: _Transfer
    task: asyncio.Task[bytes | None]
    num_callers: int = 0


class BlobFetcher:
    """Fetches blobs from whoever is connected.

    Args:
        refuse: told of a peer that broke a rule.
        tasks: owns the transfers.
    """

    def __init__(
        self,
        refuse: Callable[[Session, Refused], None],
        tasks: TaskOwner,
    ) -> None:
        self._refuse = refuse
        self._tasks = tasks
        # The bound is part of the key: a caller that expects too little must not make the
        # transfer of another one fail.
        self._transfers: dict[tuple[bytes, int], _Shared] = {}
        # Beginnings of blobs whose transfers broke off, the newest last; unchecked.
        self._kept: OrderedDict[tuple[bytes, int], bytes] = OrderedDict()

    def under_way(self, wanted: bytes) -> asyncio.Task[bytes | None] | None:
        """The transfer that brings a blob here, if there is one."""
        return next(
            (shared.task for (blob, _), shared in self._transfers.items() if blob == wanted), None
        )

    async def fetch(
        self, wanted: bytes, max_bytes: int, sessions: Callable[[], Sequence[Session]]
    ) -> bytes:
        """The blob whose hash is `wanted`; requests for the same one share a transfer.

        `sessions` are the connected peers in the order to ask them. The transfer ends with the
        last caller that waits for it.

        Raises:
            NotFound: every peer was asked, and none gave a blob of that hash and at most
                `max_bytes`.
        """
        key = (wanted, max_bytes)
        shared = self._transfers.get(key)
        if shared is None:
            start = self._kept.pop(key, b"")
            transfer = _Transfer(wanted, max_bytes, sessions, self._refuse, start)
            task = self._tasks.spawn(transfer.run(), name=f"fetch {wanted.hex()[:8]}")
            shared = self._transfers[key] = _Shared(transfer, task)
        shared.num_callers += 1
        blob = None
        try:
            # One caller that gives up must not end the transfer of the others.
            blob = await asyncio.shield(shared.task)
        finally:
            shared.num_callers -= 1
            if not shared.num_callers:
                del self._transfers[key]
                shared.task.cancel()
                if blob is None:
                    self._keep(key, shared.transfer.reached)
        if blob is None:
            raise NotFound(f"no peer gave blob {wanted.hex()} within {max_bytes} bytes")
        return blob

    def _keep(self, key: tuple[bytes, int], beginning: bytes) -> None:
        """Keep what has come of a blob, and forget the oldest beginnings beyond the bound."""
        if beginning:
            self._kept[key] = beginning
        while sum(map(len, self._kept.values())) > _MAX_KEPT_BYTES:
            self._kept.popitem(last=False)


class _Transfer:
    """One blob on its way here, as far as `start` already; arguments as those of `BlobFetcher`."""

    def __init__(
        self,
        wanted: bytes,
        max_bytes: int,
        sessions: Callable[[], Sequence[Session]],
        refuse: Callable[[Session, Refused], None],
        start: bytes,
    ) -> None:
        self._wanted = wanted
        self._max_bytes = max_bytes
        self._sessions = sessions
        self._refuse = refuse
        # The longest beginning that came so far, for the next peer to go on with; unchecked.
        self._reached = bytearray(start)
        self._has_moved = False
        self._lacking: set[Session] = set()

    @property
    def reached(self) -> bytes:
        """The longest beginning that has come; unchecked."""
        return bytes(self._reached)

    async def run(self) -> bytes | None:
        """The first whole blob of the right hash; None once every peer has failed."""
        pulls = TaskOwner()
        asked: set[Session] = set()
        running: list[_Pull] = []
        try:
            while True:
                if (session := self._next(asked, len(running))) is not None:
                    asked.add(session)
                    name = f"pull from {session.link.remote}"
                    running.append(pulls.spawn(self._pull(session), name=name))
                if not running:
                    return None
                ended, running = await self._watch(running)
                for pull in ended:
                    if (blob := pull.result()) is not None:
                        return blob
                if not ended:
                    # While some are silent, those who had nothing may have got it.
                    asked -= self._lacking
                    self._lacking.clear()
        finally:
            await pulls.close()

    def _next(self, asked: set[Session], num_running: int) -> Session | None:
        """Whom to ask now: the prompt before the late, in the order given; None for nobody."""
        left = (session for session in self._sessions() if session not in asked)
        session = min(left, key=_is_late, default=None)
        if session is None:
            return None
        num_places = _PEERS_AT_ONCE - 1 if _is_late(session) else _PEERS_AT_ONCE
        return session if num_running < num_places else None

    async def _watch(self, running: list[_Pull]) -> tuple[list[_Pull], list[_Pull]]:
        """Wait until a pull ends, or none has moved for a moment; those that ended, and others.

        Both in the order in which they were started, so that a simulation repeats.
        """
        while True:
            self._has_moved = False
            ended, _ = await asyncio.wait(
                running, timeout=HEDGE_MS / 1_000, return_when=asyncio.FIRST_COMPLETED
            )
            if ended or not self._has_moved:
                others = [pull for pull in running if pull not in ended]
                return [pull for pull in running if pull in ended], others

    async def _pull(self, session: Session) -> bytes | None:
        """The blob as far as one peer can bring it: whole and checked, or None."""
        try:
            if self._reached:
                if (blob := await self._download(session, self._reached)) is None:
                    return None
                if blob_hash(blob) == self._wanted:
                    return blob
                # What others gave may be wrong; this peer alone gets its chance.
                self._reached = bytearray()
            if (blob := await self._download(session, b"")) is None:
                return None
            if blob_hash(blob) == self._wanted:
                return blob
            detail = f"sent another blob for {self._wanted.hex()}"
            raise Refused(Refusal.WRONG_HASH, detail)
        except Refused as error:
            self._refuse(session, error)
        except (LinkClosed, TimeoutError):
            # Gone or slow is no offence; others go on where this one stopped.
            pass
        return None

    async def _download(self, session: Session, start: bytes | bytearray) -> bytes | None:
        """What a peer brings the blob to from `start` on; None if it doesn't have it.

        Raises:
            Refused: the peer answered wrongly.
            LinkClosed, TimeoutError: it did not answer.
        """
        blob = bytearray(start)
        while True:
            request = GetBlob(hash=self._wanted, offset=len(blob))
            answer = await session.ask(PeerMessage(get_blob=request), CHUNK_TIMEOUT_S)
            if answer.blob_missing.hash == self._wanted:
                self._lacking.add(session)
                return None
            chunk = _checked_chunk(answer, request, self._max_bytes)
            self._has_moved = True
            blob += chunk.data
            if len(blob) >= chunk.total:
                return bytes(blob)
            self._reached = max(self._reached, blob, key=len)


def _is_late(session: Session) -> bool:
    return session.lag_ms > HEDGE_MS


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
