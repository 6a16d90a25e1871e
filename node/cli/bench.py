"""`ponas bench`: engine, pool and node measured on this machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from nas.bench.figures import Figure

NAMES = ("fpga", "controller", "train", "exact", "overhead", "memory", "validate")
"""Those of `nas.bench.registry`, which is imported only to run one: it needs PyTorch."""

NODE_NAMES = ("gossip", "manager", "pool-simulation", "stall", "sync", "transfers")
"""Those of `node.bench.registry`."""


@click.command()
@click.argument("name", type=click.Choice(NAMES + NODE_NAMES))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--designs",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="For train: a JSON list of designs instead of 20 random ones.",
)
@click.option(
    "--data",
    default=None,
    metavar="NAME",
    help="For train: a data set as in `ponas search` instead of synthetic images.",
)
def bench(name: str, as_json: bool, designs: Path | None, data: str | None) -> None:
    """Measure one part of the engine, the pool or the node on one core of this machine.

    fpga: designs judged a second. controller: episodes a second. train: how many times faster than
    the authors' loop. exact: seconds to count 10,000 images. overhead: what a search takes beside
    a training. memory: what a further worker takes. validate: full evaluations for a round full of
    liars. manager: how long 10,000 miners, each on a connection of its own, wait for an answer
    (99th percentile). pool-simulation: seconds for 10,000 miners and 100 rounds. gossip: seconds
    until 95 % of 1,000 nodes, with 8 peers each and links of 100 ms, hold a new block, in virtual
    time. stall: seconds that a full block keeps the rest of a node waiting. sync: blocks a second
    of a node that catches up. transfers: signed transfers checked and applied in a second of a
    core, in blocks of 500 on 100,000 accounts. The first two, overhead, stall, sync and transfers
    take seconds, manager six minutes, the others a minute or two.
    """
    if name != "train" and (designs is not None or data is not None):
        raise click.UsageError("--designs and --data are for train only")
    from threadpoolctl import threadpool_limits

    from nas.bench.machine import this_machine

    # Before anything runs, so that the load is that of others.
    machine = this_machine()
    try:
        with threadpool_limits(1):
            figure = _measure(name, designs, data)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from None
    found = figure.to_object(machine)
    if as_json:
        click.echo(json.dumps(found))
    else:
        for field, value in found.items():
            click.echo(f"{field}: {value}")


def _measure(name: str, designs: Path | None, data: str | None) -> Figure:
    if name in NODE_NAMES:
        from node.bench.registry import BENCHMARKS as NODE
        from node.log import LogFormat, LogLevel, configure_logging

        # Standard output is for the figure, and writing a log would be measured with the rest.
        configure_logging(LogFormat.TEXT, LogLevel.ERROR, sys.stderr)
        return NODE[name]()
    import torch

    from nas.bench.registry import BENCHMARKS, SYNTHETIC, Choice

    torch.set_num_threads(1)
    return BENCHMARKS[name](Choice(data or SYNTHETIC, designs))
