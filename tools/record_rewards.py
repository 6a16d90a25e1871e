"""Records real searches and real improvements for the pool simulator.

`python -m tools.record_rewards FILE` runs, on one core and in about fifteen minutes, what miners of
a pool run: the controller's search in subspaces of Algorithm 1, then attempts to train on from the
best of a search after 5 episodes, after 20, and at its end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import track

from nas.data.datasets import describe
from nas.designs.design import judge, reward_without_training
from nas.designs.genotype import Genotype
from nas.designs.space import Space, preset
from nas.execution.executor import LocalExecutor
from nas.jobs import Executor, Propose, Train, rewards_needed, training_seed
from nas.task import Task
from pool.partition.algorithm1 import draw_subspace, holds_usable_design
from pool.rules.variants import exploit_variant

SUBSPACES, EPISODES, ATTEMPTS, EPOCHS = 20, 80, 12, 3
STAGES = (5, 20, EPISODES)
"""Results of a search after which its best is trained on from."""

SEED = b"ponas/tools/record-rewards"

TASK = Task("digits", preset("devnet"), "qat", EPOCHS, "paper", 87_000_000_000)


@dataclass(frozen=True)
class Found:
    """A design of `macs` with `correct` validation images, and its float weights if trained."""

    genotype: Genotype
    correct: int
    macs: int
    weights: bytes | None


async def evaluate(
    executor: Executor, space: Space, genotype: Genotype, seed: int, weights: bytes | None
) -> Found:
    """What a miner reports of a design."""
    info = describe(TASK.dataset)
    design = judge(genotype, TASK, space)
    untrained = reward_without_training(design, info.validation, info.classes)
    if untrained is not None:
        return Found(genotype, untrained, 0, None)
    trained = await executor.run(Train(TASK, genotype, seed, EPOCHS, weights))
    return Found(genotype, trained.correct, design.macs, trained.weights)


async def search(executor: Executor, space: Space, seed: int) -> list[Found]:
    """The results of a search in the order of its episodes."""
    found: list[Found] = []
    for episode in range(EPISODES):
        told = tuple(f.correct / describe(TASK.dataset).validation for f in found)
        job = Propose(TASK, space, seed, told[: rewards_needed(episode)], episode)
        genotype = (await executor.run(job)).genotype
        known = [f for f in found if f.genotype == genotype]
        trained_from = training_seed(seed, TASK.dataset, genotype, 0)
        found += known[:1] or [await evaluate(executor, space, genotype, trained_from, None)]
    return found


async def improve(executor: Executor, base: Found, seed: int) -> list[list[int]]:
    """Counts of (base, attempt) for attempts that train on from the best so far."""
    pairs = []
    for attempt in range(ATTEMPTS):
        genotype = exploit_variant(base.genotype, TASK.space, attempt, seed)
        trained_from = training_seed(seed, TASK.dataset, genotype, attempt)
        found = await evaluate(executor, TASK.space, genotype, trained_from, base.weights)
        pairs.append([base.correct, found.correct])
        base = max(base, found, key=lambda f: f.correct)
    return pairs


async def record() -> dict[str, Any]:
    """Everything that the file holds."""
    executor = LocalExecutor(workers=1, device="cpu")
    searches, improvements = [], []
    try:
        for number in track(range(SUBSPACES), "recording"):
            space = draw_subspace(
                TASK.space, number, SEED, lambda space: holds_usable_design(space, TASK)
            ).space
            found = await search(executor, space, number)
            searches.append([[f.correct, f.macs] for f in found])
            for stage in STAGES:
                best = max(found[:stage], key=lambda f: f.correct)
                if best.weights is not None:
                    improvements.append(await improve(executor, best, number))
    finally:
        await executor.close()
    return {
        "made_by": f"python -m tools.record_rewards: digits, devnet space, qat, {EPOCHS} epochs",
        "images": describe(TASK.dataset).validation,
        "classes": describe(TASK.dataset).classes,
        "searches": searches,
        "improvements": improvements,
    }


def main() -> None:
    """Record, then write one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE")
    options = parser.parse_args()
    recorded = asyncio.run(record())
    lines = [
        f" {json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}"
        for key, value in recorded.items()
    ]
    options.file.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
