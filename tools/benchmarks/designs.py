"""Designs of `devnet` to measure with."""

from __future__ import annotations

import random
from statistics import median_low

from nas import datasets
from nas.design import judge
from nas.genotype import Genotype
from nas.jobs import Train, training_seed
from nas.shapes import macs_per_image
from nas.task import Task
from node.chain.params import DIGITS
from node.consensus.designs import NasDesigns


def never() -> bool:
    """Whether to stop a measured job (`nas.cancel.ShouldStop`)."""
    return False


def devnet_task() -> Task:
    """What `devnet` mines while nobody publishes a task."""
    return NasDesigns(DIGITS).task


def random_designs(task: Task, designs: int, seed: int) -> list[Genotype]:
    """Uniform designs of the task's space that are worth training: feasible and not dead."""
    rng = random.Random(seed)
    chosen: list[Genotype] = []
    while len(chosen) < designs:
        verdict = judge(task.space.sample(rng), task)
        if verdict.feasible and not verdict.dead:
            chosen.append(verdict.genotype)
    return chosen


def median_design(task: Task, designs: int, seed: int) -> Genotype:
    """Of some random designs the one with the median of multiply-accumulates."""
    info = datasets.describe(task.dataset)
    drawn = random_designs(task, designs, seed)
    macs = [macs_per_image(design, info.shape, info.classes) for design in drawn]
    return drawn[macs.index(median_low(macs))]


def train_job(task: Task, design: Genotype, epochs: int, seed: int) -> Train:
    """Training of a design from scratch, as a search with this seed asks for it."""
    return Train(task, design, training_seed(seed, task.dataset, design, 0), epochs, None)
