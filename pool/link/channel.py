"""One end of a pool connection: messages both ways without blocking, and blobs over the same link.

Both ends use it. Sending never waits: a side that does not read what it is sent is disconnected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

from node.chain.hashing import HASH_BYTES
from node.clock import Clock
from node.net.limits import TokenBucket
from node.net.link import Link, LinkClosed
from ponas.v1.pool_service_pb2 import BlobRequest, MineRequest, MineResponse
from ponas.v1.types_pb2 import BlobChunk
from pool.link.blobs import BlobError, Incoming, chunks
from pool.records.floods import Flood

Out = TypeVar("Out", MineRequest, MineResponse)
In = TypeVar("In", MineRequest, MineResponse)

# Messages that may wait for a slow reader; a blob counts as one and is cut while it is sent.
_OUTBOX = 64
# Blobs that are still to be made; beyond that the other end hears that they are not here.
_MAX_WANTED = 4
# Blobs that this end fetches at a time: a state, which takes the other end minutes to make, and
# another one meanwhile.
_FETCHES = 2

REQUESTS_A_MINUTE, REQUESTS_AT_ONCE = 600, 128
"""Requests for blobs that the other end may send, for long and beyond that. A manager asks for two
blobs of a best and of an audit, a miner for the weights of each new best."""

Make = Callable[[bytes], Awaitable[bytes | None]]
"""Makes the blob with a hash, which may take long; None if that can't be done."""


class Channel(Generic[Out, In]):
    """Sends, receives and moves blobs over a link.

    `message` is the class of what this end sends; `held` finds a blob that the other end asks for,
    and `make` makes those that it lacks, one at a time. Who floods it, by `clock`, is left: the
    reason is a `Flood`.
    """

    def __init__(
        self,
        link: Link[Out, In],
        message: type[Out],
        held: Callable[[bytes], bytes | None],
        clock: Clock,
        make: Make | None = None,
    ) -> None:
        self._link: Link[Out, In] = link
        self._message: type[Out] = message
        self._held = held
        self._make = make
        self._clock = clock
        self._answered_ms = 0
        self._wanted: asyncio.Queue[bytes] | None = asyncio.Queue(_MAX_WANTED) if make else None
        self._outbox: asyncio.Queue[Iterable[Out]] = asyncio.Queue(_OUTBOX)
        self._reason: str | None = None
        self._receiving: asyncio.Timeout | None = None
        self._places = asyncio.Semaphore(_FETCHES)
        self._arriving: dict[bytes, tuple[Incoming, asyncio.Future[bytes]]] = {}
        self._late_chunks = 0
        self._requests = TokenBucket(clock, REQUESTS_AT_ONCE, REQUESTS_A_MINUTE)

    def send(self, message: Out) -> None:
        """Queue a message; after the end of the link this does nothing."""
        self._put((message,))

    async def post(self, message: Out) -> None:
        """Queue a message as soon as there is room."""
        await self._outbox.put((message,))

    @property
    def has_ended(self) -> bool:
        """Whether the link is over, or about to be."""
        return self._reason is not None

    def end(self, reason: str) -> None:
        """Let `run` close the link; the first reason is the one that is told."""
        if self._reason is None:
            self._reason = reason
            if self._receiving is not None:
                self._receiving.reschedule(asyncio.get_running_loop().time())

    async def fetch(self, hash_: bytes, max_bytes: int, timeout_ms: int) -> bytes:
        """Get a blob from the other end, two at a time. Raises BlobError."""
        async with self._places:
            try:
                async with asyncio.timeout(timeout_ms / 1_000):
                    return await self._arrival(hash_, max_bytes)
            except TimeoutError as error:
                raise BlobError(f"it did not come within {timeout_ms} ms") from error

    async def quiet(self, span_ms: int) -> None:
        """Wait until the other end has what it asks for, and has asked for nothing for so long."""
        begun_ms = self._clock.now_ms()
        while (due_ms := max(begun_ms, self._answered_ms) + span_ms) > self._clock.now_ms():
            await self._clock.sleep_until(due_ms)
            if self._wanted is not None:
                await self._wanted.join()

    async def run(self, handle: Callable[[In], None]) -> str:
        """Send and receive until the link ends; returns the reason.

        `handle` gets every message that is not about blobs.
        """
        reason = "this side stopped"
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._send_all())
                if self._make is not None and self._wanted is not None:
                    group.create_task(self._make_all(self._make, self._wanted))
                await self._receive_all(handle)
        except* LinkClosed as closed:
            reason = str(closed.exceptions[0])
        except* TimeoutError:
            # This is how `end` gets a word in.
            pass
        finally:
            self._reason = reason = self._reason or reason
            for _, arrived in self._arriving.values():
                if not arrived.done():
                    arrived.set_exception(BlobError(f"the link ended: {reason}"))
            await self._link.close(reason)
        own = asyncio.current_task()
        if own is not None and own.cancelling():
            # A group that fails while it is cancelled tells only of its failure.
            raise asyncio.CancelledError
        return reason

    async def _arrival(self, hash_: bytes, max_bytes: int) -> bytes:
        # Chunks say no more than the hash: two of one hash can't be told apart.
        while hash_ in self._arriving:
            await asyncio.wait([self._arriving[hash_][1]])
        if self._reason is not None:
            raise BlobError(f"the link ended: {self._reason}")
        incoming = Incoming(hash_, max_bytes)
        arrived: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._arriving[hash_] = incoming, arrived
        self.send(self._message(blob_request=BlobRequest(hash=hash_)))
        try:
            return await arrived
        finally:
            self._expect_no_more(incoming)
            del self._arriving[hash_]

    def _put(self, messages: Iterable[Out]) -> None:
        try:
            self._outbox.put_nowait(messages)
        except asyncio.QueueFull:
            self.end("the other side does not read what it is sent")

    async def _send_all(self) -> None:
        while True:
            for message in await self._outbox.get():
                await self._link.send(message)

    async def _receive_all(self, handle: Callable[[In], None]) -> None:
        try:
            async with asyncio.timeout(None) as self._receiving:
                while self._reason is None:
                    message = await self._link.receive()
                    if message.HasField("blob_request"):
                        self._serve(message.blob_request.hash)
                    elif message.HasField("blob_chunk"):
                        self._take(message.blob_chunk)
                    else:
                        handle(message)
        finally:
            self._receiving = None
        raise LinkClosed(self._reason)

    async def _make_all(self, make: Make, wanted: asyncio.Queue[bytes]) -> None:
        while True:
            hash_ = await wanted.get()
            self._answer(hash_, await make(hash_))
            wanted.task_done()

    def _serve(self, hash_: bytes) -> None:
        # The answer repeats the hash: long ones would pile up with who does not read.
        if len(hash_) != HASH_BYTES:
            self.end(f"a hash has {HASH_BYTES} bytes, not {len(hash_)}")
            return
        if not self._requests.take():
            self.end(Flood.REQUESTS)
            return
        blob = self._held(hash_)
        if blob is None and self._wanted is not None and not self._wanted.full():
            self._wanted.put_nowait(hash_)
        else:
            self._answer(hash_, blob)

    def _answer(self, hash_: bytes, blob: bytes | None) -> None:
        self._answered_ms = self._clock.now_ms()
        self._put(self._message(blob_chunk=chunk) for chunk in chunks(hash_, blob))

    def _take(self, chunk: BlobChunk) -> None:
        expected = self._arriving.get(chunk.hash)
        if expected is not None and expected[1].done():
            # Its time is up, and who waited for it has yet to hear of that.
            self._expect_no_more(expected[0])
            expected = None
        if expected is None:
            # The rest of what was given up on may still come, and nothing else.
            self._late_chunks -= 1
            if self._late_chunks < 0:
                self.end(Flood.CHUNKS)
            return
        incoming, arrived = expected
        try:
            blob = incoming.add(chunk)
        except BlobError as error:
            arrived.set_exception(error)
        else:
            if blob is not None:
                arrived.set_result(blob)

    def _expect_no_more(self, incoming: Incoming) -> None:
        self._late_chunks += incoming.chunks_left
        incoming.chunks_left = 0
