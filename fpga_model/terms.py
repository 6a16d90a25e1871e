"""The parts of an engine that take look-up tables (LUTs), each with its price."""

from enum import StrEnum
from typing import Final

import numpy as np

from fpga_model.layer import ConvLayer
from fpga_model.luts import (
    accumulator_luts,
    adder_tree_luts,
    multiplier_luts,
    rounding_luts,
    saturation_luts,
)
from fpga_model.tiles import Ints


class Term(StrEnum):
    """A part of an engine; without a device only the first five are priced."""

    MULTIPLIERS = "multipliers"
    ADDER_TREES = "adder_trees"
    ACCUMULATORS = "accumulators"
    ROUNDING = "rounding"
    SATURATION = "saturation"
    WEIGHTS = "weights"
    BUFFER = "buffer"
    POOLING = "pooling"
    CONTROL = "control"


ARITHMETIC: Final = tuple(Term)[:5]


def arithmetic_terms(layer: ConvLayer, in_lanes: Ints, out_lanes: Ints) -> dict[Term, Ints]:
    """LUTs of the arithmetic of n engines, whose lanes are `[n]` each, as is every term.

    The sources are those of `luts`.

    Raises:
        WidthError: the layer's widths are outside the multiplier table.
    """
    multiplier = multiplier_luts(layer.act_bits, layer.weight_bits)
    trees = [adder_tree_luts(lanes, layer.product_bits) for lanes in in_lanes.tolist()]
    return {
        Term.MULTIPLIERS: in_lanes * out_lanes * multiplier,
        Term.ADDER_TREES: out_lanes * np.array(trees, dtype=np.int64),
        Term.ACCUMULATORS: out_lanes * accumulator_luts(layer),
        Term.ROUNDING: out_lanes * rounding_luts(layer),
        Term.SATURATION: out_lanes * saturation_luts(layer),
    }
