"""`ponas chain verify` and `ponas chain repair`. Their needs are imported at run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import Progress

from node.cli.ledger import network_option

if TYPE_CHECKING:
    from node.chain.genesis import Network
    from node.consensus.examination import Examination
    from node.store.base import Change, Store

_SHOWN = 10


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
        click.option(
            "--data-dir",
            "folder",
            required=True,
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            help="Data folder of a node that does not run.",
        ),
    ):
        command = option(command)
    return command


@click.command("verify")
@_options
def verify(folder: Path, network: Network, as_json: bool) -> None:
    """Judge every block, vote and model on disk anew.

    Nothing is changed. Images are not counted again. Exit code 0: all is as it should be; 1: it is
    damaged.
    """
    from node.folder import open_data_folder
    from node.store.rocks import open_store

    with (
        _told_in_a_sentence(),
        closing(open_store(open_data_folder(folder).store, network.id)) as store,
    ):
        examination = _examine(store, network)
    _report(examination, as_json)
    raise click.exceptions.Exit(1 if examination.damage else 0)


@click.command("repair")
@_options
def repair(folder: Path, network: Network, as_json: bool) -> None:
    """Remove what is damaged, so that the node starts and has the rest again from its peers.

    Keys, a pool's books and what was signed stay. If the disk itself has lost rows, the damaged
    store is left beside the new one as `store.damaged`, and the node signs nothing in this round
    any more, nor before its peers have justified a later one: it may have forgotten what it signed.
    """
    from node.chain.timing import phase_at
    from node.clock import SystemClock
    from node.consensus.blockstore import BlockStore
    from node.consensus.signed_before import silence_through
    from node.folder import open_data_folder
    from node.store.mend import mend_store
    from node.store.rocks import open_store

    with _told_in_a_sentence():
        path = open_data_folder(folder).store
        has_lost_rows = mend_store(path, network.id)
        with closing(open_store(path, network.id)) as store:
            if has_lost_rows:
                store.write(silence_through(phase_at(network, SystemClock().now_ms()).round))
            examination = _examine(store, network)
            changes: list[Change] = [row for each in examination.damage for row in each.removal()]
            if examination.gap is not None:
                changes += BlockStore(store, network).put_gap(examination.gap)
            store.write(changes)
    _report(examination, as_json, has_lost_rows)


for _command in (verify, repair):
    _command.params.append(network_option())


def _examine(store: Store, network: Network) -> Examination:
    from node.consensus.designs import NasDesigns
    from node.consensus.examination import examine

    with _heights() as on_block:
        return examine(store, network, NasDesigns(network.parameters), on_block)


@contextmanager
def _heights() -> Iterator[Callable[[int], None]]:
    """A bar on standard error that shows the height; only where people look."""
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        bar = progress.add_task("judging blocks", total=None)
        yield lambda height: progress.update(bar, description=f"judging block {height}")


def _report(examination: Examination, as_json: bool, has_lost_rows: bool = False) -> None:
    counts = Counter(str(each.table) for each in examination.damage)
    if as_json:
        report = {
            "blocks": examination.blocks,
            "unjudged": examination.unjudged,
            "final_round": examination.final.round,
            "final": examination.final.id.hex(),
            "lost_rows": has_lost_rows,
            "damage": [
                {"table": str(each.table), "key": each.key.hex(), "reason": each.reason}
                for each in examination.damage
            ],
        }
        click.echo(json.dumps(report, indent=2))
        return
    click.echo(f"{examination.blocks} blocks stand, final up to round {examination.final.round}.")
    if examination.unjudged:
        click.echo(
            f"Those before them are not here, so of the oldest {examination.unjudged} only the "
            "hashes were checked."
        )
    for each in examination.damage[:_SHOWN]:
        click.echo(f"damaged {each.table} {each.key.hex()}: {each.reason}")
    if counts:
        listed = ", ".join(f"{number} of {table}" for table, number in sorted(counts.items()))
        click.echo(f"Damaged rows: {listed}.")
    if has_lost_rows:
        click.echo("The disk had lost rows; what could be read was saved into a new store.")


@contextmanager
def _told_in_a_sentence() -> Iterator[None]:
    """End with the message of an error that an operator can act on."""
    from node.errors import NodeError

    try:
        yield
    except NodeError as error:
        raise click.ClickException(str(error)) from None
