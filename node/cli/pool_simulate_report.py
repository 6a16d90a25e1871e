"""Tables of simulated pools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from rich.console import Console, Group
from rich.table import Table

from node.cli.pool_simulate_run import Found
from pool.simulation.comparison import Difference
from pool.simulation.outcome import Outcome, Use

_WIDTH = 160
_USES = {use: f"{use.value} %" for use in Use}


def show(found: Found) -> None:
    """Print the single run, or the comparison of several."""
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        # A pipe has no width; cells shall not be cut for it.
        console.width = _WIDTH
    if found.differences:
        console.print(_comparison(found.differences))
    else:
        console.print(Group(_summary(found.runs[0]), "", _classes(found.runs[0])))


def _comparison(differences: Sequence[Difference]) -> Table:
    """The pool with all its rules against itself without some of them."""
    table = Table(header_style="dim", box=None, padding=(0, 2, 0, 0))
    for name in ("all rules against", "with", "without", "difference", "95 % interval"):
        table.add_column(name, justify="left" if name.startswith("all") else "right")
    table.add_column("better in")
    table.add_column("verdict")
    for each in differences:
        table.add_row(
            each.without.value,
            f"{each.mean_with:.4f}",
            f"{each.mean_without:.4f}",
            f"{each.mean:+.4f}",
            f"{each.low:+.4f} to {each.high:+.4f}",
            f"{each.wins} of {each.seeds} seeds",
            each.verdict,
        )
    return table


def _summary(outcome: Outcome) -> Table:
    delays = outcome.reassigned_ms
    rows: Mapping[str, str] = {
        "scenario": f"{outcome.title}, seed {outcome.seed}, rules: {outcome.variant.value}",
        "best reward": f"{outcome.best:.4f}, mean of {len(outcome.finals)} rounds; "
        f"lowest {min(outcome.finals):.4f}, highest {max(outcome.finals):.4f}",
        "searches that lost their miner": f"{outcome.searches_lost}, of which "
        f"{len(delays)} went on"
        + (f" after {median(delays):,.0f} ms (longest {max(delays):,})" if delays else ""),
        "backups": f"{outcome.backups_designated} designated, {outcome.backups_activated} used",
        "audits": f"{outcome.audits:,}",
        "paid to the manager": f"{outcome.manager_pay:.1%}",
    }
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _classes(outcome: Outcome) -> Table:
    table = Table(header_style="dim", box=None, padding=(0, 2, 0, 0))
    table.add_column("class")
    columns = ("miners", "results", "leases", *_USES.values(), "work %", "pay %")
    for name in (*columns, "forfeits"):
        table.add_column(name, justify="right")
    for kind in outcome.classes:
        table.add_row(
            kind.name,
            *(f"{value:,}" for value in (kind.miners, kind.results, kind.leases)),
            *(f"{100 * kind.share(use):.1f}" for use in Use),
            f"{100 * kind.work:.2f}",
            f"{100 * kind.pay:.2f}",
            f"{kind.forfeits:,}",
        )
    return table
