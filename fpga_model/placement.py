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


class _Curves:
    """The curves of layers and spans at each possible bottleneck, computed once."""

    def __init__(self, layers: Sequence[Options], budget: Budget) -> None:
        self.bottlenecks = np.unique(np.concatenate([layer.cycles for layer in layers]))
        self._layers = layers
        # What cannot fit counts as one LUT too many, so that sums over many layers stay small.
        self._nothing = np.full(budget.block_rams + 1, budget.luts + 1, dtype=np.int64)
        self.of_layer = cache(self._of_layer)
        self.of_span = cache(self._of_span)

    def cycles(self, bottleneck: int) -> int:
        """Clock cycles of a bottleneck."""
        return int(self.bottlenecks[bottleneck])

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


def _feasible_spans(curves: _Curves, layers: int, budget: Budget) -> dict[tuple[int, int], _Span]:
    """Every span that fits the budget, at its least bottleneck."""
    indices = range(len(curves.bottlenecks))
    spans: dict[tuple[int, int], _Span] = {}
    for length in range(1, layers + 1):
        for first in range(layers - length + 1):
            end = first + length
            # More layers never run faster than fewer on the same budget.
            parts = [spans.get((first, end - 1)), spans.get((first + 1, end))]
            if length > 1 and None in parts:
                continue
            least = max((part.bottleneck for part in parts if part is not None), default=0)

            def luts(bottleneck: int, first: int = first, end: int = end) -> int:
                return int(curves.of_span(first, end, bottleneck)[-1])

            # Needs fall as the bottleneck rises; a need within the budget counts as found.
            found = bisect_left(indices, True, lo=least, key=lambda at: luts(at) <= budget.luts)
            if found < len(indices):
                cycles = curves.cycles(found)
                spans[first, end] = _Span(first, end, found, cycles, luts(found))
    return spans


def _best_path(spans: dict[tuple[int, int], _Span], layers: int, budget: Budget) -> list[_Span]:
    """The spans of the fastest schedule, least in (cycles, LUTs); every layer alone must fit."""
    best: dict[int, tuple[int, int, list[_Span]]] = {0: (0, 0, [])}
    for end in range(1, layers + 1):
        paths = []
        for first in range(end):
            if span := spans.get((first, end)):
                cycles, luts, path = best[first]
                cost = span.cycles + budget.switching_cycles(first, end)
                paths.append((cycles + cost, max(luts, span.luts), [*path, span]))
        best[end] = min(paths, key=lambda path: path[:2])
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
    spans = _feasible_spans(curves, len(layers), budget)
    if any((layer, layer + 1) not in spans for layer in range(len(layers))):
        return None
    path = _best_path(spans, len(layers), budget)
    return tuple(Group(_tiles(curves, span, layers)) for span in path)
