"""What a benchmark returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median, quantiles
from typing import Any

from nas.bench.machine import Machine

Clock = Callable[[], float]
"""Seconds, from any start."""


@dataclass(frozen=True)
class Figure:
    """One measured number.

    `value` in `unit` comes from `n` measurements of what `seed` draws (None: nothing is drawn);
    `spread` says how they scatter, `floor` what keeps the value from being better.
    """

    name: str
    value: float
    unit: str
    n: int
    seed: int | None
    spread: str
    floor: str

    def to_object(self, machine: Machine) -> dict[str, Any]:
        """The figure and where it was measured, for JSON."""
        return asdict(self) | asdict(machine)


def format_value(value: float) -> str:
    """Three digits that matter; whole numbers from 100 on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def describe_spread(values: Sequence[float]) -> str:
    """Lowest, quartiles and highest of some values, at least one."""
    if len(values) < 2:
        return "one value"
    lower, _, upper = quantiles(values, n=4, method="inclusive")
    low, first, third, high = map(format_value, (min(values), lower, upper, max(values)))
    return f"lowest {low}, middle half {first} to {third}, highest {high}"


def seconds_of(work: Callable[[], object], clock: Clock) -> float:
    """How long a call takes."""
    started = clock()
    work()
    return clock() - started


def rate_figure(
    name: str, unit: str, size: int, seconds: Sequence[float], seed: int, floor: str
) -> Figure:
    """The median rate of equally large parts of the work: `size` things in each of `seconds`."""
    rates = [size / part for part in seconds]
    n = size * len(seconds)
    return Figure(name, median(rates), unit, n, seed, describe_spread(rates), floor)
