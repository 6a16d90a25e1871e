"""Asking a running node: one call of the query service, and its answer as tables or JSON."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click
import grpc
from google.protobuf import json_format
from google.protobuf.message import Message
from rich.console import Console

from node.cli.tables import render
from node.endpoint import EndpointError, parse_endpoint
from node.errors import ExitCode
from ponas.v1.query_service_pb2_grpc import QueryServiceStub

json_flag = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
"""`--json` of a command that prints by `tell`, handed over as `as_json`."""

_TIMEOUT_S = 5.0
# A proxy of the environment is meant for the web, never for nodes.
_CHANNEL_OPTIONS = [("grpc.enable_http_proxy", 0)]


class _Unreachable(click.ClickException):
    exit_code = ExitCode.UNREACHABLE


@dataclass(frozen=True)
class Query:
    """One read command: which call it makes, and the argument it may take."""

    method: str
    help: str
    request: Callable[[Any], Message]
    metavar: str = ""
    type: click.ParamType[Any] = click.STRING
    is_required: bool = False


def console() -> Console:
    """A console on which what others wrote is shown as it is, never read as markup."""
    return Console(markup=False, emoji=False, highlight=False)


def node_option() -> click.Option:
    """`--node HOST:PORT`, handed over as `address`."""
    return click.Option(
        ["--node", "address"],
        default="127.0.0.1:7700",
        show_default=True,
        envvar="PONAS_NODE",
        show_envvar=True,
        callback=_endpoint,
        metavar="HOST:PORT",
        help="Node to ask.",
    )


def json_option() -> click.Option:
    """`--json`, handed over as `as_json`."""
    return click.Option(["--json", "as_json"], is_flag=True, help="Print the exact answer as JSON.")


def query_command(name: str, query: Query) -> click.Command:
    """The command that asks one query and shows the whole answer."""

    def run(address: str, as_json: bool, argument: Any = None) -> None:
        show(ask(address, query.method, query.request(argument)), as_json)

    params: list[click.Parameter] = [node_option(), json_option()]
    if query.metavar:
        params.append(
            click.Argument(
                ["argument"],
                type=query.type,
                required=query.is_required,
                metavar=query.metavar,
            )
        )
    return click.Command(name, callback=run, params=params, help=query.help)


def ask(address: str, method: str, request: Message) -> Message:
    """One call to a node; a failure ends the program with one sentence and its exit code."""
    try:
        return _call(address, method, request)
    except grpc.RpcError as error:
        raise _failure(address, error) from None


def ask_if_there(address: str, method: str, request: Message) -> Message | None:
    """Like `ask`, but None for an item that the node does not have."""
    try:
        return _call(address, method, request)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return None
        raise _failure(address, error) from None


def show(answer: Message, as_json: bool) -> None:
    """Print an answer, as tables or as exact JSON."""
    if as_json:
        click.echo(
            json_format.MessageToJson(
                answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            )
        )
    else:
        console().print(render(answer))


def tell(fields: Mapping[str, object], as_json: bool) -> None:
    """Print what a command has found out itself, a line each or as one JSON object."""
    if as_json:
        click.echo(json.dumps(fields))
        return
    for name, value in fields.items():
        click.echo(f"{name}: {value}")


def _call(address: str, method: str, request: Message) -> Message:
    with grpc.insecure_channel(address, _CHANNEL_OPTIONS) as channel:
        answer: Message = getattr(QueryServiceStub(channel), method)(request, timeout=_TIMEOUT_S)
        return answer


def _endpoint(_context: click.Context, _option: click.Parameter, text: str) -> str:
    try:
        return str(parse_endpoint(text))
    except EndpointError as error:
        raise click.BadParameter(f"{error}.") from None


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
