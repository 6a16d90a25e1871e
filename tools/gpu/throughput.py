"""How many candidates a device trains a minute, and what keeps it from more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from nas.bench.designs import macs, never, train_job
from nas.data import datasets
from nas.designs.genotype import Genotype, Layer
from nas.execution.cancel import ShouldStop
from nas.execution.lanes import LaneExecutor
from nas.execution.messages import Failure
from nas.execution.worker import attempt
from nas.jobs import Job, JobFailed, Result, Train, Trained
from nas.task import Task
from nas.training import ptq
from nas.training.steps import enter_own_stream
from nas.training.train import fit

TRAINING_FLOP = 6
"""Per multiply-accumulate: two forward, four backward."""

Clock = Callable[[], float]


@dataclass(frozen=True)
class Rate:
    """Trainings with `lanes` side by side: `finished` of `offered` in `seconds`.

    `failures` are the reasons of those that failed.
    """

    lanes: int
    finished: int
    offered: int
    seconds: float
    failures: tuple[str, ...]

    @property
    def per_minute(self) -> float:
        """Candidates a minute."""
        return 60 * self.finished / self.seconds


@dataclass(frozen=True)
class Floor:
    """What no schedule beats: seconds a candidate for the arithmetic, and for the launches alone.

    `flop_per_s` is what a large matrix product reaches here, `step_us` the time of a step of the
    smallest design, which computes next to nothing.
    """

    flop: float
    flop_per_s: float
    steps: int
    step_us: float

    @property
    def arithmetic_s(self) -> float:
        """Seconds of the mean candidate at full speed."""
        return self.flop / self.flop_per_s

    @property
    def launches_s(self) -> float:
        """Seconds of any candidate that has the device to itself."""
        return self.steps * self.step_us / 1e6


def lane_executor(lanes: int, device: str) -> LaneExecutor:
    """Trains side by side, without packing the float weights that nobody asks for here."""

    def serve(job: Job, should_stop: ShouldStop) -> Result | Failure:
        if not isinstance(job, Train):
            return Failure("only trainings are measured")
        return attempt(lambda: _train(job, device, should_stop))

    return LaneExecutor(lanes, serve)


def _train(job: Train, device: str, should_stop: ShouldStop) -> Trained:
    dataset = datasets.load(job.task.dataset)
    chosen, counts = fit(job, dataset, device, should_stop)
    return Trained(chosen.model, b"", sum(counts), len(counts), job.epochs, 0.0, (), "none")


def measure_rate(
    task: Task, designs: Sequence[Genotype], lanes: int, device: str, limit_s: float, clock: Clock
) -> Rate:
    """Train designs until all are done or `limit_s` is over; then what is under way is dropped.

    As the longest go first, a rate that was cut off is below that of the whole sample.
    """
    seconds, ends = asyncio.run(_train_all(task, designs, lanes, device, limit_s, clock))
    failures = tuple(str(end) for end in ends if isinstance(end, JobFailed))
    finished = sum(isinstance(end, Trained) for end in ends)
    return Rate(lanes, finished, len(designs), seconds, failures)


async def _train_all(
    task: Task, designs: Sequence[Genotype], lanes: int, device: str, limit_s: float, clock: Clock
) -> tuple[float, list[Trained | BaseException]]:
    executor = lane_executor(lanes, device)
    started = clock()
    jobs = [
        asyncio.ensure_future(executor.run(train_job(task, design, seed)))
        for seed, design in enumerate(designs)
    ]
    _, late = await asyncio.wait(jobs, timeout=limit_s)
    seconds = clock() - started
    for job in late:
        job.cancel()
    ends = await asyncio.gather(*jobs, return_exceptions=True)
    await executor.close()
    return seconds, ends


def measure_floor(task: Task, designs: Sequence[Genotype], device: str, clock: Clock) -> Floor:
    """The floor under candidates of the task, of which `designs` are the sample."""
    enter_own_stream(device)
    dataset = datasets.load(task.dataset)
    images = dataset.info.train
    mean_macs = sum(macs(task, design) for design in designs) / len(designs)
    smallest = Genotype((Layer(1, 1, 1, 5, 5, 2, 1, 1, 1, 1),) * task.space.layers)
    _, descent = ptq.begin(Train(task, smallest, 1, 2, None), dataset, device)
    with descent:
        descent.run_epoch(never)
        started = clock()
        descent.run_epoch(never)
        seconds = clock() - started
    steps = -(-images // ptq.RECIPE.batch)
    step_us = 1e6 * seconds / steps
    flop = TRAINING_FLOP * mean_macs * images * task.epochs
    return Floor(flop, _flop_per_s(device, clock), task.epochs * steps, step_us)


def _flop_per_s(device: str, clock: Clock) -> float:
    """Of a square matrix product in the arithmetic of training (TF32 on CUDA)."""
    on_cuda = torch.device(device).type == "cuda"
    size, repeats = (8192, 10) if on_cuda else (512, 2)
    values = torch.randn(size, size, device=device)
    kernel = values[:, :, None, None]
    maps = values[:, :, None, None]

    def multiply() -> float:
        # A convolution, because only those may use TF32 here.
        return float(torch.nn.functional.conv2d(maps, kernel)[0, 0].item())

    multiply()
    started = clock()
    for _ in range(repeats):
        multiply()
    return 2 * size**3 * repeats / (clock() - started)
