"""Our training under `ptq` beside the authors' loop, design by design."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from nas.bench import authors
from nas.bench.designs import never, train_job
from nas.bench.figures import Clock, Figure, describe_spread, format_value, seconds_of
from nas.data import datasets
from nas.data.dataset import Dataset
from nas.designs.genotype import Genotype
from nas.jobs import Train
from nas.task import Task
from nas.training.train import fit


def measure_train(
    task: Task, designs: Sequence[Genotype], rounds: int, seed: int | None, clock: Clock
) -> Figure:
    """How many times faster than by the authors' loop all designs together are trained and judged.

    Both have the same images in memory, the same batch and epochs, on one core; they take turns,
    `rounds` times, of which the shortest count. `seed` drew the designs; None if somebody else
    chose them. The spread tells the ratios design by design.
    """
    dataset = datasets.load(task.dataset)
    jobs = [train_job(task, design, number) for number, design in enumerate(designs)]
    # Uncounted: PyTorch sets itself up.
    _seconds(jobs[0], dataset, 1, clock)
    pairs = [_seconds(job, dataset, rounds, clock) for job in jobs]
    our_s, their_s = (sum(pair[side] for pair in pairs) for side in (0, 1))
    ratios = [theirs / ours for ours, theirs in pairs]
    total = f"{format_value(our_s)} s instead of {format_value(their_s)}"
    floor = "the convolutions themselves, which both leave to oneDNN"
    spread = f"{describe_spread(ratios)}; {total}"
    return Figure("train", their_s / our_s, "times", len(pairs), seed, spread, floor)


def _seconds(job: Train, dataset: Dataset, rounds: int, clock: Clock) -> tuple[float, float]:
    """Ours and the authors'."""
    ours = partial(fit, job, dataset, "cpu", never)
    theirs = partial(authors.train, job.genotype, dataset, job.epochs, job.seed)
    pairs = [(seconds_of(ours, clock), seconds_of(theirs, clock)) for _ in range(rounds)]
    return min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)
