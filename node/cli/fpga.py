"""`ponas fpga`: what a design costs in hardware. What it needs is imported when it runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from fpga_model.profile import PROFILES, Profile

if TYPE_CHECKING:
    from fpga_model.estimate import Verdict
    from fpga_model.network import Network

_UNBOUNDED = 10_000
_IMAGE = re.compile(r"(\d{1,4})x(\d{1,4})x(\d{1,4})")


def _image(_context: click.Context, _option: click.Parameter, text: str) -> tuple[int, int, int]:
    match = _IMAGE.fullmatch(text)
    sizes = tuple(map(int, match.groups())) if match else ()
    if len(sizes) != 3 or 0 in sizes:
        raise click.BadParameter(f"{text!r} is not CHANNELSxHEIGHTxWIDTH, such as 3x32x32.")
    return sizes[0], sizes[1], sizes[2]


def _width(table: Table) -> int:
    """At least the terminal's; cut off at its edge, a table would hide numbers."""
    console = Console()
    unbounded = console.options.update(width=_UNBOUNDED)
    return max(console.width, console.measure(table, options=unbounded).maximum)


@click.group()
def fpga() -> None:
    """Say what a design costs on an FPGA."""


@fpga.command()
@click.argument("genotype_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--profile",
    "profile_name",
    type=click.Choice(sorted(PROFILES)),
    default="paper",
    show_default=True,
    help="Limits to judge by.",
)
@click.option(
    "--image",
    "image",
    default="3x32x32",
    show_default=True,
    callback=_image,
    metavar="CxHxW",
    help="Channels, height and width of one image.",
)
@click.option("--classes", type=click.IntRange(2, 256), default=10, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the exact verdict as JSON.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Draw the schedule there; the ending names the format.",
)
def estimate(
    genotype_file: Path,
    profile_name: str,
    image: tuple[int, int, int],
    classes: int,
    as_json: bool,
    plot: Path | None,
) -> None:
    """Judge the design in GENOTYPE_FILE by a hardware profile.

    The file is JSON: {"layers": [{"kernel_height": 3, ...}, ...]}, each layer with its ten
    hyperparameters by name. Tn and Tm are the input and output channels an engine works on at
    once; the share is that of the profile's LUTs.
    """
    from fpga_model.device import judge_network
    from fpga_model.layer import LayerError
    from nas.designs.genotype import GenotypeError
    from nas.designs.genotype_json import genotype_from_json
    from nas.designs.hardware import hardware
    from nas.designs.shapes import InputShape
    from node.cli.fpga_report import summary, to_object, to_table

    profile = PROFILES[profile_name]
    try:
        genotype = genotype_from_json(genotype_file.read_text("utf-8"))
        network = hardware(genotype, InputShape(*image), classes)
    except (OSError, UnicodeError, GenotypeError, LayerError) as error:
        raise click.ClickException(f"{genotype_file}: {error}.") from None
    verdict = judge_network(network, profile)
    if as_json:
        click.echo(json.dumps(to_object(network, profile, verdict), indent=2))
    else:
        click.echo(summary(profile, verdict))
        if verdict.estimate is not None:
            table = to_table(network, profile, verdict.estimate)
            Console(width=_width(table)).print(table)
    if plot is not None:
        _draw(network, profile, verdict, plot)


def _draw(network: Network, profile: Profile, verdict: Verdict, path: Path) -> None:
    if verdict.estimate is None:
        raise click.ClickException("There is no schedule to draw.")
    try:
        from node.cli.schedule_plot import draw
    except ModuleNotFoundError:
        raise click.ClickException("Drawing needs matplotlib: pip install 'ponas[plot]'.") from None
    try:
        draw(network, profile, verdict.estimate, path)
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{path}: {error}.") from None
