"""Is the pool better with a rule than without it? The same seeds with and without, compared.

Both runs of a seed meet the same subspaces, speeds and departures, so differences are paired.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import fmean, quantiles

from msgspec import Struct

from pool.simulation.outcome import Outcome, Variant

RESAMPLES = 10_000
"""Of the bootstrap; its own error is then far below the interval's width."""


class Difference(Struct, frozen=True):
    """The mean over `seeds` seeds of (with - without) in `Outcome.best`.

    `low` and `high` are its 95 % confidence interval, by the percentile bootstrap (Efron 1979)
    over the seeds. `wins` counts the seeds in which the rules are better.
    """

    without: Variant
    seeds: int
    mean_with: float
    mean_without: float
    mean: float
    low: float
    high: float
    wins: int

    @property
    def verdict(self) -> str:
        """What the interval says, in words."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "no difference seen"


def compare(with_rules: Sequence[Outcome], without: Sequence[Outcome]) -> Difference:
    """Compare runs pairwise.

    Raises ValueError unless both have the same seeds in the same order, at least two of them.
    """
    seeds = [outcome.seed for outcome in with_rules]
    if len(seeds) < 2 or seeds != [outcome.seed for outcome in without]:
        raise ValueError("a comparison needs the same seeds on both sides, at least two")
    differences = [a.best - b.best for a, b in zip(with_rules, without, strict=True)]
    # Seeded, so that the same runs give the same interval.
    rng = random.Random(len(differences))
    means = [fmean(rng.choices(differences, k=len(differences))) for _ in range(RESAMPLES)]
    cuts = quantiles(means, n=40, method="inclusive")
    return Difference(
        without=without[0].variant,
        seeds=len(differences),
        mean_with=fmean(outcome.best for outcome in with_rules),
        mean_without=fmean(outcome.best for outcome in without),
        mean=fmean(differences),
        low=cuts[0],
        high=cuts[-1],
        wins=sum(difference > 0 for difference in differences),
    )
