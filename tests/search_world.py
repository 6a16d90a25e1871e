"""Searches without training: an executor that counts hash bits instead, in an order of its own."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Mapping
from pathlib import Path

from nas.designs.genotype import Genotype
from nas.jobs import JobFailed, Train, Trained
from nas.searching.journal import Journal
from nas.searching.plan import Plan
from nas.searching.run import run_search, worth_training
from nas.searching.trial import Trial
from nas.searching.winner import Winner, best_of
from nas.strategies.base import Strategy
from nas.strategies.registry import make_strategy
from tests.nas_models import DEVNET

SIZE = 360


class Killed(BaseException):
    """The process is gone, for all that the search can tell."""


class FakeTrainer:
    """Runs `workers` trainings at a time, each for a random number of turns of the event loop.

    `jobs` are the trainings that were begun. Designs in `reasons` fail with their reason.
    """

    def __init__(
        self, workers: int, order_seed: int = 0, reasons: Mapping[Genotype, str] | None = None
    ) -> None:
        self._slots = asyncio.Semaphore(workers)
        self._rng = random.Random(order_seed)
        self._reasons = reasons or {}
        self.jobs: list[Train] = []

    async def run(self, job: Train) -> Trained:
        """A result that depends on the job alone."""
        async with self._slots:
            self.jobs.append(job)
            for _ in range(self._rng.randrange(20)):
                await asyncio.sleep(0)
        if job.genotype in self._reasons:
            raise JobFailed(self._reasons[job.genotype])
        digest = hashlib.blake2b(job.genotype.to_bytes(), digest_size=8).digest()
        return Trained(
            digest, b"weights" + digest, correct(job.genotype), SIZE, job.epochs, 0.5, (), "none"
        )


def correct(genotype: Genotype) -> int:
    """What the fake training counts."""
    return genotype.layers[0].num_kernels * 10 + genotype.layers[1].act_frac_bits


def plan(strategy: str = "evolution", seed: int = 1) -> Plan:
    """A search over digits."""
    return Plan("digits", DEVNET, strategy, 3, "paper", "qat", seed, "cpu")


async def run(
    folder: Path,
    episodes: int,
    trainer: FakeTrainer,
    search: Plan | None = None,
    strategy: Strategy | None = None,
    killed_after: int | None = None,
) -> list[Trial]:
    """Search in a folder, or go on there; what `on_trial` heard."""
    search = search or plan()
    heard: list[Trial] = []

    def on_trial(trial: Trial) -> None:
        heard.append(trial)
        if len(heard) == killed_after:
            raise Killed

    if strategy is None:
        strategy = make_strategy(search.strategy, search.space, search.seed, worth_training(search))
    with Journal(folder, search.to_object(), resume=True) as journal:
        winner = Winner(folder, best_of((*journal.trials, *journal.early.values())))
        await run_search(search, strategy, trainer, journal, winner, episodes, on_trial)
    return heard
