"""The engines worth building for one layer: its Pareto front of LUTs against cycles.

An engine of Tn x Tm lanes covers N input and M output channels in ceil(N / Tn) * ceil(M / Tm)
passes. Only Tn = ceil(N / a) and Tm = ceil(M / b) are tried: any other value needs as many passes
as a smaller one of these, which has fewer LUTs.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from fpga_model.layer import ConvLayer
from fpga_model.luts import output_lane_luts

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Tile:
    """One engine for one layer."""

    in_lanes: int
    """Tn: input channels worked on at once."""
    out_lanes: int
    """Tm: output channels worked on at once."""
    luts: int
    cycles: int
    """Clock cycles for one image."""


@dataclass(frozen=True, eq=False)
class Front:
    """A layer's n Pareto-optimal tiles, as columns `[n]`: cycles rise and LUTs fall strictly.

    Of tiles equal in both, the one least in (in_lanes, out_lanes) stands for all.
    """

    cycles: Ints
    luts: Ints
    in_lanes: Ints
    out_lanes: Ints

    def fewest_luts(self, cycle_limits: Ints, none: int) -> Ints:
        """Fewest LUTs that meet each of the cycle limits `[n]`, or `none` where no tile does."""
        index = np.searchsorted(self.cycles, cycle_limits, side="right") - 1
        return np.where(index < 0, none, self.luts[index])

    def cheapest(self, cycle_limit: int) -> Tile:
        """The tile of fewest LUTs within `cycle_limit`, which some tile must meet."""
        index = int(np.searchsorted(self.cycles, cycle_limit, side="right")) - 1
        columns = (self.in_lanes, self.out_lanes, self.luts, self.cycles)
        return Tile(*(int(column[index]) for column in columns))


def lane_choices(channels: int) -> list[int]:
    """The distinct values of ceil(channels / passes), ascending."""
    return sorted({-(-channels // passes) for passes in range(1, channels + 1)})


@dataclass(frozen=True, eq=False)
class _Grid:
    """All tiles of a pair of channel counts, by (passes, in_lanes, out_lanes)."""

    in_choices: list[int]
    in_index: Ints
    out_lanes: Ints
    passes: Ints


@cache
def _grid(in_channels: int, out_channels: int) -> _Grid:
    in_choices = lane_choices(in_channels)
    tiles = sorted(
        (-(-in_channels // tn) * -(-out_channels // tm), index, tm)
        for index, tn in enumerate(in_choices)
        for tm in lane_choices(out_channels)
    )
    passes, in_index, out_lanes = np.array(tiles, dtype=np.int64).T.copy()
    return _Grid(in_choices, in_index, out_lanes, passes)


def pareto_front(layer: ConvLayer) -> Front:
    """The layer's Pareto-optimal tiles.

    Raises:
        WidthError: the layer's widths are outside the multiplier table.
    """
    grid = _grid(layer.in_channels, layer.out_channels)
    in_lanes = np.array(grid.in_choices, dtype=np.int64)
    lane_luts = np.array([output_lane_luts(layer, tn) for tn in grid.in_choices], dtype=np.int64)
    luts = grid.out_lanes * lane_luts[grid.in_index]
    # Passes rise along the grid: a tile is worth keeping only if it undercuts all before it ...
    least = np.minimum.accumulate(luts)
    kept = np.flatnonzero(luts[1:] < least[:-1]) + 1
    kept = np.concatenate(([0], kept))
    # ... and no later one needs the same passes.
    passes = grid.passes[kept]
    kept = kept[np.append(passes[1:] != passes[:-1], True)]
    return Front(
        cycles=grid.passes[kept] * layer.cycles_per_pass,
        luts=luts[kept],
        in_lanes=in_lanes[grid.in_index[kept]],
        out_lanes=grid.out_lanes[kept],
    )
