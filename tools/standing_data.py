"""How hard the standing task's data is, and what a stored model is worth on another instance.

Random designs of the devnet space, each on an instance of its own: trained from scratch, counted on
a foreign instance, and trained on from the weights of a foreign instance. Prints a table.
Run from the repository root:
python -m tools.standing_data --designs 12 --seed 1
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Sequence

import torch

from nas.data import datasets, procedural
from nas.designs.design import judge
from nas.designs.genotype import Genotype
from nas.designs.space import Space
from nas.evaluation.evaluate import count
from nas.jobs import Count, Train, Trained
from nas.task import Task
from nas.training.train import train
from node.chain.hashing import blake, u64
from node.chain.params import PROCEDURAL

_SPACE = Space.uniform(PROCEDURAL.layers, PROCEDURAL.ranges)


def main() -> None:
    """Train and count, then print mean, least and greatest accuracy of each row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--designs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = random.Random(options.seed)
    rows: dict[str, list[float]] = {}
    for number in range(options.designs):
        own, foreign = (blake("tools/standing-data", u64(2 * number + i)) for i in range(2))
        genotype = _draw_design(rng)
        from_scratch = {epochs: _trained(own, genotype, epochs, None) for epochs in (1, 3, 5)}
        stored = _trained(foreign, genotype, 5, None)
        warm = _trained(own, genotype, 1, stored.weights)
        for epochs, trained in from_scratch.items():
            rows.setdefault(f"from scratch, {epochs} epochs", []).append(
                _accuracy(own, genotype, trained)
            )
        rows.setdefault("stored model of another instance", []).append(
            _accuracy(own, genotype, stored)
        )
        rows.setdefault("its weights, 1 epoch", []).append(_accuracy(own, genotype, warm))
    for name, accuracies in rows.items():
        print(_row(name, accuracies))


def _draw_design(rng: random.Random) -> Genotype:
    while True:
        genotype = _SPACE.sample(rng)
        design = judge(genotype, _task(bytes(32)))
        if design.feasible and not design.dead:
            return genotype


def _task(instance: bytes) -> Task:
    return Task(
        procedural.name_of(instance),
        _SPACE,
        PROCEDURAL.protocol,
        PROCEDURAL.epochs,
        PROCEDURAL.profile,
        PROCEDURAL.max_mac_images,
    )


def _trained(instance: bytes, genotype: Genotype, epochs: int, weights: bytes | None) -> Trained:
    task = _task(instance)
    job = Train(task, genotype, 0, epochs, weights)
    return train(job, datasets.load(task.dataset), "cpu", lambda: False, time.perf_counter)


def _accuracy(instance: bytes, genotype: Genotype, trained: Trained) -> float:
    name = procedural.name_of(instance, blake("tools/standing-data test"))
    counted = count(
        Count(name, "test", genotype, trained.model), datasets.load(name), "cpu", lambda: False
    )
    return counted.correct / counted.size


def _row(name: str, accuracies: Sequence[float]) -> str:
    mean = statistics.mean(accuracies)
    return f"| {name} | {mean:.3f} | {min(accuracies):.3f} to {max(accuracies):.3f} |"


if __name__ == "__main__":
    main()
