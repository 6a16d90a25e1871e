"""Where the look-up tables (LUTs) and cycles of a schedule go, engine by engine."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fpga_model.engines import PlacedTile, classifier_terms, stage_terms
from fpga_model.estimate import Estimate
from fpga_model.network import Network
from fpga_model.terms import Term, arithmetic_terms
from fpga_model.tiles import Tile


@dataclass(frozen=True)
class EngineCost:
    """One engine of a schedule."""

    name: str
    """`layer 1` and so on, or `classifier`."""
    group: int
    """Which group runs it, from 1."""
    tile: Tile
    terms: Mapping[Term, int]
    """LUTs; they add up to `tile.luts`."""

    @property
    def block_rams(self) -> int:
        """Block RAMs of 18 Kbit; 0 where the profile names no device."""
        return self.tile.block_rams if isinstance(self.tile, PlacedTile) else 0


def breakdown(network: Network, estimate: Estimate) -> tuple[EngineCost, ...]:
    """The engines of an estimate that `judge_network` made of this network, in order."""
    placed = [
        (number, tile)
        for number, group in enumerate(estimate.groups, start=1)
        for tile in group.tiles
    ]
    return tuple(
        EngineCost(_name(network, index), group, tile, _terms(network, index, tile))
        for index, (group, tile) in enumerate(placed)
    )


def _name(network: Network, index: int) -> str:
    return f"layer {index + 1}" if index < len(network.stages) else "classifier"


def _terms(network: Network, index: int, tile: Tile) -> dict[Term, int]:
    if not isinstance(tile, PlacedTile):
        lanes = np.array([tile.in_lanes]), np.array([tile.out_lanes])
        terms = arithmetic_terms(network.stages[index].conv, *lanes)
        return {term: int(luts[0]) for term, luts in terms.items()}
    if index < len(network.stages):
        return stage_terms(network.stages[index], tile)
    return classifier_terms(network.dense, tile)
