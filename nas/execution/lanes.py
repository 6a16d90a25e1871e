"""Runs jobs in threads of this process, side by side on one GPU, the longest first.

Why threads and not processes: without a service that an administrator starts (MPS), a GPU runs the
kernels of different processes in turns, never at once, and designs as small as these leave most of
it idle (notes on the NAS engine, 3.3). Streams of one process do share it, and so do their threads
the images on it. In exchange a fault of the GPU itself ends all jobs and the search with them,
which then goes on from its journal. On the CPU, where threads would wait for each other, processes
do better: `nas.execution.executor`.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import overload

from nas.data.datasets import describe
from nas.designs.shapes import macs_per_image
from nas.execution.cancel import ShouldStop
from nas.execution.executor import LocalExecutor
from nas.execution.messages import Failure
from nas.jobs import (
    Count,
    Counted,
    Job,
    JobFailed,
    Proposal,
    Propose,
    Refuted,
    Result,
    Retrain,
    Rewind,
    Train,
    Trained,
    TrainingState,
    Verify,
)

MAX_LANES = 32
"""PyTorch has no more streams than this to give each thread its own."""

Serve = Callable[[Job, ShouldStop], Result | Failure]
"""Does a job in the calling thread; whatever goes wrong is its result."""

Deliver = Callable[[Result | Failure], None]


@dataclass(frozen=True, order=True)
class _Order:
    """A job that waits for a lane. Small ranks go first; None for a job ends a lane."""

    rank: tuple[float, int]
    job: Job | None = field(compare=False)
    deliver: Deliver = field(compare=False)
    stop: threading.Event = field(compare=False, default_factory=threading.Event)


class LaneExecutor:
    """An Executor whose jobs run in `lanes` threads, by `serve`.

    Raises ValueError unless there are 1 to MAX_LANES lanes.
    """

    def __init__(self, lanes: int, serve: Serve) -> None:
        if not 1 <= lanes <= MAX_LANES:
            raise ValueError(f"1 to {MAX_LANES} jobs can run side by side, not {lanes}")
        self._serve = serve
        self._orders: queue.PriorityQueue[_Order] = queue.PriorityQueue()
        self._open: set[_Order] = set()
        self._serial = itertools.count()
        self._closed = False
        # daemon: no lane may keep the interpreter alive, should nobody have closed the executor.
        self._lanes = [threading.Thread(target=self._work, daemon=True) for _ in range(lanes)]
        for lane in self._lanes:
            lane.start()

    @overload
    async def run(self, job: Propose) -> Proposal: ...
    @overload
    async def run(self, job: Train) -> Trained: ...
    @overload
    async def run(self, job: Rewind | Retrain) -> TrainingState: ...
    @overload
    async def run(self, job: Count) -> Counted: ...
    @overload
    async def run(self, job: Verify) -> Counted | Refuted: ...

    async def run(self, job: Job) -> Result:
        """The result of the job. Raises JobFailed with the reason.

        Cancelling the awaiting task ends the job first (it looks once a batch) and the task then.
        """
        if self._closed:
            raise JobFailed("the executor is closed")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Result | Failure] = loop.create_future()

        def deliver(reply: Result | Failure) -> None:
            loop.call_soon_threadsafe(done.set_result, reply)

        order = _Order((-_macs(job), next(self._serial)), job, deliver)
        self._open.add(order)
        self._orders.put(order)
        try:
            reply = await asyncio.shield(done)
        except asyncio.CancelledError:
            order.stop.set()
            await asyncio.wait([done])
            raise
        finally:
            self._open.discard(order)
        if isinstance(reply, Failure):
            if self._closed:
                raise JobFailed("the executor was closed")
            raise JobFailed(reply.reason, reply.kind)
        return reply

    async def close(self) -> None:
        """End all jobs (their callers get JobFailed) and all threads."""
        self._closed = True
        for order in self._open:
            order.stop.set()
        for _ in self._lanes:
            self._orders.put(_Order((float("inf"), next(self._serial)), None, _nowhere))
        for lane in self._lanes:
            await asyncio.to_thread(lane.join)

    def _work(self) -> None:
        while (order := self._orders.get()).job is not None:
            if order.stop.is_set():
                order.deliver(Failure("the job was cancelled before it began"))
            else:
                order.deliver(self._serve(order.job, order.stop.is_set))


def executor_for(workers: int, device: str) -> LocalExecutor | LaneExecutor:
    """Lanes where `device` (`cpu` or `cuda[:n]`) is a GPU, processes elsewhere."""
    if device == "cpu":
        return LocalExecutor(workers, device)
    # Here, because with processes PyTorch never comes into this one.
    from nas.execution.worker import reply
    from nas.training.steps import compute_repeatably

    compute_repeatably()
    return LaneExecutor(workers, lambda job, should_stop: reply(job, device, should_stop))


def _macs(job: Job) -> float:
    """Multiply-accumulates per training image; whoever asks for anything else waits for it."""
    match job:
        case Train():
            train, epochs = job, job.epochs
        case Rewind():
            train, epochs = job.train, job.epoch
        case Retrain():
            train, epochs = job.train, 1
        case _:
            return float("inf")
    try:
        info = describe(train.task.dataset)
        return epochs * macs_per_image(train.genotype, info.shape, info.classes)
    except ValueError:
        # What is wrong with the job, it will say itself.
        return 0.0


def _nowhere(_: Result | Failure) -> None:
    """Takes the replies to what is no job."""
