"""`ponas pool simulate`: a whole pool in virtual time. What it needs is imported when it runs."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("simulate")
@click.argument("scenario")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--plot",
    "picture",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also draw best reward, time and pay: .png, .svg or .pdf.",
)
@click.option(
    "--compare", "is_compared", is_flag=True, help="Compare with the pool without its strategy."
)
@click.option(
    "--seeds",
    type=click.IntRange(2, 1000),
    default=20,
    show_default=True,
    help="For --compare: so many seeds from --seed on.",
)
def pool_simulate(
    scenario: str, seed: int, as_json: bool, picture: Path | None, is_compared: bool, seeds: int
) -> None:
    """Simulate the pool of SCENARIO: a TOML file, or the name of a shipped one.

    Miners come, go, cheat and compute in virtual time; all decisions are the manager's own, rewards
    come from recorded searches or a model of them. The same seed gives the same run.
    """
    from node.cli import pool_simulate_report, pool_simulate_run

    try:
        if picture is not None:
            from node.cli import pool_simulate_plot

            pool_simulate_plot.check(picture)
        found = pool_simulate_run.run(scenario, range(seed, seed + (seeds if is_compared else 1)))
        if picture is not None:
            pool_simulate_plot.draw(found.runs, picture)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from None
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"Plotting needs {error.name}: pip install 'ponas[plot]'."
        ) from None
    if as_json:
        click.echo(pool_simulate_run.to_json(found))
    else:
        pool_simulate_report.show(found)
