"""What was found for published tasks: got from a node, and counted again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from node.chain.codec import encode
from node.chain.errors import Rejected
from node.chain.genesis import Network
from node.cli.asking import ask, json_flag, json_option, node_option, show, tell
from node.cli.keys import data_dir_option
from node.cli.ledger import check_network, network_option
from node.cli.task_proofs import fetch_model, fetch_terms, fetch_win
from node.folder import DataFolder
from ponas.v1 import query_service_pb2 as query

if TYPE_CHECKING:
    from node.publishing.prepare import Prepared

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
@json_flag
def download(
    task_id: bytes, out: Path, as_json: bool, address: str, network: Network, folder: Path
) -> None:
    """Get the newest winner of a task: model, design, costs, and its producer's signed claim.

    All of it is checked against the claim; that the claim's block is final is the node's word.
    """
    from nas.designs.genotype_json import genotype_to_object

    check_network(address, network)
    results = _results(address, task_id)
    if not results:
        raise click.ClickException("Nobody has won the task yet.")
    newest = results[-1]
    terms = checked(lambda: fetch_terms(address, network, task_id))
    win = checked(lambda: fetch_win(address, network, terms, newest.block))
    model = checked(lambda: fetch_model(address, terms, win))
    told = {
        "round": win.claim.round,
        "correct": win.claim.correct,
        "test_images": terms.test_images,
        "luts": win.design.luts,
        "images_per_s": win.design.images_per_s,
        "node_says_final": newest.final,
    }
    design = genotype_to_object(win.design.genotype)
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.bin").write_bytes(model)
    (out / "block.bin").write_bytes(encode(win.header))
    (out / "design.json").write_text(json.dumps(design, indent=2) + "\n")
    (out / "result.json").write_text(json.dumps(told, indent=2) + "\n")
    tell(told | {"folder": str(out)}, as_json)


@online_command
@task_id_argument
@click.argument("name")
@json_flag
def verify(
    task_id: bytes, name: str, as_json: bool, address: str, network: Network, folder: Path
) -> None:
    """Count every winner of a prepared task again on one's own test images.

    Ends with code 1 if there is none, one counts otherwise, or one could not be counted.
    """
    from node.publishing.folder import read_prepared, read_secret

    check_network(address, network)
    place = place_of(folder, name)
    prepared, secret = checked(lambda: (read_prepared(place), read_secret(place)))
    results = _results(address, task_id)
    verdicts = [_judge(address, network, prepared, secret, result) for result in results]
    if as_json:
        click.echo(json.dumps({"results": [asdict(verdict) for verdict in verdicts]}))
    else:
        for verdict in verdicts:
            click.echo(verdict.sentence)
    wrong = sum(verdict.counted is None or verdict.fault != "" for verdict in verdicts)
    if wrong or not verdicts:
        raise click.ClickException(f"{wrong} of {len(verdicts)} results differ or are not here.")


@dataclass(frozen=True)
class _Verdict:
    """A winner counted again; `fault` says what is wrong with it, `counted` is None if it could
    not be counted."""

    round: int
    claimed: int | None
    counted: int | None
    test_images: int
    fault: str

    @property
    def sentence(self) -> str:
        if self.counted is None:
            return f"Round {self.round}: not counted, {self.fault}."
        found = f"Round {self.round}: {self.counted} of {self.test_images} correct"
        return f"{found}, {self.fault or 'as claimed'}."


def _judge(
    node: str, network: Network, prepared: Prepared, secret: bytes, result: query.TaskResultView
) -> _Verdict:
    from node.publishing.recount import recount

    terms, claimed = prepared.terms, None
    try:
        win = fetch_win(node, network, terms, result.block)
        claimed = win.claim.correct
        model = fetch_model(node, terms, win)
        counted = recount(prepared, secret, win.shard, win.claim, model)
    except (ValueError, Rejected) as error:
        return _Verdict(result.round, claimed, None, terms.test_images, str(error))
    fault = "" if counted == claimed else f"but {claimed} were claimed"
    return _Verdict(win.claim.round, claimed, counted, terms.test_images, fault)


def _results(node: str, task_id: bytes) -> list[query.TaskResultView]:
    request = query.GetTaskResultsRequest(task=task_id.hex())
    return list(cast(query.GetTaskResultsResponse, ask(node, "GetTaskResults", request)).results)
