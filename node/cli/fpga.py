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


_CLASSES = range(2, 257)
_DEFAULTS = {"image": "3x32x32", "classes": 10}


def _image(text: object) -> tuple[int, int, int]:
    """Channels, height, width. Raises ValueError with a sentence for anything else."""
    match = _IMAGE.fullmatch(text) if isinstance(text, str) else None
    sizes = tuple(map(int, match.groups())) if match else ()
    if len(sizes) != 3 or 0 in sizes:
        raise ValueError(f"image {text!r} is not CHANNELSxHEIGHTxWIDTH, such as 3x32x32")
    return sizes[0], sizes[1], sizes[2]


def _image_option(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> tuple[int, int, int] | None:
    try:
        return None if text is None else _image(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from None


def _classes(value: object) -> int:
    """Raises ValueError with a sentence for anything but a number of classes."""
    if type(value) is not int or value not in _CLASSES:
        raise ValueError(f"classes are {value!r}, not {_CLASSES[0]} to {_CLASSES[-1]}")
    return value


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
    callback=_image_option,
    metavar="CxHxW",
    help="Channels, height and width of one image.  [default: the file's, or 3x32x32]",
)
@click.option(
    "--classes",
    type=click.IntRange(_CLASSES[0], _CLASSES[-1]),
    help="Classes to tell apart.  [default: the file's, or 10]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the exact verdict as JSON.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Draw the schedule there; the ending names the format.",
)
def estimate(
    genotype_file: Path,
    profile_name: str,
    image: tuple[int, int, int] | None,
    classes: int | None,
    as_json: bool,
    plot: Path | None,
) -> None:
    """Judge the design in GENOTYPE_FILE by a hardware profile.

    The file is JSON: {"layers": [{"kernel_height": 3, ...}, ...]}, each layer with its ten
    hyperparameters by name; best.json of a search and report.json of `ponas retrain` are such
    files and know image and classes. Tn and Tm are the input and output channels an engine works
    on at once; the share is that of the profile's LUTs.
    """
    from fpga_model.device import judge_network
    from nas.designs.genotype_json import genotype_from_json
    from nas.designs.hardware import hardware
    from nas.designs.shapes import InputShape
    from node.cli.fpga_report import summary, to_object, to_table

    profile = PROFILES[profile_name]
    try:
        text = genotype_file.read_text("utf-8")
        genotype = genotype_from_json(text)
        known = _DEFAULTS | json.loads(text)
        shape = InputShape(*(image or _image(known["image"])))
        network = hardware(genotype, shape, classes or _classes(known["classes"]))
    except (OSError, ValueError) as error:
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
