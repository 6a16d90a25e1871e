"""Each term of an engine's LUTs against synthesis."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpga_model.layer import ConvLayer
from fpga_model.luts import (
    WidthError,
    accumulator_luts,
    adder_tree_luts,
    multiplier_luts,
    output_lane_luts,
    rounding_luts,
    saturation_luts,
)
from tests.fpga_oracles import layer_of


@pytest.mark.parametrize(
    ("act_bits", "weight_bits", "luts"),
    [(1, 1, 1), (1, 10, 10), (3, 4, 10), (4, 3, 11), (4, 4, 24), (8, 8, 111), (9, 10, 182)],
)
def test_multiplier_as_synthesised(act_bits: int, weight_bits: int, luts: int) -> None:
    assert multiplier_luts(act_bits, weight_bits) == luts


def test_wider_multipliers_never_cost_less() -> None:
    for act_bits in range(1, 10):
        for weight_bits in range(1, 10):
            assert multiplier_luts(act_bits, weight_bits) <= multiplier_luts(
                act_bits, weight_bits + 1
            )


@pytest.mark.parametrize(("act_bits", "weight_bits"), [(0, 1), (1, 0), (10, 1), (1, 11)])
def test_widths_outside_the_table_are_refused(act_bits: int, weight_bits: int) -> None:
    with pytest.raises(WidthError, match=f"no multiplier of {act_bits} by {weight_bits} bits"):
        multiplier_luts(act_bits, weight_bits)


@pytest.mark.parametrize(
    ("in_lanes", "product_bits", "luts"),
    [(2, 6, 6), (3, 6, 13), (4, 8, 25), (5, 8, 35), (7, 5, 34), (8, 10, 74), (16, 7, 116)],
)
def test_adder_tree_as_synthesised(in_lanes: int, product_bits: int, luts: int) -> None:
    assert adder_tree_luts(in_lanes, product_bits) == luts


@given(st.integers(1, 200), st.integers(1, 20))
def test_adder_tree_is_its_adders_level_by_level(in_lanes: int, product_bits: int) -> None:
    luts, terms, bits = 0, in_lanes, product_bits
    while terms > 1:
        luts += terms // 2 * bits
        terms, bits = terms - terms // 2, bits + 1
    assert adder_tree_luts(in_lanes, product_bits) == luts


# Accumulators of 14, 20, 18, 24 and 16 bits; the figure is rounding and saturation together.
@pytest.mark.parametrize(
    ("layer", "luts"),
    [
        (layer_of(7, 1, 1, 1, 1, 9, 4, 4, 2, 3, 4, 3), 7),
        (layer_of(7, 1, 1, 1, 3, 3, 7, 7, 3, 4, 5, 5), 9),
        (layer_of(7, 1, 1, 1, 3, 3, 6, 6, 1, 5, 5, 5), 8),
        (layer_of(7, 1, 1, 1, 3, 3, 9, 9, 3, 6, 6, 8), 11),
        (layer_of(7, 1, 1, 1, 3, 3, 5, 5, 2, 2, 2, 3), 6),
    ],
)
def test_rounding_and_saturation_as_synthesised(layer: ConvLayer, luts: int) -> None:
    assert rounding_luts(layer) + saturation_luts(layer) == luts


@pytest.mark.parametrize(
    ("out_int_bits", "luts"), [(3, 3), (4, 2), (8, 2), (9, 1), (12, 1), (13, 1), (15, 1)]
)
def test_saturation_gathers_five_dropped_bits_a_lut(out_int_bits: int, luts: int) -> None:
    layer = layer_of(3, 1, 1, 1, 3, 3, 4, 4, out_int_bits, 0, 0, 0)
    assert layer.accumulator_bits == 13
    assert saturation_luts(layer) == luts


def test_a_lane_is_the_sum_of_its_terms() -> None:
    layer = layer_of(in_channels=8, act_bits=5, weight_bits=6)
    assert accumulator_luts(layer) == 5 + 6 + 7
    assert output_lane_luts(layer, 4) == 4 * 47 + (2 * 11 + 12) + 18 + 4 + saturation_luts(layer)


def test_whole_engines_are_close_to_synthesis() -> None:
    # Made by tools/synthesise_luts.py; five of the six are within 1.5 %.
    data = Path(__file__).with_name("data") / "fpga_engine_luts.json"
    for engine in json.loads(data.read_text("utf-8"))["engines"]:
        lane_luts = output_lane_luts(ConvLayer(**engine["layer"]), engine["in_lanes"])
        error = engine["out_lanes"] * lane_luts - engine["luts"]
        assert abs(error) * 100 <= 5 * engine["luts"], engine
