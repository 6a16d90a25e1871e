"""Slow, obvious schedulers that `fpga_model.schedule` must agree with, and layers to try them on.

All three schedulers know only the formulas of one engine; these two try every tile of 1..N by
1..M lanes and neither cuts the network at fixed spans.
"""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from hypothesis import strategies as st

from fpga_model.layer import ConvLayer
from fpga_model.luts import output_lane_luts


class Cost(NamedTuple):
    """Cost of a tile or a schedule, ordered as the schedule's ties are."""

    cycles: int
    luts: int


def layer_of(
    in_channels: int = 3,
    out_channels: int = 4,
    out_height: int = 8,
    out_width: int = 8,
    kernel_height: int = 3,
    kernel_width: int = 3,
    act_bits: int = 4,
    weight_bits: int = 4,
    out_int_bits: int = 1,
    out_frac_bits: int = 3,
    in_frac_bits: int = 3,
    weight_frac_bits: int = 3,
) -> ConvLayer:
    """An ordinary layer, changed where a test says so."""
    return ConvLayer(**locals())


@st.composite
def layers(draw: st.DrawFn, max_channels: int) -> ConvLayer:
    """Any small layer whose widths are in the multiplier table."""
    channels, size = st.integers(1, max_channels), st.integers(1, 6)
    act_bits, weight_bits = draw(st.integers(1, 9)), draw(st.integers(1, 10))
    return ConvLayer(
        *(draw(channels), draw(channels), draw(size), draw(size), draw(size), draw(size)),
        *(act_bits, weight_bits, draw(st.integers(0, 3)), draw(st.integers(0, 6))),
        *(draw(st.integers(0, act_bits)), draw(st.integers(0, weight_bits))),
    )


def all_tiles(layer: ConvLayer) -> list[Cost]:
    """Cost of every engine of 1..N by 1..M lanes."""
    return [
        Cost(
            -(-layer.in_channels // tn) * -(-layer.out_channels // tm) * layer.cycles_per_pass,
            tm * output_lane_luts(layer, tn),
        )
        for tn in range(1, layer.in_channels + 1)
        for tm in range(1, layer.out_channels + 1)
    ]


def pareto(costs: Sequence[Cost]) -> list[Cost]:
    """Those that no other matches in both numbers; by definition, one comparison a pair."""
    return [
        cost
        for cost in sorted(set(costs))
        if not any(o != cost and o.cycles <= cost.cycles and o.luts <= cost.luts for o in costs)
    ]


def _cost_of(tiles: Sequence[Cost], group_starts: Sequence[bool], max_luts: int) -> Cost | None:
    """Cost of these tiles, where each layer but the first says whether it starts a group."""
    groups = [[tiles[0]]]
    for tile, starts in zip(tiles[1:], group_starts, strict=True):
        if starts:
            groups.append([])
        groups[-1].append(tile)
    luts = max(sum(tile.luts for tile in group) for group in groups)
    cycles = sum(max(tile.cycles for tile in group) for group in groups)
    return Cost(cycles, luts) if luts <= max_luts else None


def brute_force(network: Sequence[ConvLayer], max_luts: int) -> Cost | None:
    """Least cost over every choice of tiles and every cut into groups."""
    choices = product(*(all_tiles(layer) for layer in network))
    cuts = list(product((False, True), repeat=len(network) - 1))
    costs = (_cost_of(tiles, cut, max_luts) for tiles in choices for cut in cuts)
    return min((cost for cost in costs if cost is not None), default=None)


def pareto_programme(network: Sequence[ConvLayer], max_luts: int) -> int | None:
    """Fewest cycles, layer by layer over states (closed cycles, total cycles, open group's LUTs).

    A state is dropped only if another is no worse in all three numbers.
    """
    states = {(0, 0, 0)}
    for index, layer in enumerate(network):
        grown = set()
        for tile in pareto(all_tiles(layer)):
            for closed, total, luts in states:
                if tile.luts <= max_luts:
                    grown.add((total, total + tile.cycles, tile.luts))
                if index and luts + tile.luts <= max_luts:
                    bottleneck = max(total - closed, tile.cycles)
                    grown.add((closed, closed + bottleneck, luts + tile.luts))
        states = set()
        for state in sorted(grown):
            if not any(all(a <= b for a, b in zip(s, state, strict=True)) for s in states):
                states.add(state)
    return min((total for _, total, _ in states), default=None)


class _Search(NamedTuple):
    """A partial schedule of the authors' search, in the three numbers that it prunes by."""

    group_luts: int
    cycles: int
    closed_cycles: int
    """Those of the groups before the open one."""


def authors_search(network: Sequence[ConvLayer], max_luts: int, max_cycles: int) -> int | None:
    """Cycles that the search of the authors' code (arXiv 1911.00105) finds, with our costs.

    Layer by layer each partial schedule opens a group or appends to the open one, with one of two
    tiles: the smallest that is fast enough for the cycles left, and the fastest that fits the
    LUTs left. Of the results only those stay that lie on one of three two-dimensional fronts.
    """
    pool = [_Search(0, 0, 0)]
    for index, layer in enumerate(network):
        tiles = all_tiles(layer)
        grown = set()
        for state in pool:
            grown |= _extended(state, tiles, max_luts, max_cycles, opens=True)
            if index:
                grown |= _extended(state, tiles, max_luts, max_cycles, opens=False)
        pool = [
            state
            for state in sorted(grown)
            if any(_on_front(state, grown, pair) for pair in ((0, 1), (0, 2), (1, 2)))
        ]
    return min((state.cycles for state in pool), default=None)


def _extended(
    state: _Search, tiles: Sequence[Cost], max_luts: int, max_cycles: int, opens: bool
) -> set[_Search]:
    closed = state.cycles if opens else state.closed_cycles
    used = 0 if opens else state.group_luts
    fits = [t for t in tiles if used + t.luts <= max_luts and closed + t.cycles <= max_cycles]
    if not fits:
        return set()
    chosen = {min(fits, key=lambda tile: (tile.luts, tile.cycles)), min(fits)}
    bottleneck = 0 if opens else state.cycles - closed
    return {
        _Search(used + tile.luts, closed + max(bottleneck, tile.cycles), closed) for tile in chosen
    }


def _on_front(state: _Search, others: set[_Search], pair: tuple[int, int]) -> bool:
    mine = [state[at] for at in pair]
    return not any(
        [o[at] for at in pair] != mine and all(o[at] <= state[at] for at in pair) for o in others
    )
