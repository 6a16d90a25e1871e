"""Runs jobs in spawned worker processes of this machine, without importing PyTorch here.

A worker has one job at a time; jobs beyond that wait in the order in which they came, as do jobs
whose estimated memory does not fit beside the others. Processes start with `start` or when they
are first needed, and are replaced when they die.
"""

import asyncio
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import overload

from nas.designs.space import Space
from nas.execution.container import container_bytes
from nas.execution.footprint import estimate_bytes
from nas.execution.messages import Failure, Ready, Stop
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

GRACE_S = 2.0
"""Time for a worker to drop a cancelled job (it looks once a batch) before it is killed."""


def default_memory_bytes() -> int:
    """Three quarters of the memory of this machine or container; the rest is for all else on it."""
    machine_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return container_bytes(machine_bytes, Path("/")) * 3 // 4


class MemoryBudget:
    """Admits work, in order of arrival, while its bytes fit into the budget beside what runs.

    What does not fit at all is admitted alone: it may still go well, and nobody else suffers.
    """

    def __init__(self, total_bytes: int) -> None:
        self._total_bytes = total_bytes
        self._running = 0
        self._used_bytes = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """Wait until `size` bytes are free, and give them back at the end."""
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, admitted))
        self._admit()
        try:
            # Without a wait where there is room.
            if not admitted.done():
                await admitted
            yield
        finally:
            if admitted.done() and not admitted.cancelled():
                self._running -= 1
                self._used_bytes -= size
            else:
                admitted.cancel()
            self._admit()

    def _admit(self) -> None:
        """Let in from the front whoever has not given up and fits."""
        while self._waiting:
            size, admitted = self._waiting[0]
            if not admitted.cancelled():
                if self._running and self._used_bytes + size > self._total_bytes:
                    return
                self._running += 1
                self._used_bytes += size
                admitted.set_result(None)
            self._waiting.popleft()


class LocalExecutor:
    """An Executor on up to `workers` processes; `device` is `auto`, `cpu` or `cuda[:n]`.

    `memory_bytes` bounds what running jobs are estimated to take together
    (`nas.execution.footprint`); by default `default_memory_bytes`. Raises ValueError for less than
    one worker.
    """

    def __init__(self, workers: int, device: str = "auto", memory_bytes: int | None = None) -> None:
        if workers < 1:
            raise ValueError(f"an executor needs at least 1 worker, not {workers}")
        self._workers = workers
        self._slots = asyncio.Semaphore(workers)
        self._memory = MemoryBudget(
            default_memory_bytes() if memory_bytes is None else memory_bytes
        )
        self._device = device
        self._live: set[_Worker] = set()
        self._idle: list[_Worker] = []
        self._closed = False

    def start(self) -> None:
        """Start every worker now, so that no deadline has to wait for PyTorch to load."""
        while len(self._live) < self._workers:
            self._idle.append(self._start_worker())

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

        Cancelling the awaiting task ends the job first and the task then, so that whoever waits
        for the task finds its processor time given back.
        """
        async with self._slots, self._memory.hold(_size_of(job)):
            if self._closed:
                raise JobFailed("the executor is closed")
            worker = self._take(job)
            try:
                reply = await worker.run(job)
            except (EOFError, OSError) as error:
                worker.discard()
                raise JobFailed(await self._obituary(worker)) from error
            finally:
                if worker.discarded:
                    self._live.discard(worker)
                else:
                    self._idle.append(worker)
        if isinstance(reply, Failure):
            raise JobFailed(reply.reason, reply.kind)
        return reply

    async def close(self) -> None:
        """End all jobs (their callers get JobFailed) and all processes."""
        self._closed = True
        live, self._live = self._live, set()
        for worker in live:
            worker.kill()
        for worker in live:
            await worker.ended()
        for worker in self._idle:
            worker.discard()
        self._idle.clear()

    def _take(self, job: Job) -> "_Worker":
        """An idle worker, best the one that has the job's search at hand, or a new one."""
        for worker in [idle for idle in self._idle if not idle.alive]:
            self._idle.remove(worker)
            self._live.discard(worker)
            worker.discard()
        if not self._idle:
            return self._start_worker()
        worker = max(self._idle, key=lambda idle: idle.knows(job))
        self._idle.remove(worker)
        return worker

    def _start_worker(self) -> "_Worker":
        worker = _Worker(self._device)
        self._live.add(worker)
        return worker

    async def _obituary(self, worker: "_Worker") -> str:
        if self._closed:
            return "the executor was closed"
        # From here on only this call waits for the process, and not close().
        self._live.discard(worker)
        return f"the worker process ended with exit code {await worker.ended()}"


def _size_of(job: Job) -> int:
    """The job's estimated bytes; 0 when its worker will say what is wrong with it."""
    try:
        return estimate_bytes(job)
    except ValueError:
        return 0


class _Worker:
    """A live process and the pipe to it."""

    def __init__(self, device: str) -> None:
        # Spawned, because a forked PyTorch may hang in locks of threads that no longer exist.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        # daemon: the interpreter ends it at exit, should nobody have closed the executor.
        self._process = context.Process(target=_serve, args=(theirs, device), daemon=True)
        # Ctrl-C reaches the whole process group; a child still loading would answer it at length.
        # A tracker that starts with the child would unblock the signal before the child has it.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        # Only the child may hold its end, or its death would never end the pipe.
        theirs.close()
        self._ready = False
        self._search: tuple[Space, int] | None = None

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    @property
    def discarded(self) -> bool:
        return self._connection.closed

    def knows(self, job: Job) -> bool:
        """Whether it proposed for the job's search last, and so needs no replay."""
        return isinstance(job, Propose) and self._search == (job.space, job.seed)

    async def run(self, job: Job) -> Result | Failure:
        """The reply to a job. Raises EOFError or OSError when the process ends."""
        # A large job would fill the pipe, and so block this loop, while the child still starts.
        if not self._ready:
            await _readable(self._connection.fileno())
            self._ready = isinstance(self._connection.recv(), Ready)
        if isinstance(job, Propose):
            self._search = (job.space, job.seed)
        self._connection.send(job)
        try:
            await _readable(self._connection.fileno())
        except asyncio.CancelledError:
            await self._drop_job()
            raise
        reply: Result | Failure = self._connection.recv()
        return reply

    async def _drop_job(self) -> None:
        """Have the job stopped, by ending the process if it does not react in time."""
        try:
            self._connection.send(Stop())
            async with asyncio.timeout(GRACE_S):
                await _readable(self._connection.fileno())
            self._connection.recv()
        except (EOFError, OSError, asyncio.CancelledError):
            self.discard()

    def kill(self) -> None:
        # A worker holds nothing that would be worth an orderly end.
        self._process.kill()

    def discard(self) -> None:
        """Kill the process and close the pipe; nobody may be waiting on it."""
        self.kill()
        self._connection.close()

    async def ended(self) -> int | None:
        """Wait for the end of the process; its exit code, or minus the signal that ended it."""
        await _readable(self._process.sentinel)
        self._process.join()
        return self._process.exitcode


def _serve(connection: Connection, device: str) -> None:
    # Imported in the child only: PyTorch takes seconds and 200 MB.
    from nas.execution.worker import main

    main(connection, device)


async def _readable(descriptor: int) -> None:
    """Wait until there is something to read, or the other end is closed; one waiter at a time."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
