"""Look-up tables (LUTs) of one engine, one function for each term.

An engine of Tn input lanes and Tm output lanes does Tn x Tm multiply-accumulates a cycle. Each
output lane has Tn multipliers, a binary adder tree over them, an accumulator, and a last stage
that rounds and saturates once, after the last partial sum:

    LUT(Tn, Tm) = Tm * (Tn * multiplier + adder_tree + accumulator + rounding + saturation)

The structure is that of the accelerator behind the paper's search (Lu et al., arXiv 1911.00105).
The multiplier table and the closed forms come from open synthesis for Xilinx 7-series (yosys 0.70,
`synth_xilinx -family xc7 -nodsp`), which `tools/synthesise_luts.py` measures again. Against whole
synthesised engines the sum errs by -4.0 to +1.3 % (six engines, five of them within 1.5 %).
"""

import json
from functools import cache
from importlib.resources import files
from typing import Final

from fpga_model.layer import ConvLayer


class WidthError(ValueError):
    """A bit width that the multiplier table does not hold."""


def _load_multiplier_table() -> tuple[tuple[int, ...], ...]:
    data = files("fpga_model").joinpath("data/multiplier_luts.json").read_text("utf-8")
    return tuple(tuple(row) for row in json.loads(data)["luts"])


_MULTIPLIER_LUTS: Final = _load_multiplier_table()
MAX_ACT_BITS: Final = len(_MULTIPLIER_LUTS)
MAX_WEIGHT_BITS: Final = len(_MULTIPLIER_LUTS[0])


def multiplier_luts(act_bits: int, weight_bits: int) -> int:
    """LUTs of one unsigned activation times one signed weight.

    The table is not symmetric, because only the weight has a sign. A signed input of a first
    layer is priced the same: the hardware takes it offset by half its range, as an unsigned
    number, and the constant that this adds to each sum is folded into the bias.

    Raises:
        WidthError: a width outside 1..9 activation bits or 1..10 weight bits.
    """
    if not (1 <= act_bits <= MAX_ACT_BITS and 1 <= weight_bits <= MAX_WEIGHT_BITS):
        raise WidthError(
            f"no multiplier of {act_bits} by {weight_bits} bits was synthesised,"
            f" only 1..{MAX_ACT_BITS} by 1..{MAX_WEIGHT_BITS}"
        )
    return _MULTIPLIER_LUTS[act_bits - 1][weight_bits - 1]


def adder_tree_luts(in_lanes: int, product_bits: int) -> int:
    """LUTs of the binary tree that sums `in_lanes` products of `product_bits` bits.

    An n-bit adder is n LUTs, and each level adds numbers one bit wider than the last.
    """
    return (in_lanes - 1) * product_bits + _tree_growth_luts(in_lanes)


@cache
def _tree_growth_luts(in_lanes: int) -> int:
    """The part of the tree due to its levels' growing width: a level's index for each adder."""
    luts = level = 0
    while in_lanes > 1:
        luts += in_lanes // 2 * level
        in_lanes = (in_lanes + 1) // 2
        level += 1
    return luts


def accumulator_luts(layer: ConvLayer) -> int:
    """LUTs of the adder that gathers partial sums; it starts from the bias, which is free."""
    return layer.accumulator_bits


def rounding_luts(layer: ConvLayer) -> int:
    """LUTs that form the rounded result, one for each output bit.

    Round half to even costs little: half a unit is added to the bias that the accumulator starts
    from, and only the lowest bit of the result looks at the dropped ones, to clear itself on a tie.
    """
    return layer.out_bits


def saturation_luts(layer: ConvLayer) -> int:
    """LUTs that notice a sum outside the unsigned output range: ceil((d + 1) / 5).

    d bits of the accumulator lie above the output's. They are gathered five to a LUT; one LUT
    remains for the sign (the rectifier) where the output is as wide as the accumulator.
    """
    product_frac_bits = layer.in_frac_bits + layer.weight_frac_bits
    dropped_bits = layer.accumulator_bits - product_frac_bits - layer.out_int_bits
    return max(dropped_bits, 0) // 5 + 1


def output_stage_luts(layer: ConvLayer) -> int:
    """LUTs of one output lane behind its adder tree, whatever the number of input lanes."""
    return accumulator_luts(layer) + rounding_luts(layer) + saturation_luts(layer)


def output_lane_luts(layer: ConvLayer, in_lanes: int) -> int:
    """LUTs of one output lane fed by `in_lanes` input lanes.

    Raises:
        WidthError: the layer's widths are outside the multiplier table.
    """
    multiplier = multiplier_luts(layer.act_bits, layer.weight_bits)
    tree = adder_tree_luts(in_lanes, layer.product_bits)
    return in_lanes * multiplier + tree + output_stage_luts(layer)
