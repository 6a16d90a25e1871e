"""The fastest schedule of a network's engines on a LUT budget, exactly.

Consecutive layers form groups. The engines of a group run concurrently: their LUTs add up and the
slowest sets the group's cycles. Groups run one after another on the same fabric: cycles add up and
the largest group sets the LUTs. Groups therefore share no budget, which makes the best schedule a
shortest path: the edge from layer i to layer j is the least bottleneck at which the engines of
layers i..j-1 fit the budget together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fpga_model.tiles import Front, Tile


@dataclass(frozen=True)
class Group:
    """Engines that run concurrently, one for each of some consecutive layers."""

    tiles: tuple[Tile, ...]

    @property
    def luts(self) -> int:
        """LUTs of all its engines."""
        return sum(tile.luts for tile in self.tiles)

    @property
    def cycles(self) -> int:
        """Clock cycles for one image, those of its slowest engine."""
        return max(tile.cycles for tile in self.tiles)


@dataclass(frozen=True)
class _Span:
    """Layers first..end-1 as one group: its bottleneck cycles and its LUTs."""

    first: int
    end: int
    cycles: int
    luts: int


def _feasible_spans(fronts: Sequence[Front], max_luts: int) -> list[_Span]:
    """Every interval of layers that fits the budget, at its least bottleneck, by (first, end)."""
    bottlenecks = np.unique(np.concatenate([front.cycles for front in fronts]))
    # What cannot fit counts as one LUT too many, so that sums over many layers stay small.
    needs = [front.fewest_luts(bottlenecks, max_luts + 1) for front in fronts]
    running = np.cumsum(np.minimum(needs, max_luts + 1), axis=0)
    spans = []
    for first in range(len(fronts)):
        totals = running[first:] - (running[first - 1] if first else 0)
        # LUTs fall as the bottleneck rises, so the count of misfits is the index of the first fit.
        fits = np.count_nonzero(totals > max_luts, axis=1)
        for length, fit in enumerate(fits.tolist(), start=1):
            if fit == len(bottlenecks):
                break
            luts = int(totals[length - 1, fit])
            spans.append(_Span(first, first + length, int(bottlenecks[fit]), luts))
    return spans


def fastest_schedule(fronts: Sequence[Front], max_luts: int) -> tuple[Group, ...] | None:
    """The schedule least in (cycles, LUTs) of the layers with these tiles.

    Cycles and LUTs are unique whatever the way they are found; where several schedules have both
    in common, the one whose last group starts earliest is taken, then the group before it, and so
    on. Within a group each layer has the cheapest tile that keeps up with the bottleneck.

    Args:
        fronts: one for each layer, in order, at least one.
        max_luts: the budget of each group, in look-up tables.

    Returns:
        The groups in order, or None where some layer's smallest engine exceeds the budget.
    """
    if any(front.luts[-1] > max_luts for front in fronts):
        return None
    # best[end] = (cycles, LUTs, last span) of the best schedule of the layers before `end`. Both
    # a sum and a maximum preserve the order of such pairs, so the best prefix stays the best.
    best: dict[int, tuple[int, int, _Span | None]] = {0: (0, 0, None)}
    for span in _feasible_spans(fronts, max_luts):
        cycles, luts, _ = best[span.first]
        found = (cycles + span.cycles, max(luts, span.luts), span)
        if span.end not in best or found[:2] < best[span.end][:2]:
            best[span.end] = found
    groups: list[Group] = []
    last = best[len(fronts)][2]
    while last is not None:
        members = fronts[last.first : last.end]
        groups.append(Group(tuple(front.cheapest(last.cycles) for front in members)))
        last = best[last.first][2]
    return tuple(reversed(groups))
