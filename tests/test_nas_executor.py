"""Real worker processes: results, queueing, cancelling, dying, closing."""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from multiprocessing.process import BaseProcess

import pytest
import pytest_asyncio

from nas.execution import executor as executor_module
from nas.execution.executor import LocalExecutor
from nas.execution.messages import Ready
from nas.jobs import Count, JobFailed, Propose, Train, Trained
from tests.nas_models import DEVNET, TASK, devnet_design

# A lost wake-up would otherwise wait for the timeout of the whole suite.
pytestmark = pytest.mark.timeout(60)

DESIGN = devnet_design(1)
QUICK = Train(TASK, DESIGN, seed=1, epochs=1, initial_weights=None)
# Hours: only ever ended by what the test does.
ENDLESS = replace(QUICK, epochs=1_000_000)


@pytest_asyncio.fixture
async def executor() -> AsyncIterator[LocalExecutor]:
    local = LocalExecutor(1, "cpu")
    yield local
    await local.close()


def pids() -> set[int | None]:
    """The worker processes that live."""
    return {process.pid for process in multiprocessing.active_children()}


def the_worker() -> BaseProcess:
    (process,) = multiprocessing.active_children()
    return process


async def started(executor: LocalExecutor) -> "asyncio.Task[Trained]":
    """An endless training that has reached its worker."""
    await executor.run(Propose(TASK, DEVNET, 1, (), 0))
    task = asyncio.ensure_future(executor.run(ENDLESS))
    # The executor's worker is ready, so one turn of the loop sends it the job.
    await asyncio.sleep(0)
    return task


async def test_jobs_of_every_kind_and_bad_ones_share_one_process(executor: LocalExecutor) -> None:
    proposal = await executor.run(Propose(TASK, DEVNET, 7, (), 0))
    assert DEVNET.contains(proposal.genotype)
    before = pids()
    trained = await executor.run(QUICK)
    counted = await executor.run(Count("digits", "validation", DESIGN, trained.model))
    assert (counted.correct, counted.size) == (trained.correct, 360)
    with pytest.raises(JobFailed, match="ModelFormatError: the model is 3 bytes long"):
        await executor.run(Count("digits", "test", DESIGN, b"bad"))
    with pytest.raises(JobFailed, match="WeightsError: the weights are no safetensors"):
        await executor.run(replace(QUICK, initial_weights=b"bad"))
    with pytest.raises(JobFailed, match="DatasetError: no data set is called 'none'"):
        await executor.run(Count("none", "test", DESIGN, b""))
    assert pids() == before
    assert len(before) == 1


async def test_workers_may_start_before_there_is_work() -> None:
    executor = LocalExecutor(2, "cpu")
    executor.start()
    before = pids()
    assert len(before) == 2
    assert (await executor.run(QUICK)).epochs == 1
    assert pids() == before
    await executor.close()


async def test_waiting_jobs_run_in_the_order_in_which_they_came(executor: LocalExecutor) -> None:
    order: list[int] = []

    async def propose(number: int) -> None:
        await executor.run(Propose(TASK, DEVNET, number, (), 0))
        order.append(number)

    await asyncio.gather(*(propose(number) for number in range(5)))
    assert order == [0, 1, 2, 3, 4]


async def test_a_cancelled_job_frees_its_worker(executor: LocalExecutor) -> None:
    task = await started(executor)
    before = pids()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await executor.run(QUICK)).epochs == 1
    assert pids() == before


async def test_a_worker_that_does_not_react_is_replaced(
    executor: LocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await started(executor)
    stubborn = the_worker()
    monkeypatch.setattr(executor_module, "GRACE_S", 0.0)
    os.kill(stubborn.pid or 0, signal.SIGSTOP)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await executor.run(QUICK)).epochs == 1
    stubborn.join()
    assert stubborn.exitcode == -signal.SIGKILL


async def test_a_waiting_job_can_be_cancelled(executor: LocalExecutor) -> None:
    running = await started(executor)
    waiting = asyncio.ensure_future(executor.run(QUICK))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not running.done()


async def test_a_worker_that_dies_fails_its_job_and_is_replaced(executor: LocalExecutor) -> None:
    task = await started(executor)
    os.kill(the_worker().pid or 0, signal.SIGKILL)
    with pytest.raises(JobFailed, match="the worker process ended with exit code -9"):
        await task
    assert (await executor.run(QUICK)).epochs == 1


async def test_close_fails_what_runs_and_waits_and_leaves_no_process() -> None:
    executor = LocalExecutor(1, "cpu")
    running = await started(executor)
    waiting = asyncio.ensure_future(executor.run(QUICK))
    await asyncio.sleep(0)
    await executor.close()
    assert not pids()
    with pytest.raises(JobFailed, match="the executor was closed"):
        await running
    with pytest.raises(JobFailed, match="the executor is closed"):
        await waiting
    await executor.close()


async def test_a_proposal_goes_where_its_search_lives() -> None:
    executor = LocalExecutor(2, "cpu")
    first, second = (Propose(TASK, DEVNET, seed, (), 0) for seed in (1, 2))
    await asyncio.gather(executor.run(first), executor.run(second))
    assert len(pids()) == 2
    for job in (first, second, first):
        assert executor._take(job).knows(job)
        executor._idle = list(executor._live)
    await executor.close()


@pytest.mark.parametrize("during", ["idle", "training"])
def test_a_worker_ends_with_its_pipe_and_ignores_ctrl_c(during: str) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=executor_module._serve, args=(theirs, "cpu"), daemon=True)
    process.start()
    theirs.close()
    assert ours.recv() == Ready()
    os.kill(process.pid or 0, signal.SIGINT)
    if during == "training":
        ours.send(ENDLESS)
    ours.close()
    process.join(60)
    assert process.exitcode == 0


def test_the_node_process_stays_free_of_torch() -> None:
    modules = "nas.execution.executor, nas.evaluation.oracle"
    program = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_an_executor_needs_a_worker() -> None:
    with pytest.raises(ValueError, match="at least 1 worker, not 0"):
        LocalExecutor(0)


async def test_ctrl_c_does_not_reach_a_worker_that_still_loads(executor: LocalExecutor) -> None:
    executor.start()
    loading = the_worker()
    assert loading.pid is not None
    os.kill(loading.pid, signal.SIGINT)
    assert (await executor.run(QUICK)).epochs == 1
    assert the_worker() is loading
