"""How far a clock is off, told from round trips."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.net.drift import Sample, best_of, judge_clock, take_sample

ROUND_MS = 40_000
"""Allows 200 ms."""


@given(st.integers(-10_000, 10_000), st.integers(0, 2_000), st.integers(0, 2_000))
def test_what_is_certain_never_exceeds_the_true_offset(
    offset_ms: int, there_ms: int, back_ms: int
) -> None:
    asked_ms = 1_000_000
    theirs_ms = asked_ms + there_ms + offset_ms
    sample = take_sample(asked_ms, asked_ms + there_ms + back_ms, theirs_ms)
    certain_ms = sample.certain_offset_ms
    assert abs(certain_ms) <= abs(offset_ms)
    assert certain_ms * offset_ms >= 0
    assert abs(offset_ms) - abs(certain_ms) <= there_ms + back_ms + 1


def test_best_sample_is_the_fastest_and_of_equals_the_newest() -> None:
    slow, old, new = Sample(900, 500), Sample(1, 20), Sample(2, 20)
    assert best_of([slow, old, new]) is new
    assert best_of([old, slow]) is old


@pytest.mark.parametrize("offsets", [[], [5_000] * 3])
def test_few_peers_are_not_believed(offsets: list[int]) -> None:
    verdict = judge_clock(offsets, ROUND_MS)
    assert verdict.offset_ms is None
    assert verdict.reason == ""


@pytest.mark.parametrize(
    ("offsets", "offset_ms"),
    [
        ([200] * 4, 200),
        ([-200] * 4, -200),
        # Less than half may lie as they like.
        ([0, 0, 0, 9_999, 9_999], 0),
        ([-9_999, 10, 20, 9_999], 15),
    ],
)
def test_clock_within_the_tolerance_signs(offsets: list[int], offset_ms: int) -> None:
    verdict = judge_clock(offsets, ROUND_MS)
    assert verdict.offset_ms == offset_ms
    assert verdict.reason == ""


@pytest.mark.parametrize(("offset_ms", "side"), [(201, "behind"), (-201, "ahead of")])
def test_clock_beyond_the_tolerance_says_why_it_must_not_sign(offset_ms: int, side: str) -> None:
    verdict = judge_clock([offset_ms] * 4, ROUND_MS)
    assert verdict.offset_ms == offset_ms
    assert f"clock is 201 ms {side} those of 4 peers, and 200 ms are allowed" in verdict.reason
