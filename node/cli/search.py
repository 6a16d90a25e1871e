"""`ponas search`: search for a design on this machine. What it needs is imported when it runs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from fpga_model.profile import PROFILES
from nas.jobs import SEED_BOUND
from nas.strategies.registry import STRATEGIES
from nas.task import PROTOCOLS

_INTERRUPTED = 130


@click.command()
@click.option(
    "--data",
    "dataset",
    default="digits",
    show_default=True,
    help="Data set: digits, cifar10, mnist, folder:PATH or arrays:FILE.npz.",
)
@click.option(
    "--space",
    "space_name",
    default="devnet",
    show_default=True,
    help="Preset (full, S1 to S9, paper-union, devnet) or a JSON file.",
)
@click.option("--layers", type=click.IntRange(1, 64), help="Layers, for a preset; 6, for devnet 3.")
@click.option(
    "--strategy",
    type=click.Choice(STRATEGIES),
    default="reinforce+",
    show_default=True,
    help="Who proposes designs.",
)
@click.option(
    "--episodes",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Designs to propose, those of earlier runs included.",
)
@click.option(
    "--epochs", type=click.IntRange(1), default=10, show_default=True, help="Passes over the data."
)
@click.option(
    "--profile",
    type=click.Choice(sorted(PROFILES)),
    default="paper",
    show_default=True,
    help="Hardware limits.",
)
@click.option(
    "--protocol",
    type=click.Choice(PROTOCOLS),
    default="qat",
    show_default=True,
    help="How designs are trained: qat rounds in training, ptq after it, compat as the authors.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, SEED_BOUND - 1),
    default=0,
    show_default=True,
    help="All that is random comes from it.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the journal and the results.",
)
@click.option(
    "--resume", is_flag=True, help="Go on with the search in the folder, if there is one."
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=os.cpu_count() or 1,
    show_default="one a core",
    help="Processes that train; the result does not depend on it.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda[:n].")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def search(
    dataset: str,
    space_name: str,
    layers: int | None,
    strategy: str,
    episodes: int,
    epochs: int,
    profile: str,
    protocol: str,
    seed: int,
    out: Path,
    resume: bool,
    workers: int,
    device: str,
    as_json: bool,
) -> None:
    """Search for a design on this machine.

    Every trial is on the disk as soon as it is known. A search that Ctrl-C, a crash or a power cut
    ended goes on with --resume, to the same result; a larger --episodes makes it longer.
    """
    from node.cli import search_run

    try:
        # Resolved here, so that a search is not gone on with on another kind of device.
        device = search_run.resolve_device(device)
        space = search_run.read_space(space_name, layers)
        plan = search_run.Plan(dataset, space, strategy, epochs, profile, protocol, seed, device)
        found = search_run.run(plan, out, resume, episodes, workers)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from None
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"Plotting needs {error.name}: pip install 'ponas[plot]', then --resume."
        ) from None
    if as_json:
        click.echo(json.dumps(found.summary))
    else:
        search_run.show(found.summary, out)
    if found.interrupted:
        done = found.summary["episodes"]
        click.echo(
            f"Interrupted after {done} of {episodes} episodes; go on with --resume.", err=True
        )
        raise click.exceptions.Exit(_INTERRUPTED)
