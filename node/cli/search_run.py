"""What `ponas search` does: run a search with a progress bar, write and show its results."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from nas.designs.space import Space, SpaceError, preset, space_from_object
from nas.execution.device import resolve_device as resolve_device
from nas.execution.lanes import executor_for
from nas.searching.journal import Journal
from nas.searching.plan import Plan as Plan
from nas.searching.run import OnTrial, run_search, worth_training
from nas.searching.summary import PLOT, write_results
from nas.searching.winner import MODEL, Winner, best_of
from nas.strategies.registry import make_strategy
from node.cli.progress import best_so_far


@dataclass(frozen=True)
class Found:
    """The summary of a search (`nas.searching.summary`), and whether Ctrl-C ended it."""

    summary: dict[str, Any]
    interrupted: bool


def read_space(name: str, layers: int | None) -> Space:
    """The space of a JSON file, or a preset with `layers`, or as many as it has by default.

    Raises SpaceError for a preset that does not exist or a file that holds no space.
    """
    if not name.endswith(".json"):
        return preset(name, layers)
    if layers is not None:
        raise SpaceError("--layers is for presets; a file says itself how many it has")
    try:
        return space_from_object(json.loads(Path(name).read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise SpaceError(f"{name}: {error}") from None


def run(plan: Plan, out: Path, resume: bool, episodes: int, workers: int) -> Found:
    """Run the search of a plan, or go on with it, and write its results to `out`.

    Raises ValueError, or OSError from the disk, with a sentence for people.
    """
    with Journal(out, plan.to_object(), resume) as journal:
        winner = Winner(out, best_of((*journal.trials, *journal.early.values())))
        interrupted = not _search(plan, journal, winner, episodes, workers)
        return Found(write_results(out, plan, journal.trials, winner.best), interrupted)


def _search(plan: Plan, journal: Journal, winner: Winner, episodes: int, workers: int) -> bool:
    """Whether the search came to its end; not if Ctrl-C came first."""
    strategy = make_strategy(plan.strategy, plan.space, plan.seed, worth_training(plan))

    async def search(on_trial: OnTrial) -> None:
        executor = executor_for(workers, plan.device)
        try:
            await run_search(plan, strategy, executor, journal, winner, episodes, on_trial)
        finally:
            await executor.close()

    # The matrices of a strategy are too small to be worth a second thread.
    with threadpool_limits(1):
        return _with_progress(episodes, lambda on_trial: asyncio.run(search(on_trial)))


def _with_progress(episodes: int, work: Callable[[OnTrial], None]) -> bool:
    with best_so_far(episodes) as advance:
        try:
            work(lambda trial: advance(trial.reward))
        except KeyboardInterrupt:
            return False
        except ExceptionGroup as group:
            # The first failure ended the others.
            raise group.exceptions[0] from None
    return True


def show(summary: dict[str, Any], out: Path) -> None:
    """Print how the trials ended, and the best design."""
    table = Table(show_header=False, box=None)
    ends = ("trained", "dead", "infeasible", "failed", "repeated")
    table.add_row("episodes", str(summary["episodes"]))
    if counts := [f"{summary[end]} {end}" for end in ends if summary[end]]:
        table.add_row("of which", ", ".join(counts))
    for failure in summary["failures"]:
        table.add_row(f"failed {failure['episode']}", failure["reason"])
    if best := summary["best"]:
        table.add_row("best reward", f"{best['reward']:.4f} ({best['correct']} of {best['size']})")
        table.add_row("in episode", str(best["episode"]))
        table.add_row("hardware", f"{best['luts']:,} LUTs, {best['images_per_s']:,} images/s")
        table.add_row("its model", str(out / MODEL))
    table.add_row("plot", str(out / PLOT))
    Console(markup=False, emoji=False, highlight=False).print(table)
