"""The miner's hands: works on the newest order, whether or not a manager is there to hear of it.

Orders come and go with connections; candidates under way are finished in any case, so that their
results can be sent when the manager is back. Without an order no new candidate begins.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

from nas.jobs import JobFailed
from node.clock import Clock
from pool.link.blobs import BlobError
from pool.link.orders import Order
from pool.miner.work import Bench, work
from pool.rules.reports import Report

_log = structlog.get_logger("pool.miner")


class Employer(Protocol):
    """Who an order came from and its results go to."""

    def deliver(self, order: Order, report: Report) -> None:
        """Take a result, in the order of episodes."""
        ...

    async def fetch_weights(self, hash_: bytes, max_bytes: int) -> bytes:
        """Get weights to train on from. Raises BlobError."""
        ...

    def give_up(self, reason: str) -> None:
        """Hear that an order can't be worked on."""
        ...


class Worker:
    """Works on one order at a time, from its start to the end of its phase and never beyond.

    `resting` is set while nothing is under way; `activity` says in words what is.
    """

    def __init__(self, bench: Bench, clock: Clock) -> None:
        self._bench = bench
        self._clock = clock
        self._job: tuple[Order, Employer] | None = None
        self._ahead: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self._deadline: asyncio.Timeout | None = None
        self._round: int | None = None
        self.resting = asyncio.Event()
        self.resting.set()
        self.activity = "idle: nothing to do yet"

    def take(self, order: Order, employer: Employer) -> None:
        """Take the newest order; it replaces one that waits for its start.

        An order of the round at work begins after the candidates under way; one of another round
        ends them. One that starts later waits until then.
        """
        self._drop_waiting()
        wait_ms = order.start_ms - self._clock.now_ms()
        if wait_ms <= 0:
            self._begin(order, employer)
            return
        loop = asyncio.get_running_loop()
        self._ahead = loop.call_later(wait_ms / 1_000, self._begin, order, employer)
        if self.resting.is_set():
            self.activity = f"idle: round {order.round} has not started yet"

    def rest(self, reason: str) -> None:
        """Begin no more candidates; an order that waits for its start stays."""
        self._job = None
        self._changed.set()
        self.activity = f"idle: {reason}"

    def stop(self, reason: str) -> None:
        """Begin no more candidates, now or later."""
        self._drop_waiting()
        self.rest(reason)

    async def run(self) -> None:
        """Work until cancelled; whatever an order brings to light ends no more than the order."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._job is None:
                continue
            order, employer = self._job
            if order.round != self._round:
                self._round = order.round
                self._bench.begin_round()
            self.resting.clear()
            try:
                await self._work_in_time(order, employer)
            finally:
                self.resting.set()

    def _begin(self, order: Order, employer: Employer) -> None:
        self._ahead = None
        self._job = order, employer
        self._changed.set()
        is_other_round = order.round != self._round
        # A deadline that has just run out is about to end the work anyhow, and can't be moved.
        if is_other_round and self._deadline is not None and not self._deadline.expired():
            self._deadline.reschedule(asyncio.get_running_loop().time())

    def _drop_waiting(self) -> None:
        if self._ahead is not None:
            self._ahead.cancel()
            self._ahead = None

    async def _work_in_time(self, order: Order, employer: Employer) -> None:
        self.activity = f"works on assignment {order.id} of round {order.round}"
        left_ms = order.end_ms - self._clock.now_ms()
        try:
            async with asyncio.timeout(left_ms / 1_000) as self._deadline:
                await work(
                    self._bench,
                    order,
                    employer.fetch_weights,
                    lambda report: employer.deliver(order, report),
                    lambda: not self._changed.is_set(),
                )
        except* TimeoutError:
            # Expected once a round, so not worth a warning.
            self.activity = f"idle: the train phase of round {order.round} is over"
        except* (JobFailed, BlobError) as failures:
            # A new connection brings a new assignment, with the state of the search.
            employer.give_up(f"the work stopped: {cause(failures)}")
        except* Exception as failures:
            # Whatever a pool brings to light, it must not stop the miner's node.
            reason = f"the pool is at fault: {cause(failures)!r}"
            _log.exception("pool_at_fault", reason=reason)
            employer.give_up(reason)
        finally:
            self._deadline = None


def cause(error: BaseException) -> BaseException:
    """The first failure in a group of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
