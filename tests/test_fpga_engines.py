"""Engines on a device: each term by hand, all options in agreement with their terms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpga_model.engines import (
    PlacedTile,
    classifier_options,
    classifier_terms,
    stage_options,
    stage_terms,
)
from fpga_model.luts import WidthError, output_lane_luts
from fpga_model.network import Stage
from fpga_model.terms import Term
from fpga_model.tiles import pareto_front
from tests.fpga_oracles import layer_of, layers


@st.composite
def stages(draw: st.DrawFn, max_channels: int) -> Stage:
    """Any small stage."""
    return Stage(draw(layers(max_channels)), draw(st.integers(1, 12)), draw(st.integers(1, 3)))


# 24 inputs to 36 outputs, 3 x 5 taps, 8 columns, 4 bits each way, pooled by 2.
STAGE = Stage(layer_of(24, 36, 8, 8, 3, 5), in_width=8, pool_size=2)
IN_LUTS = PlacedTile(6, 9, 0, 0, 0, weights_in_block_ram=False, buffer_in_block_ram=False)


def test_each_term_by_hand() -> None:
    terms = stage_terms(STAGE, IN_LUTS)
    assert terms[Term.MULTIPLIERS] == 6 * 9 * 24
    assert terms[Term.ADDER_TREES] == 9 * (5 * 8 + 1 + 2)
    assert terms[Term.ACCUMULATORS] == 9 * (8 + 9)
    assert terms[Term.ROUNDING] == 9 * 4
    # 17 bits, 6 of them fraction and 1 kept above: ten dropped.
    assert terms[Term.SATURATION] == 9 * 3
    # Four times four passes of 15 taps are 240 words: four LUTs a bit of 6 x 9 weights of 4.
    assert terms[Term.WEIGHTS] == 4 * (6 * 9 * 4)
    # Two rows of 8 and a window of 15, in four words of 6 x 4 bits each: 124 words.
    assert terms[Term.BUFFER] == 4 * 24
    # Comparing and selecting 9 x 4 bits, and 4 columns in four passes.
    assert terms[Term.POOLING] == 54 + 36
    arithmetic = 6 * 9 * 24 + 9 * (43 + 17 + 4 + 3)
    assert terms[Term.CONTROL] == 600 + -(-arithmetic // 10)


def test_what_a_stage_does_without_costs_nothing() -> None:
    stage = Stage(layer_of(24, 36, 8, 8, 1, 1), in_width=8, pool_size=1)
    terms = stage_terms(stage, IN_LUTS)
    assert terms[Term.POOLING] == 0
    # No window slides over single pixels, whose 24 channels still wait for their turn.
    arithmetic = sum(list(terms.values())[:5])
    assert terms[Term.CONTROL] == 300 + -(-arithmetic // 10)
    assert terms[Term.BUFFER] == 24


def test_memories_in_block_ram_cost_no_luts() -> None:
    options = stage_options(STAGE)
    same = (options.in_lanes == 6) & (options.out_lanes == 9)
    found = {}
    for index in np.flatnonzero(same).tolist():
        tile = options.tile(index)
        found[tile.weights_in_block_ram, tile.buffer_in_block_ram] = tile
        assert sum(stage_terms(STAGE, tile).values()) == tile.luts
    assert len(found) == 4
    plain = found[False, False]
    # 240 words of 216 bits are six times 36 wide, 124 words of 24 bits fit one.
    assert {key: tile.block_rams for key, tile in found.items()} == {
        (False, False): 0,
        (False, True): 1,
        (True, False): 6,
        (True, True): 7,
    }
    assert plain.luts - found[True, False].luts == 4 * 216
    assert plain.luts - found[False, True].luts == 4 * 24
    assert {tile.cycles for tile in found.values()} == {16 * STAGE.conv.cycles_per_pass}


@settings(max_examples=40, deadline=None)
@given(stages(max_channels=24), st.data())
def test_every_option_is_the_sum_of_its_terms(stage: Stage, data: st.DataObject) -> None:
    options = stage_options(stage)
    tile = options.tile(data.draw(st.integers(0, len(options.cycles) - 1)))
    terms = stage_terms(stage, tile)
    assert sum(terms.values()) == tile.luts
    assert min(terms.values()) >= 0
    arithmetic = tile.out_lanes * output_lane_luts(stage.conv, tile.in_lanes)
    assert sum(list(terms.values())[:5]) == arithmetic


@settings(max_examples=40, deadline=None)
@given(stages(max_channels=24))
def test_options_hold_the_tiles_of_bare_arithmetic_and_rise(stage: Stage) -> None:
    options = stage_options(stage)
    assert (np.diff(options.cycles) >= 0).all()
    lanes = set(zip(options.in_lanes.tolist(), options.out_lanes.tolist(), strict=True))
    front = pareto_front(stage.conv)
    assert lanes >= set(zip(front.in_lanes.tolist(), front.out_lanes.tolist(), strict=True))


HIDDEN = layer_of(100, 256, 1, 1, 1, 1, 8, 24, 6, 10, 5, 20)
LOGITS = layer_of(256, 10, 1, 1, 1, 1, 16, 24, 20, 30, 10, 20)


def test_the_classifier_by_hand() -> None:
    options = classifier_options((HIDDEN, LOGITS))
    # 24-bit weights come two a cycle.
    assert set(options.cycles.tolist()) == {100 * 256 // 2 + 256 * 10 // 2}
    in_luts = next(options.tile(i) for i in range(len(options.luts)) if options.block_rams[i] == 0)
    terms = classifier_terms((HIDDEN, LOGITS), in_luts)
    assert sum(terms.values()) == in_luts.luts
    # 16 + 24 bits of product and 9 for the sum of 256 and the bias.
    assert terms[Term.ACCUMULATORS] == 2 * 49
    assert terms[Term.ROUNDING] == 2 * 50
    # 256 sums of 49 bits, two a word.
    assert terms[Term.BUFFER] == 4 * 98
    assert (terms[Term.MULTIPLIERS], terms[Term.WEIGHTS]) == (0, 0)


@pytest.mark.parametrize("changed", [{"act_bits": 18}, {"weight_bits": 26}, {"weight_bits": 0}])
def test_a_classifier_too_wide_for_a_dsp_slice(changed: dict[str, int]) -> None:
    wide = layer_of(4, 4, 1, 1, 1, 1, **({"weight_frac_bits": 0, "in_frac_bits": 0} | changed))
    with pytest.raises(WidthError, match="no DSP slice multiplies"):
        classifier_options((wide,))
