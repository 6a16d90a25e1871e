"""What a search costs beside the trainings."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from nas.bench.figures import Clock, Figure, format_value
from nas.data.datasets import describe
from nas.designs.space import preset
from nas.jobs import Train, Trained
from nas.searching.journal import Journal
from nas.searching.plan import Plan
from nas.searching.run import run_search, worth_training
from nas.searching.trial import Trial
from nas.searching.winner import Winner
from nas.strategies.registry import STRATEGIES, make_strategy


class _Untrained:
    """A trainer that answers at once."""

    async def run(self, job: Train) -> Trained:
        size = describe(job.task.dataset).validation
        return Trained(b"", b"", job.seed % (size + 1), size, job.epochs, 0.0, (), "none")


WARM_UP = 10
"""Episodes before those that are counted."""


def measure_overhead(episodes: int, seed: int, clock: Clock) -> Figure:
    """Milliseconds a trial of `full` takes beside its training, under the slowest strategy.

    That is proposing a design, judging it, entering it in the journal with a synced write, and
    learning from it. The spread tells the mean of each strategy.
    """
    for name in STRATEGIES:
        # Uncounted: PyTorch sets itself up.
        _mean_ms(name, WARM_UP, seed, clock)
    means = {name: _mean_ms(name, episodes, seed, clock) for name in STRATEGIES}
    spread = ", ".join(f"{name} {format_value(mean)}" for name, mean in means.items())
    floor = "a synced write a trial, and the strategy's own sums"
    n = episodes * len(means)
    return Figure("overhead", max(means.values()), "ms/trial", n, seed, spread, floor)


def _mean_ms(strategy: str, episodes: int, seed: int, clock: Clock) -> float:
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
    return 1_000 * (times[-1] - times[0]) / episodes
