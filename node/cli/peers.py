"""`ponas peers`: whom a node is connected to, and whom it listens to again."""

from pathlib import Path

import click

from node.cli.asking import ask, json_option, node_option, show
from node.cli.controlling import steer
from node.cli.keys import data_dir_option
from node.folder import DataFolder
from ponas.v1 import control_service_pb2 as control
from ponas.v1 import query_service_pb2 as query


@click.pass_context
def _show(context: click.Context, address: str, as_json: bool) -> None:
    """Whom a node is connected to, how they behave, and who is banned."""
    if context.invoked_subcommand is None:
        show(ask(address, "ListPeers", query.ListPeersRequest()), as_json)


def _unban(subject: str, folder: Path, as_json: bool) -> None:
    """Listen to a banned key or host again, named as `ponas peers` shows it.

    Whoever misbehaved from elsewhere is banned by both.
    """
    request = control.UnbanRequest(subject=subject)
    answer = steer(DataFolder(folder.expanduser()), "Unban", request)
    if as_json:
        show(answer, as_json)
    if not answer.lifted:
        raise click.ClickException(f"{subject} is not banned.")
    if not as_json:
        click.echo(f"{subject} is no longer banned.")


peers = click.Group(
    "peers",
    callback=_show,
    help=_show.__doc__,
    params=[node_option(), json_option()],
    invoke_without_command=True,
)
peers.add_command(
    click.Command(
        "unban",
        callback=_unban,
        help=_unban.__doc__,
        params=[
            click.Argument(["subject"], metavar="KEY|HOST"),
            data_dir_option("The node's data folder."),
            json_option(),
        ],
    )
)
