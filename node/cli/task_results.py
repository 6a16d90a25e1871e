"""What was found for published tasks: got from a node, and counted again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from node.chain.block import open_header
from node.chain.codec import decode
from node.chain.errors import Rejected
from node.chain.genesis import Network
from node.chain.messages import Claim, Envelope
from node.cli.asking import ask, json_option, node_option, show
from node.cli.keys import data_dir_option
from node.cli.ledger import check_network, network_option
from node.folder import DataFolder
from ponas.v1 import query_service_pb2 as query

T = TypeVar("T")
_TASK_ID = re.compile("[0-9a-f]{64}")


class _TaskId(click.ParamType[bytes]):
    name = "task"

    def convert(self, value: Any, param: Any, ctx: Any) -> bytes:
        if isinstance(value, bytes):
            return value
        if _TASK_ID.fullmatch(value) is None:
            self.fail(f"{value!r} is no id of 64 hexadecimal digits.", param, ctx)
        return bytes.fromhex(value)


task_id_argument = click.argument("task_id", type=_TaskId(), metavar="TASK")


def online_command(run: Callable[..., None]) -> click.Command:
    """A command that asks a node of a network, about a task in a data folder."""
    command = click.command(run)
    command.params += [node_option(), network_option(), data_dir_option()]
    return command


def place_of(folder: Path, name: str) -> Path:
    """Where a prepared task lies in a data folder."""
    return DataFolder(folder.expanduser()).tasks / name


def checked(work: Callable[[], T]) -> T:
    """What `work` returns; what is wrong with a task ends the program with one sentence."""
    try:
        return work()
    except (ValueError, OSError, Rejected) as error:
        raise click.ClickException(f"{error}.") from None


def show_task(address: str, as_json: bool, task_id: bytes) -> None:
    """A task in the queue: its place, its escrow, and who holds its data."""
    answer = cast(query.ListTasksResponse, ask(address, "ListTasks", query.ListTasksRequest()))
    found = [queued for queued in answer.tasks if queued.id == task_id.hex()]
    if not found:
        raise click.ClickException(
            "No such task is in the queue; `ponas task result` shows done ones."
        )
    show(found[0], as_json)


show_command = click.command("show")(task_id_argument(show_task))
show_command.params += [node_option(), json_option()]


@online_command
@task_id_argument
@click.argument("out", type=click.Path(file_okay=False, path_type=Path), metavar="OUT")
def download(task_id: bytes, out: Path, address: str, network: Network, folder: Path) -> None:
    """Get the newest winner of a task: model, design, costs, and the signed header as proof."""
    from nas.designs.genotype import Genotype
    from nas.designs.genotype_json import genotype_to_object

    check_network(address, network)
    results = _results(address, task_id)
    if not results:
        raise click.ClickException("Nobody has won the task yet.")
    best = results[-1]
    model, header = _model(address, best.model_hash), _header(address, network, best.block)
    design = genotype_to_object(Genotype.from_bytes(bytes.fromhex(best.genotype)))
    costs = {"luts": best.luts, "images_per_s": best.images_per_s}
    counts = {"correct": best.correct, "test_images": best.test_images, "final": best.final}
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.bin").write_bytes(model)
    (out / "block.bin").write_bytes(header)
    (out / "design.json").write_text(json.dumps(design, indent=2) + "\n")
    (out / "result.json").write_text(json.dumps(costs | counts, indent=2) + "\n")
    click.echo(f"{best.correct} of {best.test_images} correct; written to {out}.")


@online_command
@task_id_argument
@click.argument("name")
def verify(task_id: bytes, name: str, address: str, network: Network, folder: Path) -> None:
    """Count every winner of a prepared task again on one's own test images."""
    from node.publishing.folder import read_prepared, read_secret
    from node.publishing.recount import recount

    check_network(address, network)
    place = place_of(folder, name)
    prepared, secret = checked(lambda: (read_prepared(place), read_secret(place)))
    results, differing = _results(address, task_id), 0
    for result in results:
        claim = _claim(_header(address, network, result.block), network)
        model = _model(address, claim.model_hash.hex())
        counted = checked(partial(recount, prepared, secret, result.shard, claim, model))
        verdict = "as claimed" if counted == claim.correct else f"but {claim.correct} were claimed"
        differing += counted != claim.correct
        click.echo(f"Round {result.round}: {counted} of {result.test_images} correct, {verdict}.")
    if differing or not results:
        raise click.ClickException(f"{differing} of {len(results)} results differ.")


def _results(node: str, task_id: bytes) -> list[query.TaskResultView]:
    request = query.GetTaskResultsRequest(task=task_id.hex())
    return list(cast(query.GetTaskResultsResponse, ask(node, "GetTaskResults", request)).results)


def _model(node: str, model_hash: str) -> bytes:
    model = b""
    while True:
        request = query.GetModelRequest(hash=model_hash, offset=len(model))
        part = cast(query.GetModelResponse, ask(node, "GetModel", request))
        model += bytes.fromhex(part.data)
        if not part.data or len(model) >= part.total:
            return model


def _header(node: str, network: Network, block: str) -> bytes:
    """The signed header of a block, as the node has it; ends the program if it is another's."""
    request = query.GetBlockBytesRequest(id=block)
    answer = cast(query.GetBlockBytesResponse, ask(node, "GetBlockBytes", request))
    header = checked(lambda: bytes.fromhex(answer.header))
    opened = checked(lambda: open_header(decode(Envelope, header), network.id))
    if opened.id.hex() != block:
        raise click.ClickException(f"{node} showed the header of another block.")
    return header


def _claim(header: bytes, network: Network) -> Claim:
    message = open_header(decode(Envelope, header), network.id).message
    if not isinstance(message, Claim):
        raise click.ClickException("The block has no winner.")
    return message
