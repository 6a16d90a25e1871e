"""Jobs side by side in threads: results, order, cancelling, closing, reasons; no GPU needed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from nas.designs.genotype import Genotype
from nas.execution import worker
from nas.execution.cancel import ShouldStop
from nas.execution.executor import LocalExecutor
from nas.execution.lanes import MAX_LANES, LaneExecutor, executor_for
from nas.execution.messages import Failure
from nas.jobs import Job, JobFailed, Propose, Result, Train, Trained
from tests.nas_models import DEVNET, TASK, devnet_design

pytestmark = pytest.mark.timeout(60)

SMALL = Genotype(tuple(replace(layer, num_kernels=4) for layer in devnet_design(1).layers))
LARGE = Genotype(tuple(replace(layer, num_kernels=24) for layer in devnet_design(1).layers))
DONE = Trained(b"", b"", 1, 2, 1, 0.0, (), "none")


def train_job(genotype: Genotype = SMALL, seed: int = 1) -> Train:
    return Train(TASK, genotype, seed, epochs=1, initial_weights=None)


class Gate:
    """A job that goes on when the test says so, or when it is called off."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.entered = threading.Semaphore(0)
        self.go = threading.Event()
        self.stopped = 0

    def serve(self, job: Job, should_stop: ShouldStop) -> Result | Failure:
        self.jobs.append(job)
        self.entered.release()
        while not self.go.wait(0.001):
            if should_stop():
                self.stopped += 1
                return Failure("the job was cancelled")
        return DONE

    async def wait_entered(self) -> None:
        await asyncio.to_thread(self.entered.acquire)


async def test_jobs_run_side_by_side() -> None:
    gate = Gate()
    executor = LaneExecutor(2, gate.serve)
    tasks = [asyncio.ensure_future(executor.run(train_job(seed=seed))) for seed in (1, 2)]
    for _ in tasks:
        await gate.wait_entered()
    gate.go.set()
    assert await asyncio.gather(*tasks) == [DONE, DONE]
    await executor.close()


async def test_the_longest_job_goes_first_and_questions_before_it() -> None:
    gate = Gate()
    executor = LaneExecutor(1, gate.serve)
    question = Propose(TASK, DEVNET, 1, (), 0)
    jobs: list[Train] = [train_job(seed=1), train_job(SMALL, 2), train_job(LARGE, 3)]
    first = asyncio.ensure_future(executor.run(jobs[0]))
    await gate.wait_entered()
    others = [asyncio.ensure_future(executor.run(job)) for job in jobs[1:]]
    asked = asyncio.ensure_future(executor.run(question))
    await asyncio.sleep(0)
    gate.go.set()
    await asyncio.gather(first, asked, *others)
    assert gate.jobs == [jobs[0], question, jobs[2], jobs[1]]
    await executor.close()


async def test_cancelling_ends_the_job_first() -> None:
    gate = Gate()
    executor = LaneExecutor(1, gate.serve)
    task = asyncio.ensure_future(executor.run(train_job()))
    await gate.wait_entered()
    waiting = asyncio.ensure_future(executor.run(train_job(seed=2)))
    await asyncio.sleep(0)
    for cancelled in (waiting, task):
        cancelled.cancel()
    await asyncio.wait([task, waiting])
    assert task.cancelled()
    assert waiting.cancelled()
    # The second never began.
    assert (gate.stopped, len(gate.jobs)) == (1, 1)
    await executor.close()


async def test_closing_fails_what_is_under_way_and_what_comes() -> None:
    gate = Gate()
    executor = LaneExecutor(1, gate.serve)
    task = asyncio.ensure_future(executor.run(train_job()))
    await gate.wait_entered()
    await executor.close()
    with pytest.raises(JobFailed, match="was closed"):
        await task
    with pytest.raises(JobFailed, match="is closed"):
        await executor.run(train_job())


async def test_a_failure_is_told_and_the_lane_goes_on() -> None:
    replies: Iterator[Result | Failure] = iter([Failure("no reason to go on"), DONE])
    executor = LaneExecutor(1, lambda job, should_stop: next(replies))
    with pytest.raises(JobFailed, match="no reason to go on"):
        await executor.run(train_job())
    assert await executor.run(train_job()) == DONE
    await executor.close()


@pytest.mark.parametrize("lanes", [0, MAX_LANES + 1])
def test_as_many_lanes_as_streams(lanes: int) -> None:
    with pytest.raises(ValueError, match="side by side"):
        LaneExecutor(lanes, lambda job, should_stop: DONE)


async def test_real_jobs_give_what_a_process_gives() -> None:
    torch.set_num_threads(1)
    lanes = LaneExecutor(2, lambda job, stop: worker.reply(job, "cpu", stop))
    jobs = [train_job(seed=seed) for seed in (1, 2, 3)]
    found = await asyncio.gather(*(lanes.run(job) for job in jobs))
    await lanes.close()
    processes = executor_for(1, "cpu")
    assert isinstance(processes, LocalExecutor)
    expected = [await processes.run(job) for job in jobs]
    await processes.close()
    assert [(one.model, one.correct) for one in found] == [
        (one.model, one.correct) for one in expected
    ]


async def test_a_gpu_is_shared_by_threads() -> None:
    executor = executor_for(3, "cuda")
    assert isinstance(executor, LaneExecutor)
    await executor.close()


@pytest.mark.parametrize("recording", [False, True])
def test_too_little_memory_on_the_gpu_is_the_reason(
    recording: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of ..."

    def fail(*_: object) -> Trained:
        try:
            raise torch.OutOfMemoryError(message)
        finally:
            if recording:
                raise RuntimeError("CUDA error: operation failed due to a previous error")

    monkeypatch.setattr(worker, "train", fail)
    reply = worker.reply(train_job(), "cpu", lambda: False)
    assert reply == Failure("the GPU has too little memory (another 20.00 MiB)")
