"""What a candidate of `devnet` takes to train, and how good it gets."""

from __future__ import annotations

import dataclasses
from statistics import median

from nas.bench.designs import never, random_designs, train_job
from nas.bench.figures import Clock, Figure, describe_spread
from nas.data import datasets
from nas.training.train import train
from node.chain.params import DEVNET
from node.consensus.designs import NasDesigns


def measure_candidate(designs: int, epochs: int, seed: int, clock: Clock) -> tuple[Figure, ...]:
    """Seconds and accuracy of random designs, each trained on one core and judged every epoch."""
    task = dataclasses.replace(NasDesigns(DEVNET).standing, epochs=epochs)
    dataset = datasets.load(task.dataset)
    results = [
        train(train_job(task, design, seed), dataset, "cpu", never, clock)
        for design in random_designs(task, designs, seed)
    ]
    seconds = [result.seconds for result in results]
    shares = [result.correct / result.size for result in results]
    above = sum(share > 0.5 for share in shares)
    return (
        Figure(
            "candidate",
            median(seconds),
            f"s for {epochs} epochs",
            designs,
            seed,
            describe_spread(seconds),
            "many small operations: calls into PyTorch more than arithmetic",
        ),
        Figure(
            "candidate_accuracy",
            median(shares),
            f"of {results[0].size} validation images",
            designs,
            seed,
            f"{describe_spread(shares)}; {above} of {designs} above 0.5",
            "random designs: widths, strides and bits as drawn",
        ),
    )
