"""A layer's front holds exactly the engines worth building."""

import numpy as np
import pytest
from hypothesis import given, settings

from fpga_model.layer import ConvLayer
from fpga_model.luts import output_lane_luts
from fpga_model.tiles import lane_choices, pareto_front
from tests.fpga_oracles import Cost, all_tiles, layer_of, layers, pareto


def test_lane_choices() -> None:
    assert lane_choices(1) == [1]
    assert lane_choices(12) == [1, 2, 3, 4, 6, 12]
    assert lane_choices(128)[-4:] == [32, 43, 64, 128]


@settings(max_examples=60, deadline=None)
@given(layers(max_channels=24))
def test_front_is_the_pareto_set_of_all_tiles(layer: ConvLayer) -> None:
    front = pareto_front(layer)
    found = [Cost(*pair) for pair in zip(front.cycles.tolist(), front.luts.tolist(), strict=True)]
    assert found == pareto(all_tiles(layer))


@settings(max_examples=60, deadline=None)
@given(layers(max_channels=128))
def test_each_tile_costs_what_its_lanes_say(layer: ConvLayer) -> None:
    front = pareto_front(layer)
    for limit in front.cycles.tolist():
        tile = front.cheapest(limit)
        passes = -(-layer.in_channels // tile.in_lanes) * -(-layer.out_channels // tile.out_lanes)
        assert tile.cycles == passes * layer.cycles_per_pass == limit
        assert tile.luts == tile.out_lanes * output_lane_luts(layer, tile.in_lanes)


def test_fewest_luts_between_beyond_and_below_the_tiles() -> None:
    front = pareto_front(layer_of())
    fastest, slowest = int(front.cycles[0]), int(front.cycles[-1])
    limits = np.array([fastest - 1, fastest, fastest + 1, slowest + 1])
    most, least = int(front.luts[0]), int(front.luts[-1])
    assert front.fewest_luts(limits, none=-7).tolist() == [-7, most, most, least]


@pytest.mark.parametrize(("cycle_limit", "lanes"), [(10**9, (1, 1)), (8 * 8 * 9, (3, 4))])
def test_cheapest_tile(cycle_limit: int, lanes: tuple[int, int]) -> None:
    tile = pareto_front(layer_of(in_channels=3, out_channels=4)).cheapest(cycle_limit)
    assert (tile.in_lanes, tile.out_lanes) == lanes
