"""The benchmark of the search loop measures every strategy."""

from __future__ import annotations

from itertools import count

from nas.strategies.registry import STRATEGIES
from tools.benchmarks.overhead import measure_overhead


def test_each_strategy_is_measured() -> None:
    ticks = count()
    figures = measure_overhead(episodes=10, seed=1, clock=lambda: next(ticks))
    assert [figure.name for figure in figures] == [f"overhead_{name}" for name in STRATEGIES]
    assert {(figure.unit, figure.n, figure.seed) for figure in figures} == {("ms/trial", 10, 1)}
    assert all(figure.value >= 1_000 for figure in figures)
