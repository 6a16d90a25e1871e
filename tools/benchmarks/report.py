"""Figures for people: a table in the terminal and a page in docs/benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from rich.table import Table

from nas.bench.figures import Figure, format_value
from nas.bench.machine import Machine

COLUMNS = ("figure", "value", "unit", "n", "seed", "spread", "bounded by")


def rows(figures: Sequence[Figure]) -> list[tuple[str, ...]]:
    """The cells under COLUMNS."""
    return [
        (
            figure.name,
            format_value(figure.value),
            figure.unit,
            str(figure.n),
            "-" if figure.seed is None else str(figure.seed),
            figure.spread,
            figure.floor,
        )
        for figure in figures
    ]


def to_table(figures: Sequence[Figure], machine: Machine) -> Table:
    """The first things to know, narrow enough for a terminal."""
    table = Table(caption=f"{_pairs(machine.hardware)}\n{_pairs(machine.versions)}")
    table.add_column("figure", no_wrap=True)
    table.add_column("value", no_wrap=True, justify="right")
    table.add_column("unit")
    table.add_column("spread")
    for figure in figures:
        table.add_row(figure.name, format_value(figure.value), figure.unit, figure.spread)
    return table


def to_markdown(figures: Sequence[Figure], machine: Machine, day: date) -> str:
    """A page that says how to measure again."""
    lines = [
        f"# Benchmarks on the CPU, {day.isoformat()}",
        "",
        "Measured by `make bench` (`python tools/bench.py`); medians unless the spread says more.",
        "What each figure counts is in the docstrings of `nas/bench` and `tools/benchmarks`.",
        "",
        f"- Hardware: {_pairs(machine.hardware)}. `load_1min` is the load before the run.",
        f"- Versions: {_pairs(machine.versions)}",
        "",
        _row(COLUMNS),
        _row(["---"] * len(COLUMNS)),
        *(_row(row) for row in rows(figures)),
    ]
    return "\n".join(lines) + "\n"


def _pairs(facts: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {fact}" for name, fact in facts.items())


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
