"""What each further worker process takes while it trains."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Iterable
from pathlib import Path

from nas.bench.designs import median_design, train_job
from nas.bench.figures import Figure
from nas.execution.executor import LocalExecutor
from nas.task import Task

DRAWN = 200
"""Random designs whose median is trained."""

WORKERS = 2
PERIOD_S = 0.1


def measure_memory(task: Task, seed: int) -> Figure:
    """Most memory of its own (MiB) that one of two CPU workers takes while both train.

    Pages that the two share, such as PyTorch's code and the stored images, are not counted: a
    further worker costs no second copy of them.
    """
    peaks = asyncio.run(_peaks_mib(task, seed))
    return Figure(
        "memory",
        max(peaks),
        "MiB a further worker",
        WORKERS,
        seed,
        f"the other one {min(peaks):.0f}",
        "what PyTorch allocates when it is loaded, the training images, the widest batch",
    )


async def _peaks_mib(task: Task, seed: int) -> list[float]:
    executor = LocalExecutor(WORKERS, "cpu")
    design = median_design(task, DRAWN, seed)
    try:
        jobs = [
            asyncio.ensure_future(executor.run(train_job(task, design, seed + worker)))
            for worker in range(WORKERS)
        ]
        peaks: dict[int, float] = {}
        while not all(job.done() for job in jobs):
            await asyncio.wait(jobs, timeout=PERIOD_S)
            for process in multiprocessing.active_children():
                if process.pid is not None:
                    now = own_mib(process.pid)
                    peaks[process.pid] = max(peaks.get(process.pid, 0.0), now)
        for job in jobs:
            job.result()
        return list(peaks.values())
    finally:
        await executor.close()


def own_mib(pid: int) -> float:
    """Memory that only this process maps, in MiB."""
    return _private_kib(Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()) / 1024


def _private_kib(lines: Iterable[str]) -> int:
    fields = (line.split() for line in lines)
    return sum(int(field[1]) for field in fields if field[0].startswith("Private_"))
