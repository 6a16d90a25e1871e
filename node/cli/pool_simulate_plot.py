"""Simulated pools as a picture: best reward over time, where time went, work and pay."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pool.simulation.outcome import Outcome, Use, Variant

_POINTS = 400
_FORMATS = (".png", ".svg", ".pdf")

_Floats = npt.NDArray[np.float64]


def check(path: Path) -> None:
    """Raises ValueError for a picture that can't be written, before minutes of simulation."""
    if path.suffix not in _FORMATS:
        raise ValueError(f"{path} ends in none of {', '.join(_FORMATS)}")
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent}")


def draw(outcomes: Sequence[Outcome], path: Path) -> None:
    """Best reward over a phase for each variant; time and pay of the first variant's classes.

    Outcomes are of one scenario. Raises OSError.
    """
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    best, time, pay = figure.subplots(1, 3, width_ratios=(5, 4, 4))
    _draw_best(best, outcomes)
    first = [outcome for outcome in outcomes if outcome.variant is outcomes[0].variant]
    _draw_time(time, first)
    _draw_pay(pay, first)
    figure.suptitle(outcomes[0].title)
    figure.savefig(path)


def _draw_best(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    """Means over rounds and seeds, and bands of one standard error of the seeds.

    The steep first tenth of the phase is cut off below, so that the variants are told apart.
    """
    lowest, highest = 1.0, 0.0
    for variant in Variant:
        own = [outcome for outcome in outcomes if outcome.variant is variant]
        if not own:
            continue
        at_s = np.linspace(0, own[0].train_s, _POINTS)
        curves = np.array([_mean_curve(outcome, at_s) for outcome in own])
        middle, error = curves.mean(axis=0), curves.std(axis=0) / len(own) ** 0.5
        lowest = min(lowest, middle[_POINTS // 10])
        highest = max(highest, middle[-1])
        (line,) = axes.plot(at_s, middle, label=variant.value)
        low, high = middle - error, middle + error
        axes.fill_between(at_s, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    rounds, seeds = len(outcomes[0].finals), len({outcome.seed for outcome in outcomes})
    axes.set(xlabel="seconds of the train phase", ylabel="pool's best reward")
    axes.set_ylim(lowest, highest + 0.1 * (highest - lowest) + 1e-3)
    axes.set_title(f"mean over {rounds} rounds and {seeds} seeds")
    axes.legend(loc="upper left")
    axes.grid(alpha=0.3)


def _draw_time(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    names = [kind.name for kind in outcomes[0].classes]
    left = np.zeros(len(names))
    for use in Use:
        widths = [fmean(o.classes[at].share(use) for o in outcomes) for at in range(len(names))]
        axes.barh(names, widths, left=left, label=use.value)
        left += widths
    axes.set(xlabel="share of the connected time", xlim=(0, 1))
    axes.set_title(f"time, {outcomes[0].variant.value}")
    axes.legend(fontsize="small", ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.14))


def _draw_pay(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    names = [kind.name for kind in outcomes[0].classes]
    places = np.arange(len(names))
    work = [fmean(o.classes[at].work for o in outcomes) for at in range(len(names))]
    pay = [fmean(o.classes[at].pay for o in outcomes) for at in range(len(names))]
    axes.barh(places - 0.2, work, height=0.4, label="share of work")
    axes.barh(places + 0.2, pay, height=0.4, label="share of pay")
    axes.set_yticks(places, names)
    axes.set(xlabel="share of the pool's")
    axes.set_title(f"work and pay, {outcomes[0].variant.value}")
    axes.legend(fontsize="small")


def _mean_curve(outcome: Outcome, at_s: _Floats) -> _Floats:
    """The best reward at times since a phase's start, averaged over the rounds."""
    total = np.zeros(len(at_s))
    for best, after in zip(outcome.bests, (*outcome.bests[1:], None), strict=True):
        began_s = (best.round - 1) * outcome.period_s
        is_last = after is None or after.round != best.round
        until_s = np.inf if after is None or is_last else after.at_s - began_s
        total[(at_s >= best.at_s - began_s) & (at_s < until_s)] += best.reward
    return total / len(outcome.finals)
