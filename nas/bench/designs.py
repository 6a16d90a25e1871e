"""Designs and jobs to measure with."""

from __future__ import annotations

import random
from statistics import median_low

from fpga_model.layer import MAX_MACS
from nas.data import datasets
from nas.designs.design import judge
from nas.designs.genotype import Genotype
from nas.designs.shapes import macs_per_image
from nas.designs.space import preset
from nas.jobs import Train, training_seed
from nas.task import Task


def never() -> bool:
    """Whether to stop a measured job (`nas.execution.cancel.ShouldStop`)."""
    return False


def full_task(dataset: str, protocol: str, epochs: int) -> Task:
    """A search of the paper's whole space at the paper's hardware limits."""
    return Task(dataset, preset("full"), protocol, epochs, "paper", MAX_MACS)


def random_designs(task: Task, designs: int, seed: int) -> list[Genotype]:
    """Uniform designs of the task's space that are worth training: feasible and not dead."""
    rng = random.Random(seed)
    chosen: list[Genotype] = []
    while len(chosen) < designs:
        verdict = judge(task.space.sample(rng), task)
        if verdict.feasible and not verdict.dead:
            chosen.append(verdict.genotype)
    return chosen


def by_macs(task: Task, designs: list[Genotype]) -> list[Genotype]:
    """The designs, those with most multiply-accumulates per image first."""
    return sorted(designs, key=lambda design: macs(task, design), reverse=True)


def macs(task: Task, design: Genotype) -> int:
    """Multiply-accumulates of a design per image of the task's data set."""
    info = datasets.describe(task.dataset)
    return macs_per_image(design, info.shape, info.classes)


def median_design(task: Task, designs: int, seed: int) -> Genotype:
    """Of some random designs the one with the median of multiply-accumulates."""
    drawn = random_designs(task, designs, seed)
    counts = [macs(task, design) for design in drawn]
    return drawn[counts.index(median_low(counts))]


def train_job(task: Task, design: Genotype, seed: int) -> Train:
    """Training of a design from scratch, as a search with this seed asks for it."""
    return Train(task, design, training_seed(seed, task.dataset, design, 0), task.epochs, None)
