"""`ponas pool events`: what a manager has decided, and by which inputs."""

from datetime import UTC, datetime
from typing import cast

import click
from rich.table import Table

from node.cli.asking import ask, console, json_option, node_option, show
from node.cli.tables import shorten
from ponas.v1 import query_service_pb2 as query


@click.pass_context
def _run(context: click.Context, address: str, as_json: bool, since: int) -> None:
    request = query.ListPoolEventsRequest(since=since)
    answer = cast(query.ListPoolEventsResponse, ask(address, "ListPoolEvents", request))
    if as_json:
        show(answer, as_json)
        return
    table = Table(header_style="dim", box=None, padding=(0, 2, 0, 0))
    table.add_column("number", justify="right")
    for name in ("time", "event", "miner", "inputs"):
        table.add_column(name, overflow="fold")
    for event in answer.events:
        at = datetime.fromtimestamp(event.at_ms / 1_000, UTC)
        table.add_row(
            str(event.number),
            at.strftime("%H:%M:%S.%f")[:-3],
            event.kind,
            shorten(event.miner),
            event.detail,
        )
    console().print(table)
    console().print(f"More from event {answer.next} on: --since {answer.next}")


pool_events = click.Command(
    "events",
    callback=_run,
    params=[
        node_option(),
        json_option(),
        click.Option(
            ["--since"],
            type=click.IntRange(1, (1 << 63) - 1),
            default=1,
            show_default=True,
            metavar="NUMBER",
            help="First event to be shown; at most 500 come at a time.",
        ),
    ],
    help="What a manager has decided and by which inputs, oldest first (times are UTC).",
)
