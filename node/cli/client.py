"""`ponas`: ask a running node what it knows, or watch a whole network mine on this machine."""

import dataclasses
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import grpc
from google.protobuf import json_format
from google.protobuf.message import Message
from rich.console import Console

from node.chain.params import DEVNET
from node.cli.bench import bench
from node.cli.fpga import fpga
from node.cli.models import export, retrain
from node.cli.search import search
from node.cli.tables import render
from node.clock import SystemClock
from node.demo.layout import NODE_PROGRAM
from node.demo.processes import DemoError
from node.demo.run import Demo, run_demo
from node.endpoint import EndpointError, parse_endpoint
from node.errors import ExitCode
from ponas.v1 import query_service_pb2 as query
from ponas.v1.query_service_pb2_grpc import QueryServiceStub

_TIMEOUT_S = 5.0
_ID = re.compile("[0-9a-f]{64}")
# Round numbers and heights stay below 2^63 on the chain.
_ROUND = click.IntRange(0, (1 << 63) - 1)
# A proxy of the environment is meant for the web, never for nodes.
_CHANNEL_OPTIONS = [("grpc.enable_http_proxy", 0)]
_FAILED = 1
_INTERRUPTED = 130
_HELP_EPILOG = (
    f"Exit codes: 0 done, {_FAILED} the node has no answer or the demo failed, 2 wrong use, "
    f"{ExitCode.UNREACHABLE:d} no node answers, {_INTERRUPTED} the demo was interrupted."
)


class _Unreachable(click.ClickException):
    exit_code = ExitCode.UNREACHABLE


@dataclass(frozen=True)
class _Query:
    """One read command: which call it makes, and the argument it may take."""

    method: str
    help: str
    request: Callable[[Any], Message]
    metavar: str = ""
    type: click.ParamType[Any] = click.STRING
    is_required: bool = False


def _console() -> Console:
    # What others wrote is shown as it is, never read as markup.
    return Console(markup=False, emoji=False, highlight=False)


def _endpoint(_context: click.Context, _option: click.Parameter, text: str) -> str:
    try:
        return str(parse_endpoint(text))
    except EndpointError as error:
        raise click.BadParameter(f"{error}.") from None


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
    "status": _Query(
        "GetStatus",
        "A node's round, head, final block and peers.",
        lambda _: query.GetStatusRequest(),
    ),
    "block": _Query(
        "GetBlock",
        "A block and its winner; by default the head.",
        _block_request,
        "[ID|HEIGHT]",
    ),
    "round": _Query(
        "GetRound",
        "A round's commitments, claims and votes.",
        lambda number: query.GetRoundRequest(round=number),
        "[ROUND]",
        _ROUND,
    ),
    "task": _Query(
        "GetTask",
        "What a round searches: data, space, limits.",
        lambda number: query.GetTaskRequest(round=number),
        "[ROUND]",
        _ROUND,
    ),
    "account": _Query(
        "GetAccount",
        "An account's balance.",
        lambda address: query.GetAccountRequest(address=address),
        "ADDRESS",
        is_required=True,
    ),
    "pool": _Query(
        "GetPool",
        "A manager's pool and its best design.",
        lambda _: query.GetPoolRequest(),
    ),
    "miners": _Query(
        "ListMiners",
        "What each miner of a pool does.",
        lambda _: query.ListMinersRequest(),
    ),
}


@click.group(epilog=_HELP_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Ask a PoNAS node what it knows, or run a whole network on this machine."""


def _command(name: str, definition: _Query) -> click.Command:
    def run(address: str, as_json: bool, argument: Any = None) -> None:
        answer = _ask(address, definition.method, definition.request(argument))
        if as_json:
            click.echo(_to_json(answer))
        else:
            _console().print(render(answer))

    params: list[click.Parameter] = [
        click.Option(
            ["--node", "address"],
            default="127.0.0.1:7700",
            show_default=True,
            envvar="PONAS_NODE",
            show_envvar=True,
            callback=_endpoint,
            metavar="HOST:PORT",
            help="Node to ask.",
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="Print the exact answer as JSON."),
    ]
    if definition.metavar:
        params.append(
            click.Argument(
                ["argument"],
                type=definition.type,
                required=definition.is_required,
                metavar=definition.metavar,
            )
        )
    return click.Command(name, callback=run, params=params, help=definition.help)


def _ask(address: str, method: str, request: Message) -> Message:
    """One call to a node; a failure ends the program with one sentence and its exit code."""
    with grpc.insecure_channel(address, _CHANNEL_OPTIONS) as channel:
        try:
            answer: Message = getattr(QueryServiceStub(channel), method)(
                request, timeout=_TIMEOUT_S
            )
        except grpc.RpcError as error:
            raise _failure(address, error) from None
        return answer


def _failure(address: str, error: grpc.RpcError) -> click.ClickException:
    match error.code():
        case grpc.StatusCode.UNAVAILABLE:
            return _Unreachable(
                f"No node answers at {address}. Start one there, or name another with --node."
            )
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return _Unreachable(f"{address} did not answer within {_TIMEOUT_S:.0f} s.")
        case grpc.StatusCode.UNIMPLEMENTED:
            return click.ClickException(f"{address} is not a PoNAS node, or an older one.")
    # The node itself says in a sentence why it has no answer.
    return click.ClickException(error.details() or f"{address} answered {error.code().name}.")


def _to_json(message: Message) -> str:
    return json_format.MessageToJson(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


for _name, _definition in _QUERIES.items():
    main.add_command(_command(_name, _definition))

main.add_command(fpga)
main.add_command(search)
main.add_command(retrain)
main.add_command(export)
main.add_command(bench)


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
        report = run_demo(Demo(rounds, keep, DEVNET, NODE_PROGRAM, SystemClock(), _console()))
    except DemoError as error:
        raise click.ClickException(str(error)) from None
    if report is None:
        click.echo("Interrupted; all nodes were ended.", err=True)
        raise click.exceptions.Exit(_INTERRUPTED)
    if report_file is not None:
        report_file.write_text(json.dumps(dataclasses.asdict(report), indent=2) + "\n")
    raise click.exceptions.Exit(0 if report.ok else _FAILED)
