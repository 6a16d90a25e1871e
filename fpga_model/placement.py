"""The fastest schedule of a network's engines on a device of look-up tables and block RAMs.

As in `schedule`, engines of a group run concurrently and groups one after another, so the best
schedule is a shortest path over the spans of consecutive layers. Here a group has two budgets. For
a given bottleneck each layer is a curve: the fewest LUTs it needs beside 0, 1, 2, ... block RAMs.
Curves of a group's layers add up by (min, +) convolution, which loses nothing.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from fpga_model.engines import Options, PlacedTile
from fpga_model.schedule import Group
from fpga_model.tiles import Ints


@dataclass(frozen=True)
class Budget:
    """What one group of engines may use, and what each group costs if there are several."""

    luts: int
    block_rams: int
    reconfiguration_cycles: int
    """To configure a group."""
    transfer_cycles: tuple[int, ...]
    """To hand over the map before each layer from one group to the next; the first is 0."""

    def switching_cycles(self, first: int, end: int) -> int:
        """Cycles until layers first..end-1 can run as one group; 0 if that is all layers."""
        if end - first == len(self.transfer_cycles):
            return 0
        return self.reconfiguration_cycles + self.transfer_cycles[first]


@dataclass(frozen=True)
class _Span:
    """Layers first..end-1 as one group: the index of its bottleneck, its cycles and LUTs."""

    first: int
    end: int
    bottleneck: int
    cycles: int
    luts: int


def _prices(budget: Budget) -> list[int]:
    """LUTs for a block RAM that give good bounds: none, and around what the budget has of both."""
    even = budget.luts // max(budget.block_rams, 1)
    return sorted({0, even // 8, even // 4, even // 2, even, even * 2})


class _Curves:
    """The curves of layers and spans at each possible bottleneck, computed once."""

    def __init__(self, layers: Sequence[Options], budget: Budget) -> None:
        self.bottlenecks = np.unique(np.concatenate([layer.cycles for layer in layers]))
        self._layers, self._budget = layers, budget
        # What cannot fit counts as one LUT too many, so that sums over many layers stay small.
        self._nothing = np.full(budget.block_rams + 1, budget.luts + 1, dtype=np.int64)
        self._least_sums = {price: self._sum_least(price) for price in _prices(budget)}
        self.of_layer = cache(self._of_layer)
        self.of_span = cache(self._of_span)

    def cycles(self, bottleneck: int) -> int:
        """Clock cycles of a bottleneck."""
        return int(self.bottlenecks[bottleneck])

    def least_bottleneck(self, first: int, end: int) -> int:
        """An index that layers first..end-1 need at least; one beyond the last if none suffices.

        For a single layer it is no bound but the truth.
        """
        return max(
            bisect_left(
                range(len(self.bottlenecks)),
                True,
                key=lambda at: bool(sums[end, at] - sums[first, at] <= self._worth(price)),
            )
            for price, sums in self._least_sums.items()
        )

    def _worth(self, price: int) -> int:
        return self._budget.luts + price * self._budget.block_rams

    def _sum_least(self, price: int) -> Ints:
        """What the layers before each need, `[layers + 1][bottlenecks]`, if that is one number.

        A block RAM counts as `price` LUTs. Where the sum exceeds the budget's worth, no placement
        exists (a Lagrangian relaxation): at price 0, as if each layer had all block RAMs.
        """
        nothing = self._worth(price) + 1
        sums = np.zeros((len(self._layers) + 1, len(self.bottlenecks)), dtype=np.int64)
        for at, options in enumerate(self._layers):
            fits = (options.luts <= self._budget.luts) & (
                options.block_rams <= self._budget.block_rams
            )
            needs = np.where(fits, options.luts + price * options.block_rams, nothing)
            count = np.searchsorted(options.cycles, self.bottlenecks, side="right")
            least = np.concatenate([[nothing], np.minimum.accumulate(needs)])
            sums[at + 1] = sums[at] + least[count]
        return sums

    def _of_layer(self, layer: int, bottleneck: int) -> Ints:
        options = self._layers[layer]
        count = np.searchsorted(options.cycles, self.bottlenecks[bottleneck], side="right")
        rams, luts = options.block_rams[:count], options.luts[:count]
        curve = self._nothing.copy()
        fits = rams < len(curve)
        np.minimum.at(curve, rams[fits], luts[fits])
        return np.minimum.accumulate(curve)

    def _of_span(self, first: int, end: int, bottleneck: int) -> Ints:
        if first == end:
            return np.zeros_like(self._nothing)
        last = self.of_layer(end - 1, bottleneck)
        before = self.of_span(first, end - 1, bottleneck)
        curve = self._nothing.copy()
        for rams in _steps(last):
            beside = before[: len(before) - rams] + last[rams]
            np.minimum(curve[rams:], beside, out=curve[rams:])
        return curve


def _steps(curve: Ints) -> list[int]:
    """Where a curve falls; elsewhere it offers no more than with fewer block RAMs."""
    return [0, *(np.flatnonzero(curve[1:] < curve[:-1]) + 1).tolist()]


def _fastest_span(
    curves: _Curves, first: int, end: int, least: int, budget: Budget
) -> _Span | None:
    """Layers first..end-1 at the least bottleneck that fits the budget, looked for from `least`."""

    def luts(bottleneck: int) -> int:
        return int(curves.of_span(first, end, bottleneck)[-1])

    # It is seldom far above a good bound, and each look costs a sum over all layers.
    count = len(curves.bottlenecks)
    low, high, step = least, least, 1
    while high < count and luts(high) > budget.luts:
        low, high, step = high + 1, high + step, 2 * step
    # Needs fall as the bottleneck rises; a need within the budget counts as found.
    span = range(min(high, count))
    found = bisect_left(span, True, lo=low, key=lambda at: luts(at) <= budget.luts)
    if found == count:
        return None
    return _Span(first, end, found, curves.cycles(found), luts(found))


def _best_path(curves: _Curves, layers: int, budget: Budget) -> list[_Span]:
    """The spans of the fastest schedule, least in (cycles, LUTs); every layer alone must fit."""
    best: dict[int, tuple[int, int, list[_Span]]] = {0: (0, 0, [])}
    # Indices of bottlenecks that no span goes below; beyond the last where it does not fit at all.
    least: dict[tuple[int, int], int] = {}
    for end in range(1, layers + 1):
        paths: list[tuple[int, int, list[_Span]]] = []
        for first in reversed(range(end)):
            # More layers never run faster than fewer on the same budget.
            parts = [least.get((first, end - 1), 0), least.get((first + 1, end), 0)]
            bound = max(curves.least_bottleneck(first, end), *parts)
            least[first, end] = bound
            if bound == len(curves.bottlenecks):
                break
            cycles, luts, path = best[first]
            cycles += budget.switching_cycles(first, end)
            if paths and cycles + curves.cycles(bound) > min(path[0] for path in paths):
                continue
            span = _fastest_span(curves, first, end, bound, budget)
            if span is None:
                least[first, end] = len(curves.bottlenecks)
                break
            least[first, end] = span.bottleneck
            paths.append((cycles + span.cycles, max(luts, span.luts), [*path, span]))
        best[end] = min(reversed(paths), key=lambda path: path[:2])
    return best[layers][2]


def _tiles(curves: _Curves, span: _Span, layers: Sequence[Options]) -> tuple[PlacedTile, ...]:
    """The engines of a group: fewest LUTs first, then fewest block RAMs, found last layer first."""
    whole = curves.of_span(span.first, span.end, span.bottleneck)
    luts, rams = span.luts, int(np.argmax(whole == span.luts))
    tiles = []
    for layer in reversed(range(span.first, span.end)):
        own = curves.of_layer(layer, span.bottleneck)
        before = curves.of_span(span.first, layer, span.bottleneck)
        used = next(
            step for step in _steps(own) if step <= rams and before[rams - step] + own[step] == luts
        )
        options = layers[layer]
        suits = (options.luts == own[used]) & (options.block_rams <= used)
        tiles.append(options.tile(int(np.argmax(suits))))
        luts, rams = luts - int(own[used]), rams - used
    return tuple(reversed(tiles))


def fastest_placement(layers: Sequence[Options], budget: Budget) -> tuple[Group, ...] | None:
    """The schedule least in (cycles, LUTs) of engines that each come with options.

    Cycles include switching between groups. Where schedules tie, the
    last group starts earliest, then the group before it, and so on.

    Args:
        layers: the options of each layer, in order, at least one layer.
        budget: what each group may use, with as many transfers as layers.

    Returns:
        The groups in order, whose tiles are all `PlacedTile`s, or None where some layer does not
        fit the budget in any way.
    """
    curves = _Curves(layers, budget)
    nowhere = len(curves.bottlenecks)
    if any(curves.least_bottleneck(layer, layer + 1) == nowhere for layer in range(len(layers))):
        return None
    path = _best_path(curves, len(layers), budget)
    return tuple(Group(_tiles(curves, span, layers)) for span in path)
