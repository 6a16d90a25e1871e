"""`ponas miner`: pause or resume a miner of this machine, or see what it does."""

from pathlib import Path
from typing import Any

import click

from node.cli.asking import json_option, show
from node.cli.controlling import steer
from node.cli.keys import data_dir_option
from node.errors import ExitCode
from node.folder import DataFolder
from ponas.v1 import control_service_pb2 as pb

_IDLE = 1


@click.group(
    epilog=f"Exit codes: 0 done, {_IDLE} `status` found it idle, 2 wrong use, "
    f"{ExitCode.UNREACHABLE:d} no miner runs there."
)
def miner() -> None:
    """Steer the miner of a data folder on this machine."""


def _add(name: str, method: str, request: Any, text: str) -> None:
    def run(folder: Path, as_json: bool) -> None:
        state = steer(DataFolder(folder.expanduser()), method, request).miner
        show(state, as_json)
        if name == "status" and state.idle:
            raise click.exceptions.Exit(_IDLE)

    params: list[click.Parameter] = [
        data_dir_option("The miner's data folder."),
        json_option(),
    ]
    miner.add_command(click.Command(name, callback=run, params=params, help=text))


_add(
    "pause",
    "PauseMiner",
    pb.PauseMinerRequest(),
    "Leave the pool after the candidates under way, until `resume` or a restart.",
)
_add("resume", "ResumeMiner", pb.ResumeMinerRequest(), "Go back to work after a pause.")
_add("status", "GetMiner", pb.GetMinerRequest(), "What it does, or why it does nothing.")
