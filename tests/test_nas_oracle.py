"""The integer oracle against hand-computed cases and exact rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.evaluation import oracle


@given(st.integers(-(1 << 40), 1 << 40), st.integers(-8, 20), st.integers(1, 16))
def test_requantise_is_the_rational_definition(value: int, shift: int, bits: int) -> None:
    exact = max(Fraction(value) / Fraction(2) ** shift, Fraction(0))
    # Python rounds a Fraction half to even.
    expected = min(round(exact), (1 << bits) - 1)
    assert oracle.requantise(np.array([value]), shift, bits).tolist() == [expected]


@pytest.mark.parametrize(("half", "even"), [(1, 0), (3, 2), (5, 2), (7, 4), (-1, 0)])
def test_halves_round_to_even(half: int, even: int) -> None:
    assert oracle.requantise(np.array([half]), 1, 8).tolist() == [even]


def test_convolution_pads_behind_when_the_padding_is_odd() -> None:
    codes = np.arange(1, 5).reshape(1, 2, 2)
    sums = oracle.convolve(codes, np.ones((1, 1, 2, 2), np.int64), (1, 1))
    assert sums.tolist() == [[[1 + 2 + 3 + 4, 2 + 4], [3 + 4, 4]]]


def test_convolution_centres_an_odd_kernel() -> None:
    kernel = np.zeros((1, 1, 3, 3), np.int64)
    kernel[0, 0, 0, 0] = 1
    sums = oracle.convolve(np.arange(1, 10).reshape(1, 3, 3), kernel, (1, 1))
    assert sums.tolist() == [[[0, 0, 0], [0, 1, 2], [0, 4, 5]]]


def test_a_stride_larger_than_the_kernel_skips() -> None:
    codes = np.arange(16).reshape(1, 4, 4)
    sums = oracle.convolve(codes, np.ones((1, 1, 1, 1), np.int64), (3, 2))
    assert sums.tolist() == [[[0, 2], [12, 14]]]


def test_pooling_an_odd_map_keeps_the_edge() -> None:
    pooled = oracle.max_pool(np.arange(9).reshape(1, 3, 3), 2)
    assert pooled.tolist() == [[[4, 5], [7, 8]]]
