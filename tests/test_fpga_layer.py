"""A layer checks its numbers and derives the sizes the formulas need."""

import pytest

from fpga_model.layer import MAX_MACS, LayerError
from tests.fpga_oracles import layer_of


@pytest.mark.parametrize(
    "size",
    ["in_channels", "out_channels", "out_height", "out_width", "kernel_height", "kernel_width"],
)
def test_a_size_of_zero_is_refused(size: str) -> None:
    with pytest.raises(LayerError, match=f"{size} is 0, below 1"):
        layer_of(**{size: 0})


@pytest.mark.parametrize(
    "bits",
    ["act_bits", "weight_bits", "out_int_bits", "out_frac_bits", "in_frac_bits"],
)
def test_negative_bits_are_refused(bits: str) -> None:
    with pytest.raises(LayerError, match=f"{bits} is -1, below 0"):
        layer_of(**{bits: -1})


@pytest.mark.parametrize("changed", [{"in_frac_bits": 5}, {"weight_frac_bits": 5}])
def test_more_fraction_bits_than_bits_are_refused(changed: dict[str, int]) -> None:
    with pytest.raises(LayerError, match="more fraction bits than bits"):
        layer_of(**changed)


def test_a_layer_beyond_64_bit_counting_is_refused() -> None:
    most = layer_of(1, 1, MAX_MACS, 1, 1, 1)
    assert most.macs == MAX_MACS
    with pytest.raises(LayerError, match="above"):
        layer_of(1, 1, MAX_MACS + 1, 1, 1, 1)


def test_derived_sizes() -> None:
    layer = layer_of(in_channels=3, out_channels=8, out_height=5, out_width=7, kernel_width=2)
    assert layer.fan_in == 3 * 3 * 2
    assert layer.cycles_per_pass == 5 * 7 * 3 * 2
    assert layer.macs == 3 * 8 * 5 * 7 * 3 * 2
    assert layer.out_bits == 4


@pytest.mark.parametrize(("in_channels", "extra_bits"), [(1, 1), (3, 2), (4, 3), (7, 3), (8, 4)])
def test_accumulator_has_room_for_all_products_and_the_bias(
    in_channels: int, extra_bits: int
) -> None:
    layer = layer_of(in_channels=in_channels, kernel_height=1, kernel_width=1)
    assert layer.accumulator_bits == layer.product_bits + extra_bits
