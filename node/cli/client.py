"""`ponas`: ask a running node what it knows, or watch a whole network mine on this machine."""

import dataclasses
import json
import re
from pathlib import Path

import click

from node.chain.params import DEVNET
from node.cli.asking import Query, console, query_command
from node.cli.bench import bench
from node.cli.chain import chain
from node.cli.fpga import fpga
from node.cli.keys import keys
from node.cli.miner import miner
from node.cli.models import export, retrain
from node.cli.peers import peers
from node.cli.pool import pool
from node.cli.search import search
from node.cli.task import task
from node.cli.wallet import wallet
from node.clock import SystemClock
from node.demo.layout import NODE_PROGRAM
from node.demo.processes import DemoError
from node.demo.run import Demo, run_demo
from node.errors import ExitCode
from ponas.v1 import query_service_pb2 as query

_ID = re.compile("[0-9a-f]{64}")
# Round numbers and heights stay below 2^63 on the chain.
_ROUND = click.IntRange(0, (1 << 63) - 1)
_FAILED = 1
_INTERRUPTED = 130
_HELP_EPILOG = (
    f"Exit codes: 0 done, {_FAILED} the node has no answer or the demo failed, 2 wrong use, "
    f"{ExitCode.UNREACHABLE:d} no node answers, {_INTERRUPTED} the demo was interrupted."
)


def _report_file(
    _context: click.Context, _option: click.Parameter, path: Path | None
) -> Path | None:
    # Better refused now than after minutes of mining.
    if path is not None and not path.parent.is_dir():
        raise click.BadParameter(f"there is no folder {path.parent}.")
    return path


def _block_request(name: str | None) -> query.GetBlockRequest:
    if name is None:
        return query.GetBlockRequest()
    if _ID.fullmatch(name.lower()):
        return query.GetBlockRequest(id=name.lower())
    if name.isdecimal():
        return query.GetBlockRequest(height=int(_ROUND(name)))
    raise click.BadParameter(f"{name!r} is neither a height nor an id of 64 hexadecimal digits.")


_QUERIES = {
    "status": Query(
        "GetStatus",
        "A node's round, head, final block and peers.",
        lambda _: query.GetStatusRequest(),
    ),
    "block": Query(
        "GetBlock",
        "A block and its winner; by default the head.",
        _block_request,
        "[ID|HEIGHT]",
    ),
    "round": Query(
        "GetRound",
        "A round's commitments, claims and votes.",
        lambda number: query.GetRoundRequest(round=number),
        "[ROUND]",
        _ROUND,
    ),
    "account": Query(
        "GetAccount",
        "An account's balance.",
        lambda address: query.GetAccountRequest(address=address),
        "ADDRESS",
        is_required=True,
    ),
    "miners": Query(
        "ListMiners",
        "What each miner of a pool does.",
        lambda _: query.ListMinersRequest(),
    ),
}


@click.group(epilog=_HELP_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Ask a PoNAS node what it knows, or run a whole network on this machine."""


for _name, _definition in _QUERIES.items():
    main.add_command(query_command(_name, _definition))

main.add_command(peers)
main.add_command(pool)
main.add_command(miner)
main.add_command(chain)
main.add_command(fpga)
main.add_command(search)
main.add_command(retrain)
main.add_command(export)
main.add_command(bench)
main.add_command(task)
main.add_command(wallet)
main.add_command(keys)


@main.command()
@click.option(
    "--rounds",
    type=click.IntRange(1, 1_000),
    default=3,
    show_default=True,
    help="Blocks to be won by trained models before the demo ends.",
)
@click.option(
    "--json",
    "report_file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    callback=_report_file,
    metavar="FILE",
    help="Write the report there.",
)
@click.option("--keep", is_flag=True, help="Leave keys, chains and logs behind, and say where.")
def demo(rounds: int, report_file: Path | None, keep: bool) -> None:
    """Mine blocks on this machine with six nodes.

    Starts two full nodes, a manager and three miners on free loopback ports and shows what they
    do until the blocks are won and confirmed. A round takes 40 seconds. Ctrl-C ends all of it.
    """
    try:
        report = run_demo(Demo(rounds, keep, DEVNET, NODE_PROGRAM, SystemClock(), console()))
    except DemoError as error:
        raise click.ClickException(str(error)) from None
    if report is None:
        click.echo("Interrupted; all nodes were ended.", err=True)
        raise click.exceptions.Exit(_INTERRUPTED)
    if report_file is not None:
        report_file.write_text(json.dumps(dataclasses.asdict(report), indent=2) + "\n")
    raise click.exceptions.Exit(0 if report.ok else _FAILED)
