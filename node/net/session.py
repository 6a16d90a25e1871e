"""One greeted peer: what goes out to it, what was asked of it, and how much it may do."""

import asyncio
from collections import deque
from collections.abc import Callable

from node.clock import Clock
from node.net.drift import Sample, best_of, take_sample
from node.net.limits import Seen, TokenBucket
from node.net.link import LinkClosed, Malformed, PeerLink
from node.net.protocol import KIND_LIMITS, OTHER_LIMIT, Refusal
from node.tasks import TaskOwner
from ponas.v1.peer_service_pb2 import PeerMessage

# Beyond these a peer is too slow for the network, or hostile.
_MAX_OUTBOX_MESSAGES = 4_096
_MAX_OUTBOX_BYTES = 8 * 1024 * 1024
# Requests of ours that a peer may leave open, and that a peer may queue here.
_MAX_ASKED = 16
_MAX_ANSWERS = 2 * _MAX_ASKED
_DELIVERED = 2_048
# Transactions of a peer that this node had no use for, beyond which no more are judged. Honest
# peers send such: all that was said last when a link begins, what another head allows, and what
# they can't get rid of while others offer more.
_USELESS_AT_ONCE, _USELESS_PER_MINUTE = 512, 600
# Refused messages of any kind, beside the points they may cost.
_REFUSED_AT_ONCE, _REFUSED_PER_MINUTE = 32, 60
# Measurements of a peer's clock to choose the best from: two minutes, so that a clock that was
# set is soon noticed.
_CLOCK_SAMPLES = 4


class Session:
    """A peer that proved its key, for as long as its link lives.

    Two lanes lead out. Messages (gossip and requests) are queued as they are; answers are made
    only when it is their turn, so a peer that asks much costs no memory. The lanes take turns:
    a blob doesn't hold up gossip, nor gossip a blob.
    """

    def __init__(
        self,
        link: PeerLink,
        public_key: bytes,
        head_round: int,
        clock: Clock,
        address: str | None = None,
    ) -> None:
        self.link = link
        # Where the peer can be dialled, as far as is known.
        self.address = address
        self.public_key = public_key
        self.head_round = head_round
        self.ended = asyncio.Event()
        self.reason = ""
        # When this peer was the first to tell something, by a count of such news.
        self.last_news = 0
        # Gossip that came from this peer, not to be sent back.
        self.delivered = Seen(_DELIVERED)
        self._messages: deque[PeerMessage] = deque()
        self._outbox_bytes = 0
        self._answers: deque[Callable[[], PeerMessage | None]] = deque()
        self._work = asyncio.Event()
        # When each open request was made; peers answer in the order they were asked.
        self._asked: deque[tuple[int, asyncio.Future[PeerMessage]]] = deque()
        self._last_lag_ms = 0
        self._clock = clock
        self._clock_samples: deque[Sample] = deque(maxlen=_CLOCK_SAMPLES)
        self._inflow: dict[str | None, TokenBucket] = {
            kind: TokenBucket(clock, limit.at_once, limit.per_minute)
            for kind, limit in (*KIND_LIMITS.items(), (None, OTHER_LIMIT))
        }
        self._patience = TokenBucket(clock, _REFUSED_AT_ONCE, _REFUSED_PER_MINUTE)
        # Of transactions that were judged in vain.
        self.useless = TokenBucket(clock, _USELESS_AT_ONCE, _USELESS_PER_MINUTE)

    def post(self, message: PeerMessage) -> None:
        """Queue a message; never waits. A peer that lets too much pile up is dropped."""
        self._outbox_bytes += message.ByteSize()
        self._messages.append(message)
        if len(self._messages) > _MAX_OUTBOX_MESSAGES or self._outbox_bytes > _MAX_OUTBOX_BYTES:
            self.end(Refusal.TOO_SLOW)
        self._work.set()

    def answer(self, make: Callable[[], PeerMessage | None]) -> None:
        """Queue an answer that `make` builds when its turn comes; None: not before `wake`."""
        self._answers.append(make)
        if len(self._answers) > _MAX_ANSWERS:
            self.end(Refusal.TOO_MANY_REQUESTS)
        self._work.set()

    def wake(self) -> None:
        """Look again whether the next answer can be made."""
        self._work.set()

    async def ask(self, request: PeerMessage, timeout_s: float) -> PeerMessage:
        """Send a request and wait for what the peer answers, whatever that is.

        Raises:
            LinkClosed: the link ended first.
            TimeoutError: no answer in time, or too many requests are open already.
        """
        if self.ended.is_set():
            raise LinkClosed(self.reason)
        if len(self._asked) >= _MAX_ASKED:
            raise TimeoutError
        # A request given up stays in line, so that a late answer is not taken for the next one.
        answer: asyncio.Future[PeerMessage] = asyncio.get_running_loop().create_future()
        self._asked.append((self._clock.now_ms(), answer))
        self.post(request)
        async with asyncio.timeout(timeout_s):
            return await answer

    @property
    def lag_ms(self) -> int:
        """How long the peer took to answer last, or takes already."""
        if not self._asked:
            return self._last_lag_ms
        asked_ms, _ = self._asked[0]
        return max(self._last_lag_ms, self._clock.now_ms() - asked_ms)

    def settle(self, answer: PeerMessage) -> bool:
        """Give an answer to the oldest open request; False if none is open."""
        if not self._asked:
            return False
        asked_ms, request = self._asked.popleft()
        self._last_lag_ms = self._clock.now_ms() - asked_ms
        if not request.done():
            request.set_result(answer)
        return True

    def note_clock(self, asked_ms: int, their_clock_ms: int) -> None:
        """Learn how far the peer's clock is off, from its answer that just came."""
        sample = take_sample(asked_ms, self._clock.now_ms(), their_clock_ms)
        if sample.round_trip_ms < 0:
            # This node's own clock was set meanwhile, so none of the samples tells anything.
            self._clock_samples.clear()
        else:
            self._clock_samples.append(sample)

    @property
    def clock_offset_ms(self) -> int | None:
        """How far the peer's clock is ahead of this node's at least; None if not measured."""
        if not self._clock_samples:
            return None
        return best_of(self._clock_samples).certain_offset_ms

    def blame(self) -> None:
        """Count a refused message against the peer; too many in a short time end the link."""
        if not self._patience.take():
            self.end(Refusal.TOO_MANY_REFUSED)

    def end(self, reason: str) -> None:
        """Let `run` close the link; the first reason counts."""
        if not self.ended.is_set():
            self.reason = reason
            self.ended.set()

    async def run(self, on_message: Callable[["Session", PeerMessage], None]) -> None:
        """Exchange messages until the session ends, then close the link."""
        tasks = TaskOwner(on_failure=lambda _name, _error: self.end("internal error"))
        tasks.spawn(self._read(on_message), name=f"read {self.link.remote}")
        tasks.spawn(self._write(), name=f"write {self.link.remote}")
        try:
            await self.ended.wait()
        finally:
            self.end("the node stops")
            # Closed while reader and writer still run, so that the other side hears the reason.
            await self.link.close(self.reason)
            await tasks.close()
            for _, request in self._asked:
                if not request.done():
                    request.set_exception(LinkClosed(self.reason))

    async def _read(self, on_message: Callable[["Session", PeerMessage], None]) -> None:
        try:
            while not self.ended.is_set():
                message = await self.link.receive()
                await self._slow_down(message.WhichOneof("content"))
                on_message(self, message)
        except Malformed:
            self.end(Refusal.MALFORMED)
        except LinkClosed as closed:
            self.end(closed.reason)

    async def _slow_down(self, kind: str | None) -> None:
        bucket = self._inflow.get(kind, self._inflow[None])
        while not bucket.take():
            await self._clock.sleep_until(self._clock.now_ms() + bucket.wait_ms())

    async def _write(self) -> None:
        try:
            while True:
                if self._messages:
                    message = self._messages.popleft()
                    self._outbox_bytes -= message.ByteSize()
                    await self.link.send(message)
                if self._answers and (answer := self._answers[0]()) is not None:
                    self._answers.popleft()
                    await self.link.send(answer)
                elif not self._messages:
                    self._work.clear()
                    await self._work.wait()
        except LinkClosed as closed:
            self.end(closed.reason)
