"""Memories cost what their words and bits need."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpga_model.memory import block_rams, rom_luts, shift_register_luts


@pytest.mark.parametrize(
    ("words", "bits", "rom", "shift"),
    [(1, 1, 1, 1), (64, 9, 9, 18), (65, 9, 18, 18), (38, 4, 4, 4), (39, 4, 4, 8)],
)
def test_luts_as_memory(words: int, bits: int, rom: int, shift: int) -> None:
    assert (rom_luts(words, bits), shift_register_luts(words, bits)) == (rom, shift)


@pytest.mark.parametrize(
    ("words", "bits", "blocks"),
    [
        (1, 1, 1),
        (512, 36, 1),
        (513, 36, 2),
        (1024, 18, 1),
        (2048, 9, 1),
        (4096, 4, 1),
        (8192, 2, 1),
        (16384, 1, 1),
        (16385, 1, 2),
        (600, 40, 3),
        (2048, 10, 2),
    ],
)
def test_block_rams_at_the_best_shape(words: int, bits: int, blocks: int) -> None:
    assert block_rams(np.array([words]), np.array([bits])).tolist() == [blocks]


@given(st.integers(1, 100_000), st.integers(1, 500))
def test_block_rams_hold_every_bit(words: int, bits: int) -> None:
    (blocks,) = block_rams(np.array([words]), np.array([bits])).tolist()
    assert blocks * 18 * 1024 >= words * bits
