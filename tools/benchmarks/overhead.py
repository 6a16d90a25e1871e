"""What a search costs beside the trainings."""

from __future__ import annotations

import asyncio
import tempfile
from itertools import pairwise
from pathlib import Path

from nas.datasets import describe
from nas.jobs import Train, Trained
from nas.searching.journal import Journal
from nas.searching.plan import Plan
from nas.searching.run import run_search, worth_training
from nas.searching.trial import Trial
from nas.searching.winner import Winner
from nas.space import preset
from nas.strategies.registry import STRATEGIES, make_strategy
from tools.benchmarks.figures import Clock, Figure, describe_spread


class _Untrained:
    """A trainer that answers at once."""

    async def run(self, job: Train) -> Trained:
        size = describe(job.task.dataset).validation
        return Trained(b"", b"", job.seed % (size + 1), size, job.epochs, 0.0)


def measure_overhead(episodes: int, seed: int, clock: Clock) -> tuple[Figure, ...]:
    """Milliseconds a trial of `full` takes beside its training, for each strategy.

    That is proposing a design, judging it, entering it in the journal with a synced write, and
    learning from it.
    """
    return tuple(_measure(name, episodes, seed, clock) for name in STRATEGIES)


def _measure(strategy: str, episodes: int, seed: int, clock: Clock) -> Figure:
    plan = Plan("digits", preset("full"), strategy, 1, "paper", "qat", seed, "cpu")
    times: list[float] = []

    def on_trial(_: Trial) -> None:
        times.append(clock())

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Journal(folder, plan.to_object(), resume=False) as journal:
            search = make_strategy(strategy, plan.space, seed, worth_training(plan))
            winner = Winner(folder, None)
            times.append(clock())
            asyncio.run(run_search(plan, search, _Untrained(), journal, winner, episodes, on_trial))
    each = [1_000 * (after - before) for before, after in pairwise(times)]
    mean = sum(each) / len(each)
    floor = "a synced write a trial, and the strategy's own sums"
    return Figure(
        f"overhead_{strategy}", mean, "ms/trial", episodes, seed, describe_spread(each), floor
    )
