"""The benchmark of the search loop measures every strategy."""

from __future__ import annotations

from itertools import count

from nas.bench.overhead import measure_overhead
from nas.strategies.registry import STRATEGIES


def test_each_strategy_is_measured() -> None:
    ticks = count()
    figure = measure_overhead(episodes=10, seed=1, clock=lambda: next(ticks))
    assert (figure.unit, figure.n, figure.seed) == ("ms/trial", 10 * len(STRATEGIES), 1)
    assert all(f"{name} 1,000" in figure.spread for name in STRATEGIES)
    assert figure.value == 1_000
