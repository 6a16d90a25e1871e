"""Verdicts: each refusal has its own reason, and limits are inclusive to the last LUT and hertz."""

from dataclasses import replace

import pytest

from fpga_model.estimate import RefusalReason, judge
from fpga_model.luts import output_lane_luts
from fpga_model.profile import PAPER
from fpga_model.tiles import Tile
from tests.fpga_oracles import layer_of


def test_one_engine_by_hand() -> None:
    # One lane each way: 24 for the multiplier, no tree, 8 + 4 bits of accumulator, 4 of output,
    # and ceil((12 - 6 - 1 + 1) / 5) for saturation.
    layer = layer_of(in_channels=1, out_channels=1)
    verdict = judge([layer], PAPER)
    assert (verdict.feasible, verdict.reason) == (True, None)
    assert verdict.estimate is not None
    assert verdict.estimate.luts == 24 + 0 + 12 + 4 + 2
    assert verdict.estimate.cycles == 8 * 8 * 3 * 3
    assert verdict.estimate.images_per_s == 100_000_000 // 576
    assert verdict.estimate.groups[0].tiles == (Tile(1, 1, 42, 576),)
    assert verdict.detail == "42 LUTs, 173611 images/s"


def test_a_network_of_the_full_space() -> None:
    network = [
        layer_of(3, 64, 32, 32, 5, 5, 8, 8, 2, 5, 5, 6),
        layer_of(64, 128, 16, 16, 3, 3, 7, 6, 1, 4, 5, 5),
        layer_of(128, 128, 16, 16, 3, 3, 5, 9, 3, 6, 4, 6),
        layer_of(128, 36, 8, 8, 7, 7, 9, 4, 2, 2, 6, 3),
    ]
    verdict = judge(network, PAPER)
    assert verdict.feasible
    assert verdict.estimate is not None
    assert (verdict.estimate.luts, verdict.estimate.cycles) == (98_484, 72_640)
    assert [group.tiles for group in verdict.estimate.groups] == [
        (Tile(3, 64, 25_536, 25_600), Tile(64, 12, 70_020, 25_344)),
        (Tile(64, 13, 76_752, 46_080), Tile(26, 12, 21_732, 47_040)),
    ]


@pytest.mark.parametrize(
    ("zeros", "what"),
    [
        ({"act_bits": 0, "in_frac_bits": 0}, "input activations"),
        ({"weight_bits": 0, "weight_frac_bits": 0}, "weights"),
        ({"out_int_bits": 0, "out_frac_bits": 0}, "output activations"),
    ],
)
def test_zero_bits_are_refused(zeros: dict[str, int], what: str) -> None:
    verdict = judge([layer_of(), replace(layer_of(), **zeros)], PAPER)
    assert (verdict.feasible, verdict.reason) == (False, RefusalReason.ZERO_BITS)
    assert verdict.detail == f"layer 2: {what} have zero bits"
    assert verdict.estimate is None


@pytest.mark.parametrize("wide", [{"act_bits": 10}, {"weight_bits": 11}])
def test_widths_beyond_the_table_are_refused(wide: dict[str, int]) -> None:
    verdict = judge([replace(layer_of(), **wide)], PAPER)
    assert (verdict.feasible, verdict.reason) == (False, RefusalReason.WIDTH)
    assert verdict.detail.startswith("layer 1: no multiplier of")


def test_luts_are_refused_one_below_the_smallest_engine() -> None:
    network = [layer_of(act_bits=3), layer_of(act_bits=9)]
    luts = output_lane_luts(network[1], 1)
    assert judge(network, replace(PAPER, max_luts=luts)).feasible
    verdict = judge(network, replace(PAPER, max_luts=luts - 1))
    assert (verdict.feasible, verdict.reason) == (False, RefusalReason.LUTS)
    assert verdict.detail == f"layer 2 needs at least {luts} LUTs, 1 above {luts - 1}"
    assert verdict.estimate is None


def test_throughput_is_refused_one_hertz_below() -> None:
    network = [layer_of(), layer_of()]
    estimate = judge(network, PAPER).estimate
    assert estimate is not None
    clock_hz = 1000 * estimate.cycles
    exact = replace(PAPER, min_images_per_s=1000, clock_hz=clock_hz)
    assert judge(network, exact).feasible
    verdict = judge(network, replace(exact, clock_hz=clock_hz - 1))
    assert (verdict.feasible, verdict.reason) == (False, RefusalReason.THROUGHPUT)
    assert f"1000 images/s would take 1 Hz above the clock of {clock_hz - 1} Hz" in verdict.detail
    assert verdict.estimate is not None
    assert verdict.estimate.images_per_s == 999


def test_the_largest_network_of_the_paper_is_too_slow() -> None:
    first = layer_of(3, 128, 32, 32, 9, 9, 8, 10, 3, 6, 5, 6)
    other = layer_of(128, 128, 32, 32, 9, 9, 9, 10, 3, 6, 6, 6)
    verdict = judge([first, *[other] * 5], PAPER)
    assert verdict.reason is RefusalReason.THROUGHPUT
    assert verdict.estimate is not None
    assert verdict.estimate.images_per_s == 7


def test_no_layers_are_a_callers_error() -> None:
    with pytest.raises(ValueError, match="without convolutions"):
        judge([], PAPER)
