"""What a memory of so many words costs, in look-up tables (LUTs) or in block RAMs.

Sizes are integers or arrays of them. Facts of Xilinx 7-series: UG474 (LUTs as memory) and UG473
(block RAM); the shift-register fit is that of FINN (Blott et al., arXiv 1809.04570), whose sources
give it in `lut_estimation` of the convolution input generator.
"""

from functools import reduce
from typing import Final, TypeVar

import numpy as np

from fpga_model.tiles import Ints

Size = TypeVar("Size", int, Ints)

# Words and bits of the shapes that one block RAM of 18 Kbit takes (UG473, simple dual port).
_BLOCK_SHAPES: Final = ((16384, 1), (8192, 2), (4096, 4), (2048, 9), (1024, 18), (512, 36))
# A LUT holds 64 bits of constants (UG474).
_ROM_WORDS: Final = 64
# Bits of a shift register per LUT, control included: FINN's fit, between 32 and 64 of UG474.
_SHIFT_WORDS: Final = 38


def rom_luts(words: Size, bits: Size) -> Size:
    """LUTs that hold constants; the selection among them uses the slices' own multiplexers."""
    return -(-words // _ROM_WORDS) * bits


def shift_register_luts(words: Size, bits: Size) -> Size:
    """LUTs of a circular buffer, written and read once a cycle."""
    return -(-words // _SHIFT_WORDS) * bits


def block_rams(words: Ints, bits: Ints) -> Ints:
    """Block RAMs of 18 Kbit for each of n memories, both arguments `[n]`, at the shape that needs
    fewest."""
    counts = (-(-words // depth) * -(-bits // width) for depth, width in _BLOCK_SHAPES)
    return reduce(np.minimum, counts)
