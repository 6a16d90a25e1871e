"""`ponas task`: pay the network for designs that classify one's own images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fpga_model.profile import PROFILES
from nas.task import PROTOCOLS
from node.chain.genesis import Network
from node.chain.published.terms import Cancel, Publish, Rebond
from node.cli.asking import Query, console, json_flag, query_command, tell
from node.cli.keys import data_dir_option, read_key
from node.cli.ledger import Make, check_network, network_option
from node.cli.spending import AMOUNT, Spending, fee_option, yes_option
from node.cli.task_results import (
    checked,
    download,
    online_command,
    place_of,
    show_command,
    task_id_argument,
    verify,
)
from node.errors import ExitCode
from node.identity import parse_address
from ponas.v1 import query_service_pb2 as query

if TYPE_CHECKING:
    from node.publishing.appraisal import Appraisal


@click.group(
    epilog=f"Exit codes: 0 done, 1 refused or not as claimed, 2 wrong use, {ExitCode.KEY:d} a bad "
    f"key file, {ExitCode.UNREACHABLE:d} no node answers."
)
def task() -> None:
    """Publish tasks, and get what was found for them. Amounts are base units.

    A task is prepared in the data folder of the node that is to serve it.
    """


task.add_command(
    query_command(
        "round",
        Query(
            "GetTask",
            "What a round searches: data, space, limits.",
            lambda number: query.GetTaskRequest(round=number),
            "[ROUND]",
            click.IntRange(0, (1 << 63) - 1),
        ),
    )
)
task.add_command(
    query_command(
        "list", Query("ListTasks", "Tasks in the queue.", lambda _: query.ListTasksRequest())
    )
)
task.add_command(
    query_command(
        "result",
        Query(
            "GetTaskResults",
            "What was found for a task, round by round.",
            lambda name: query.GetTaskResultsRequest(task=name),
            "TASK",
            is_required=True,
        ),
    )
)


task.add_command(show_command)
task.add_command(download)
task.add_command(verify)


def _command(run: Callable[..., None]) -> None:
    """Add a command to the group, with the options that all have."""
    command = click.command(run)
    command.params += [network_option(), data_dir_option()]
    task.add_command(command)


def _online(run: Callable[..., None]) -> None:
    task.add_command(online_command(run))


@_command
@click.argument("images", metavar="FOLDER|FILE.npz", type=click.Path(exists=True, path_type=Path))
@click.argument("name")
@click.option("--reward", type=AMOUNT, required=True, help="Base units for each round.")
@click.option("--rounds", type=click.IntRange(1, 32), default=1, show_default=True)
@click.option("--target", type=click.IntRange(0), default=0, help="Correct test images at least.")
@click.option(
    "--margin",
    type=click.IntRange(0),
    help="Images by which the last winner is to be beaten.  [default: two standard errors]",
)
@click.option("--space", default="devnet", show_default=True, help="Preset or JSON file.")
@click.option("--layers", type=click.IntRange(1, 64), help="Layers, for a preset.")
@click.option("--profile", type=click.Choice(sorted(PROFILES)), default="paper", show_default=True)
@click.option("--protocol", type=click.Choice(PROTOCOLS), default="qat", show_default=True)
@click.option("--epochs", type=click.IntRange(1, 10_000), default=10, show_default=True)
@click.option(
    "--key-holder",
    "holders",
    multiple=True,
    metavar="ADDRESS",
    help="Who may open the test images; repeatable.  [default: the key in --data-dir]",
)
@json_flag
def prepare(
    images: Path,
    name: str,
    space: str,
    layers: int | None,
    holders: tuple[str, ...],
    as_json: bool,
    network: Network,
    folder: Path,
    **wishes: Any,
) -> None:
    """Decode images once, split and seal them, and show what publishing them costs.

    Images lie in train/CLASS/* and test/CLASS/*, or in an .npz file. Nothing leaves this machine.
    """
    import nacl.utils

    from nas.data.sources import read_arrays, read_folder
    from node.cli.search_run import read_space
    from node.publishing import folder as files
    from node.publishing.appraisal import appraise
    from node.publishing.prepare import Offer, check_prepared
    from node.publishing.prepare import prepare as make

    def made() -> Publish:
        keys = [parse_address(text) for text in holders] or [read_key(folder).public_key]
        offer = Offer(space=read_space(space, layers), key_holders=tuple(keys), **wishes)
        parts = read_folder(images) if images.is_dir() else read_arrays(images)
        secret = nacl.utils.random(files.SECRET_BYTES)
        limits = network.parameters.tasks
        prepared = make(parts, offer, limits.max_mac_images, secret, nacl.utils.random)
        check_prepared(prepared, secret)
        files.write_prepared(place_of(folder, name), prepared, secret)
        return prepared.terms

    cost, place = appraise(checked(made), network.parameters), place_of(folder, name)
    if as_json:
        tell(asdict(cost) | {"folder": str(place)}, as_json)
        return
    _show_cost(cost)
    click.echo(f"Prepared in {place}; the node with that data folder serves it.")


@_online
@click.argument("name")
@fee_option
@yes_option
def publish(
    name: str, fee: int | None, yes: bool, address: str, network: Network, folder: Path
) -> None:
    """Lock the rewards of a prepared task and have it mined."""
    from node.publishing.appraisal import appraise
    from node.publishing.engine import refuse_terms
    from node.publishing.folder import read_prepared, read_secret
    from node.publishing.prepare import check_prepared

    prepared = checked(lambda: read_prepared(place_of(folder, name)))
    checked(lambda: check_prepared(prepared, read_secret(place_of(folder, name))))
    if refusal := refuse_terms(prepared.terms, network.parameters.tasks.max_mac_images):
        raise click.ClickException(f"{refusal[1]}.")
    cost = appraise(prepared.terms, network.parameters)
    _show_cost(cost)
    click.echo("The training images become public, and each round's test images with its key.")
    spending = Spending(address, network, folder, fee, yes)
    _send(
        spending,
        lambda nonce, paid: replace(prepared.terms, nonce=nonce, fee=paid),
        cost.escrow + cost.publish_fee,
        "Publish the task",
    )


@_online
@task_id_argument
@fee_option
@yes_option
def cancel(
    task_id: bytes, fee: int | None, yes: bool, address: str, network: Network, folder: Path
) -> None:
    """Take a task out of the queue; what is not reserved for a round comes back."""
    spending = Spending(address, network, folder, fee, yes)
    question = "Cancel the task, whose fees are not given back,"
    _send(spending, lambda nonce, paid: Cancel(nonce, paid, task_id), 0, question)


@_online
@task_id_argument
@fee_option
@yes_option
def rebond(
    task_id: bytes, fee: int | None, yes: bool, address: str, network: Network, folder: Path
) -> None:
    """Deposit one reward, so that a task is mined again whose key was withheld."""
    spending = Spending(address, network, folder, fee, yes)
    question = "Deposit one reward, which is burnt if a key is withheld again,"
    _send(spending, lambda nonce, paid: Rebond(nonce, paid, task_id), 0, question)


def _show_cost(cost: Appraisal) -> None:
    for label, value in asdict(cost).items():
        shown = "fewer than one" if label == "candidates" and value == 0 else f"{value:,}"
        console().print(f"{label.replace('_', ' ')}: {shown}")


def _send(spending: Spending, make: Make, amount: int, question: str) -> None:
    check_network(spending.node, spending.network)
    click.echo(spending.spend(make, amount, question)["transaction"])
