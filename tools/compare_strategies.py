"""Compares the search strategies at equal budget: `python tools/compare_strategies.py FOLDER`.

Journals go to FOLDER, where an interrupted comparison goes on; plot and table go to
docs/benchmarks/search-digits.*. On one core it takes about fifteen minutes.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.progress import track

from nas.designs.space import preset
from nas.execution.executor import LocalExecutor
from nas.searching.journal import Journal
from nas.searching.plan import Plan
from nas.searching.run import run_search, worth_training
from nas.searching.summary import best_so_far
from nas.searching.winner import Winner, best_of
from nas.strategies.registry import STRATEGIES, make_strategy

EPISODES, EPOCHS, SEEDS = 60, 3, 5
MILESTONES = (10, 20, 40, 60)
PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks" / "search-digits.md"

Curves = Mapping[str, Sequence[Sequence[float]]]
"""By strategy and seed the best reward so far, episode by episode."""


async def run_all(folder: Path) -> Curves:
    """Every strategy with every seed, one training at a time."""
    curves: dict[str, list[list[float]]] = {name: [] for name in STRATEGIES}
    executor = LocalExecutor(workers=1, device="cpu")
    try:
        runs = [(name, seed) for seed in range(SEEDS) for name in STRATEGIES]
        for name, seed in track(runs, "searching"):
            curves[name].append(await _run(folder / f"{name}-{seed}", name, seed, executor))
    finally:
        await executor.close()
    return curves


async def _run(folder: Path, name: str, seed: int, executor: LocalExecutor) -> list[float]:
    plan = Plan("digits", preset("devnet"), name, EPOCHS, "paper", "qat", seed, "cpu")
    strategy = make_strategy(name, plan.space, seed, worth_training(plan))
    with Journal(folder, plan.to_object(), resume=True) as journal:
        winner = Winner(folder, best_of((*journal.trials, *journal.early.values())))
        await run_search(plan, strategy, executor, journal, winner, EPISODES, lambda _: None)
        return best_so_far(journal.trials)


def draw(curves: Curves) -> Figure:
    """Mean regret over the seeds, one standard error to both sides.

    The regret is what is missing to the best reward that any of the runs found.
    """
    top = _top(curves)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    episodes = range(1, EPISODES + 1)
    for name, runs in curves.items():
        regrets = [[top - run[at] for run in runs] for at in range(EPISODES)]
        middle = [mean(values) for values in regrets]
        error = [stdev(values) / len(values) ** 0.5 for values in regrets]
        (line,) = axes.plot(episodes, middle, label=name)
        low = [value - width for value, width in zip(middle, error, strict=True)]
        high = [value + width for value, width in zip(middle, error, strict=True)]
        axes.fill_between(episodes, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.set(xlabel="episodes", ylabel="regret (reward)", yscale="log")
    axes.set_title(
        f"digits, devnet space, qat, {EPOCHS} epochs, {SEEDS} seeds: mean, standard error"
    )
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    return figure


def to_markdown(curves: Curves) -> str:
    """The best reward after some episodes, over the seeds."""
    lines = [
        "# Five strategies on digits at equal budget",
        "",
        f"`python tools/compare_strategies.py FOLDER`: data set `digits`, space `devnet`, protocol "
        f"`qat`, {EPOCHS} epochs a design, {EPISODES} episodes, seeds 0 to {SEEDS - 1}, one CPU "
        "core. Best validation reward so far, mean and standard deviation over the seeds.",
        "",
        f"| strategy | {' | '.join(f'{n} episodes' for n in MILESTONES)} |",
        f"| --- {'| --- ' * len(MILESTONES)}|",
    ]
    for name, runs in curves.items():
        at = [[run[n - 1] for run in runs] for n in MILESTONES]
        cells = " | ".join(f"{mean(values):.4f} ± {stdev(values):.4f}" for values in at)
        lines.append(f"| {name} | {cells} |")
    lines += [
        "",
        f"Best of all runs: {_top(curves):.4f}. The regret in the plot is the distance to it.",
        "",
        "![Regret curves](search-digits.png)",
    ]
    return "\n".join(lines) + "\n"


def _top(curves: Curves) -> float:
    return max(run[-1] for runs in curves.values() for run in runs)


def main() -> None:
    """Search, then write table and plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the journals go")
    curves = asyncio.run(run_all(parser.parse_args().folder))
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(to_markdown(curves))
    figure = draw(curves)
    FigureCanvasAgg(figure)
    figure.savefig(PAGE.with_suffix(".png"))


if __name__ == "__main__":
    main()
