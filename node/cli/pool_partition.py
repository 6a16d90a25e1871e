"""`ponas pool partition`: what each miner of a pool would search. Its needs are imported at run."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fpga_model.profile import PROFILES
from pool.partition.base import PartitionKind

_MOST_MINERS = 10_000


@click.command("partition")
@click.option(
    "--space",
    "space_name",
    default="devnet",
    show_default=True,
    help="Preset (full, S1 to S9, paper-union, devnet) or a JSON file.",
)
@click.option("--layers", type=click.IntRange(1, 64), help="Layers, for a preset; 6, for devnet 3.")
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in PartitionKind]),
    default="algorithm1",
    show_default=True,
    help="algorithm1 is the paper's; adaptive needs --results to differ from disjoint.",
)
@click.option("--miners", type=click.IntRange(1, _MOST_MINERS), default=9, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True)
@click.option(
    "--data", default="digits", show_default=True, help="Data set that designs are judged for."
)
@click.option(
    "--profile",
    type=click.Choice(sorted(PROFILES)),
    default="paper",
    show_default=True,
    help="Hardware limits that designs are judged by.",
)
@click.option(
    "--results",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Results so far: the folder of a `ponas search` of the same space.",
)
@click.option("--json", "as_json", is_flag=True, help="Print all subspaces as JSON.")
def pool_partition(
    space_name: str,
    layers: int | None,
    kind: str,
    miners: int,
    seed: int,
    data: str,
    profile: str,
    results: Path | None,
    as_json: bool,
) -> None:
    """Show how a space is split among the strong miners of a pool.

    Coverage is the share of the designs that somebody searches, overlap the share of those that
    several do.
    """
    from fpga_model.layer import MAX_MACS
    from nas.task import Task
    from node.chain.hashing import u64
    from node.cli.pool_partition_report import read_results, show, to_object
    from node.cli.search_run import read_space
    from pool.partition.algorithm1 import holds_usable_design
    from pool.partition.coverage import coverage
    from pool.partition.registry import make_partition

    try:
        space = read_space(space_name, layers)
        # How long designs would be trained makes no difference to which are usable.
        task = Task(data, space, "qat", 1, profile, MAX_MACS)
        partition = make_partition(
            PartitionKind(kind),
            space,
            miners,
            u64(seed),
            lambda box: holds_usable_design(box, task),
            () if results is None else read_results(results),
        )
        subspaces = [partition.subspace(number) for number in range(miners)]
        covered = coverage(space, [subspace.space for subspace in subspaces], seed)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps(to_object(kind, seed, space, subspaces, covered), indent=2))
    else:
        show(space, subspaces, covered)
