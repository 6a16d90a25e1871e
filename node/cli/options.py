"""The options of `ponas-node`: defaults < configuration file < environment < command line."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from node.checkpoint import parse_checkpoint
from node.cli.settings_file import read_settings
from node.config import Config, Role, load_network, parse_device
from node.endpoint import Endpoint, parse_endpoint
from node.errors import ExitCode, SettingError
from node.identity import parse_address
from node.keyfile import PASSPHRASE_VARIABLE
from node.log import LogFormat, LogLevel
from node.publishing.policy import Verdict, make_policy, parse_opinion
from pool.partition.base import PartitionKind
from pool.records.strengths import Strength
from pool.rules.payout import MAX_POOL_FEE

PROGRAM = "ponas-node"
_ENVIRONMENT_PREFIX = "PONAS"
_EXIT_CODES = "\n".join(f"  {code.value:>3}  {code.description}" for code in ExitCode)
# "\b" keeps click from filling the lines of the table into a paragraph.
_EPILOG = f"""\b
Exit codes:
{_EXIT_CODES}

Every option may also be set in the environment, --data-dir as {_ENVIRONMENT_PREFIX}_DATA_DIR, or
under its own name in the TOML file of --config. The command line wins over the environment, and
the environment over the file. {PASSPHRASE_VARIABLE} in the environment encrypts the key file.
"""


def parse_options(arguments: Sequence[str]) -> Config | None:
    """The settings of a node, from its command line, the environment and a file.

    Returns None when the command line asked for help or the version, which is then printed.

    Raises:
        SettingError: an unknown option, or a value that its option does not take.
        ConfigError: the configuration file or network file can't be used.
    """
    try:
        result = _command.main(
            list(arguments), PROGRAM, standalone_mode=False, auto_envvar_prefix=_ENVIRONMENT_PREFIX
        )
    except click.ClickException as error:
        raise SettingError(_describe(error)) from error
    return result if isinstance(result, Config) else None


def _describe(error: click.ClickException) -> str:
    """Click's message as one sentence that says where a wrong value was set."""
    sentence = " ".join(error.format_message().split())
    if isinstance(error, click.BadParameter) and error.ctx and error.param and error.param.name:
        source = error.ctx.get_parameter_source(error.param.name)
        if source is ParameterSource.ENVIRONMENT:
            variable = f"{_ENVIRONMENT_PREFIX}_{error.param.name.upper()}"
            return f"{sentence.rstrip('.')} (set by {variable} in the environment)"
        if source is ParameterSource.DEFAULT_MAP:
            return f"{sentence.rstrip('.')} (set in the file of --config)"
    return sentence


def _take_file(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    if path is not None:
        settable = [
            option
            for option in ctx.command.params
            if isinstance(option, click.Option) and option.expose_value
        ]
        ctx.default_map = read_settings(path.expanduser(), settable)


def _each(parse: Callable[[str], object]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A click callback that reads a text, or each of several, and reports its `ValueError`."""

    def read(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        try:
            if isinstance(value, tuple):
                return tuple(parse(item) for item in value)
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from error

    return read


def _parse_remote(text: str) -> Endpoint:
    endpoint = parse_endpoint(text)
    if endpoint.port == 0:
        raise ValueError(f"{text!r} needs the port that the other side listens on")
    return endpoint


def _choice(values: type[StrEnum]) -> "click.Choice[str]":
    return click.Choice([value.value for value in values])


@click.command(epilog=_EPILOG, context_settings={"max_content_width": 100})
@click.option(
    "--role",
    required=True,
    type=_choice(Role),
    callback=_each(Role),
    help="full: attests and serves. manager: runs a pool. miner: searches and trains.",
)
@click.option(
    "--network",
    default="devnet",
    show_default=True,
    metavar="NAME|FILE",
    help="The network to join: a built-in name or a network file.",
)
@click.option(
    "--data-dir",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Where the node keeps its key and its chain.  [default: ~/.ponas/ROLE]",
)
@click.option(
    "--listen",
    default="127.0.0.1:7700",
    show_default=True,
    metavar="HOST:PORT",
    callback=_each(parse_endpoint),
    help="Where to serve peers, miners and queries; port 0 takes a free one.",
)
@click.option(
    "--peer",
    multiple=True,
    metavar="HOST:PORT",
    callback=_each(_parse_remote),
    help="A node to stay connected to; repeatable.",
)
@click.option(
    "--no-discovery",
    is_flag=True,
    help="Dial no other nodes than those, and let nobody know where this one listens.",
)
@click.option(
    "--checkpoint",
    metavar="ROUND:ID",
    callback=_each(parse_checkpoint),
    help="A recent final block to begin with, from `ponas status` of a node that you trust.",
)
@click.option(
    "--prune",
    is_flag=True,
    help="Drop blocks older than ten eras, and fetch none below --checkpoint.",
)
@click.option(
    "--pool",
    multiple=True,
    metavar="HOST:PORT",
    callback=_each(_parse_remote),
    help="A manager to mine for; repeatable, the best first. A miner without one mines solo.",
)
@click.option(
    "--publisher",
    multiple=True,
    metavar="allow|deny:ADDRESS",
    callback=_each(parse_opinion),
    help="Whose published tasks to mine; repeatable. If any are allowed, others are not.",
)
@click.option(
    "--strength",
    default="auto",
    show_default=True,
    type=_choice(Strength),
    callback=_each(Strength),
    help="strong explores, weak trains on from the pool's best; auto measures.",
)
@click.option(
    "--partition",
    default="algorithm1",
    show_default=True,
    type=_choice(PartitionKind),
    callback=_each(PartitionKind),
    help="How a manager splits the space: as the paper, without overlap, or also by results.",
)
@click.option(
    "--pool-fee",
    default=0,
    show_default=True,
    metavar="PERMILLE",
    type=click.IntRange(0, MAX_POOL_FEE),
    help="Thousandths of a reward that a manager keeps, 0 to 100.",
)
@click.option(
    "--payout-address",
    metavar="ADDRESS",
    callback=_each(parse_address),
    help="Who is paid for this node's work.  [default: the node's own address]",
)
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 1024),
    help="Processes that train and evaluate.",
)
@click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda[:N]",
    callback=_each(parse_device),
    help="What the workers compute on; auto takes CUDA where there is some.",
)
@click.option(
    "--config",
    is_eager=True,
    expose_value=False,
    metavar="FILE.toml",
    type=click.Path(path_type=Path),
    callback=_take_file,
    help="Read further settings from this file.",
)
@click.option(
    "--log-format",
    default="text",
    show_default=True,
    type=_choice(LogFormat),
    callback=_each(LogFormat),
    help="text is for people, json one object a line.",
)
@click.option(
    "--log-level",
    default="info",
    show_default=True,
    type=_choice(LogLevel),
    callback=_each(LogLevel),
    help="The least severe events to log.",
)
@click.option(
    "--insecure-plaintext",
    is_flag=True,
    help="Allow unencrypted links beyond this machine.",
)
@click.version_option(package_name="ponas")
def _command(
    role: Role,
    network: str,
    data_dir: Path | None,
    peer: tuple[Endpoint, ...],
    pool: tuple[Endpoint, ...],
    publisher: tuple[tuple[Verdict, bytes], ...],
    **rest: Any,
) -> Config:
    """Run a node of the PoNAS network, in which mining is neural architecture search."""
    folder = Path("~/.ponas") / role if data_dir is None else data_dir
    return Config(
        role=role,
        network=load_network(network),
        data_dir=folder.expanduser(),
        peers=peer,
        pools=pool,
        publishers=make_policy(publisher),
        **rest,
    )
