"""The results of a search for people and programs: CSV, JSON, a plot."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from nas.data.cache import write_whole
from nas.designs.genotype import HYPERPARAMETERS
from nas.searching.plan import Plan
from nas.searching.trial import Outcome, Trial

CSV, JSON, PLOT = "trials.csv", "result.json", "search.png"

_COLOURS = {
    Outcome.TRAINED: "tab:blue",
    Outcome.DEAD: "tab:grey",
    Outcome.INFEASIBLE: "tab:orange",
    Outcome.FAILED: "tab:red",
}


def summarise(plan: Plan, trials: Sequence[Trial], best: Trial | None) -> dict[str, Any]:
    """The plan, how the trials ended, and the `best` of them (`Winner.best`); ready for JSON.

    Repeated designs count under `repeated` only. `failures` lists every failed trial's reason.
    Raises DatasetError for data that is gone.
    """
    first = [trial for trial in trials if trial.repeats is None]
    counts = Counter(trial.outcome for trial in first)
    return {
        "plan": plan.to_object(),
        "episodes": len(trials),
        **{str(outcome): counts[outcome] for outcome in Outcome},
        "repeated": len(trials) - len(first),
        "failures": [
            {"episode": trial.episode, "reason": trial.detail}
            for trial in first
            if trial.outcome is Outcome.FAILED
        ],
        "training_seconds": round(sum(trial.seconds for trial in first), 3),
        "best": None if best is None else best.to_object(),
    }


def write_results(
    folder: Path, plan: Plan, trials: Sequence[Trial], best: Trial | None
) -> dict[str, Any]:
    """Write CSV, JSON and plot to `folder`; the summary. Raises OSError from the disk."""
    summary = summarise(plan, trials, best)
    write_whole(folder / CSV, [to_csv(trials).encode()])
    write_whole(folder / JSON, [json.dumps(summary, indent=2).encode() + b"\n"])
    write_whole(folder / PLOT, [draw(plan, trials)])
    return summary


def best_so_far(trials: Sequence[Trial]) -> list[float]:
    """The highest reward up to and including each trial."""
    return list(accumulate((trial.reward for trial in trials), max))


def to_csv(trials: Sequence[Trial]) -> str:
    """A row for each trial: its fields, and a column for each hyperparameter of each layer."""
    text = io.StringIO()
    fields = [name for name in trials[0].to_object() if name != "genotype"] if trials else []
    layers = range(1, len(trials[0].genotype.layers) + 1) if trials else ()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*fields, *(f"{name}_{at}" for at in layers for name in HYPERPARAMETERS)])
    for trial in trials:
        values = trial.to_object()
        writer.writerow([*(values[name] for name in fields), *trial.genotype.tokens])
    return text.getvalue()


def draw(plan: Plan, trials: Sequence[Trial]) -> bytes:
    """A PNG: the reward of every episode by outcome, and the best so far."""
    # Here, because it takes most of a second; the object interface, which needs no display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for outcome, colour in _COLOURS.items():
        own = [trial for trial in trials if trial.outcome is outcome]
        if own:
            episodes, rewards = [t.episode for t in own], [t.reward for t in own]
            axes.scatter(episodes, rewards, s=14, color=colour, alpha=0.6, label=str(outcome))
    axes.step(range(len(trials)), best_so_far(trials), where="post", color="k", label="best so far")
    axes.set(xlabel="episode", ylabel="reward", ylim=(-0.02, 1.02))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    training = f"{plan.protocol}, {plan.epochs} epochs, seed {plan.seed}"
    axes.set_title(f"{plan.strategy} on {plan.dataset}, {training}")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    png = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(png, format="png")
    return png.getvalue()
