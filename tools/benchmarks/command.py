"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from types import MappingProxyType

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from threadpoolctl import threadpool_limits

from nas.bench.figures import Figure
from nas.bench.machine import this_machine
from nas.bench.registry import BENCHMARKS as ENGINE
from nas.bench.registry import Choice
from node.bench.registry import BENCHMARKS as NODE
from node.log import LogFormat, LogLevel, configure_logging
from tools.benchmarks import processes, synthesis, training
from tools.benchmarks.report import to_markdown, to_table

REPORTS = Path(__file__).resolve().parents[2] / "docs" / "benchmarks"
SEED = 1

Benchmark = Callable[[], tuple[Figure, ...]]


def _of_the_node(name: str) -> tuple[Figure, ...]:
    return (NODE[name](),)


def _of_the_engine(name: str) -> tuple[Figure, ...]:
    return (ENGINE[name](Choice()),)


BENCHMARKS: Mapping[str, Benchmark] = MappingProxyType(
    {name: partial(_of_the_engine, name) for name in ENGINE}
    | {name: partial(_of_the_node, name) for name in NODE}
    | {
        "synthesis": synthesis.resynthesise,
        "candidate": partial(
            training.measure_candidate, designs=15, epochs=10, seed=SEED, clock=time.perf_counter
        ),
        "idle": partial(
            processes.measure_idle, settling_s=10.0, seconds=20.0, clock=time.perf_counter
        ),
    }
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmarks that the command line names, or all, and print their figures."""
    options = _parse(arguments)
    # One core, as a worker uses it; figures are then comparable between machines.
    torch.set_num_threads(1)
    threadpool_limits(1)
    configure_logging(LogFormat.TEXT, LogLevel.ERROR, sys.stderr)
    # Before anything runs, so that the load is that of others.
    machine = this_machine()
    names = options.names or list(BENCHMARKS)
    figures: list[Figure] = []
    for found in _run(names):
        figures += found
        if options.json:
            for figure in found:
                print(json.dumps(figure.to_object(machine)), flush=True)
    if not options.json:
        Console().print(to_table(figures, machine))
    if not options.names:
        today = date.today()
        path = REPORTS / f"cpu-{today.isoformat()}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_markdown(figures, machine, today))
        Console(stderr=True).print(f"written to {path}")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench", description="Measures PoNAS on this machine, in about fifteen minutes."
    )
    parser.add_argument(
        "names",
        metavar="NAME",
        nargs="*",
        type=_known,
        help=f"{', '.join(BENCHMARKS)}; all without a name, which also writes a report",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object for each figure")
    return parser.parse_args(arguments)


def _known(name: str) -> str:
    if name not in BENCHMARKS:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(BENCHMARKS)}")
    return name


def _run(names: Sequence[str]) -> Iterator[tuple[Figure, ...]]:
    """The figures of one benchmark after the other, with progress on stderr."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=len(names))
        for name in names:
            progress.update(task, description=f"measuring {name}")
            yield BENCHMARKS[name]()
            progress.advance(task)
