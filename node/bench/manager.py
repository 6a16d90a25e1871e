"""How long a manager takes to answer thousands of miners over real gRPC on loopback.

The manager runs in a process of its own, with its store on disk; the miners in others. A server
that only answers, with no pool behind it, is measured beside it in the same run: the floor.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import quantiles
from typing import Any

from nas.bench.figures import Figure, format_value
from node.bench.load import Tally, run_miners
from node.bench.server import Usage, serve_echo, serve_pool

# Processes of miners: one for each core of the machine that the goal is stated for.
_LOAD_PROCESSES = 2

# Until all miners are connected, or a process has ended its part.
_PATIENCE_S = 600

Serve = Callable[[Connection, str, int], None]


class LoadError(ValueError):
    """A load that could not be brought about."""


@dataclass(frozen=True)
class Load:
    """So many miners, each with a result every `every_s`, measured for `seconds`."""

    miners: int
    every_s: float
    seconds: float


@dataclass(frozen=True)
class Observed:
    """What one server did under a load."""

    waits_s: list[float]
    not_accepted: list[str]
    lost: list[str]
    audits: int
    usage: Usage


def measure_manager(load: Load, seed: int) -> Figure:
    """99th percentile of the time from a result to its acknowledgement, in ms.

    Raises LoadError for a load that could not be brought about.
    """
    pool = observe(serve_pool, load, seed)
    return to_figure(pool, observe(serve_echo, load, seed), load, seed)


def to_figure(pool: Observed, echo: Observed, load: Load, seed: int) -> Figure:
    """The figure of a manager beside that of a server that only answers.

    Raises LoadError if a miner was lost or a result not accepted: that is another load.
    """
    if pool.lost or pool.not_accepted:
        first = (pool.lost + pool.not_accepted)[0]
        raise LoadError(
            f"{len(pool.lost)} miners were lost and {len(pool.not_accepted)} results not "
            f"accepted, for example: {first}"
        )
    percent = 100 * pool.usage.cpu_s / load.seconds
    return Figure(
        name="manager",
        value=percentile_ms(pool.waits_s, 99),
        unit="ms",
        n=len(pool.waits_s),
        seed=seed,
        spread=(
            f"median {format_value(percentile_ms(pool.waits_s, 50))}, "
            f"highest {format_value(1_000 * max(pool.waits_s))}; {load.miners:,} miners, a result "
            f"every {load.every_s:g} s each, {load.seconds:g} s; the manager took "
            f"{pool.usage.peak_mib:.0f} MiB at most, {percent:.0f} % of a core, and fetched "
            f"{pool.audits:,} models for audits, counted by a stand-in"
        ),
        floor=(
            f"a server that only answers: {format_value(percentile_ms(echo.waits_s, 99))} ms, "
            f"{echo.usage.peak_mib:.0f} MiB"
        ),
    )


def observe(serve: Serve, load: Load, seed: int) -> Observed:
    """Put a server under a load, each in processes of its own."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        here, there = context.Pipe()
        server = context.Process(target=serve, args=(there, str(Path(folder) / "store"), seed))
        server.start()
        try:
            address = _receive(here)
            tallies = _run_load(here, address, load, seed)
            here.send("tell your usage")
            usage = _receive(here)
        finally:
            server.join(30)
            server.kill()
    return Observed(
        waits_s=[wait for tally in tallies for wait in tally.waits_s],
        not_accepted=[reason for tally in tallies for reason in tally.not_accepted],
        lost=[reason for tally in tallies for reason in tally.lost],
        audits=sum(tally.audits for tally in tallies),
        usage=usage,
    )


def percentile_ms(waits_s: Sequence[float], percent: int) -> float:
    """The percentile (1 to 99) of some times, at least two, in ms."""
    return 1_000 * quantiles(waits_s, n=100, method="inclusive")[percent - 1]


def _run_load(server: Connection, address: str, load: Load, seed: int) -> list[Tally]:
    """Connect all miners, then let them report; the server counts its usage from then on."""
    context = multiprocessing.get_context("spawn")
    share = load.miners // _LOAD_PROCESSES
    pipes, processes = [], []
    for number in range(_LOAD_PROCESSES):
        here, there = context.Pipe()
        words = (there, address, share, load.every_s, load.seconds, seed + number)
        process = context.Process(target=run_miners, args=words)
        process.start()
        pipes.append(here)
        processes.append(process)
    try:
        for pipe in pipes:
            _receive(pipe)
        for pipe in (server, *pipes):
            pipe.send("begin")
        return [_receive(pipe) for pipe in pipes]
    finally:
        for process in processes:
            process.kill()


def _receive(pipe: Connection) -> Any:
    if not pipe.poll(_PATIENCE_S):
        raise LoadError(f"a process did not answer within {_PATIENCE_S} s")
    try:
        return pipe.recv()
    except EOFError:
        raise LoadError("a process ended before it had answered") from None
