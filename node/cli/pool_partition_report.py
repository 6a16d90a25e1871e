"""A partition as a table for people and as an object for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from nas.designs.genotype import HYPERPARAMETERS
from nas.designs.space import Space, space_to_object
from nas.searching.journal import JOURNAL
from nas.searching.trial import trial_from_object
from pool.partition.base import Subspace
from pool.partition.coverage import Coverage
from pool.partition.tree import Scored

_MOST_ROWS = 40
_MOST_NARROWED = 3


def read_results(folder: Path) -> list[Scored]:
    """Genotypes and rewards of the search in a folder, whether it is over or not.

    Raises OSError without a journal, ValueError for a damaged one.
    """
    whole_lines = (folder / JOURNAL).read_bytes().rpartition(b"\n")[0].splitlines()
    # The first line is the search's plan.
    trials = (trial_from_object(json.loads(line)) for line in whole_lines[1:])
    return [Scored(trial.genotype.to_bytes(), trial.reward) for trial in trials]


def to_object(
    kind: str, seed: int, space: Space, subspaces: Sequence[Subspace], covered: Coverage
) -> dict[str, Any]:
    """Everything that is known, the subspaces with all their ranges; sizes are exact integers."""
    return {
        "kind": kind,
        "seed": seed,
        "designs": space.size(),
        "covered": covered.covered,
        "overlap": covered.overlap,
        "is_exact": covered.is_exact,
        "standard_error": covered.standard_error,
        "subspaces": [
            {
                "designs": subspace.space.size(),
                "is_whole": subspace.is_whole,
                "redraws": subspace.redraws,
                "merged": subspace.merged,
                "repeat": subspace.repeat,
                "space": space_to_object(subspace.space),
            }
            for subspace in subspaces
        ],
    }


def show(space: Space, subspaces: Sequence[Subspace], covered: Coverage) -> None:
    """Print the coverage and a row for each subspace, up to _MOST_ROWS."""
    summary = Table(show_header=False, box=None)
    sizes = [subspace.space.size() for subspace in subspaces]
    how = "exact" if covered.is_exact else f"estimated, +- {_share(covered.standard_error)}"
    summary.add_row("designs", _count(space.size()))
    summary.add_row("covered", f"{_share(covered.covered)} ({how})")
    summary.add_row("overlap", f"{_share(covered.overlap)} of the covered")
    summary.add_row("smallest", _count(min(sizes)))
    summary.add_row("largest", _count(max(sizes)))
    reports = {
        "redraws": sum(subspace.redraws for subspace in subspaces),
        "merged": sum(subspace.merged for subspace in subspaces),
        "repeats": sum(subspace.repeat > 0 for subspace in subspaces),
        "whole": sum(subspace.is_whole for subspace in subspaces),
    }
    reported = [f"{count} {name}" for name, count in reports.items() if count]
    summary.add_row("reported", ", ".join(reported) or "nothing")
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for heading in ("miner", "designs", "share"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("narrowed to", overflow="fold")
    for number, subspace in enumerate(subspaces[:_MOST_ROWS]):
        box = subspace.space
        share = _share(box.size() / space.size())
        table.add_row(str(number), _count(box.size()), share, _narrowed(space, box))
    console = Console(markup=False, emoji=False, highlight=False)
    console.print(summary)
    console.print(table)
    if len(subspaces) > _MOST_ROWS:
        console.print(f"and {len(subspaces) - _MOST_ROWS} more; --json prints all")


def _narrowed(space: Space, box: Space) -> str:
    """The ranges in which a box differs from the space, the first few of them."""
    found = []
    for at, (values, full) in enumerate(zip(box.positions, space.positions, strict=True)):
        if values != full:
            layer, position = divmod(at, len(HYPERPARAMETERS))
            numbers = ",".join(map(str, values))
            found.append(f"layer {layer + 1} {HYPERPARAMETERS[position]} {numbers}")
    more = len(found) - _MOST_NARROWED
    shown = "; ".join(found[:_MOST_NARROWED])
    return f"{shown}; {more} more" if more > 0 else shown or "nothing"


def _count(designs: int) -> str:
    return f"{designs:,}" if designs < 10**9 else f"{designs:.2e}"


def _share(share: float) -> str:
    return f"{100 * share:.3g} %"
