"""Draws from a hash: uniform, repeatable, bounded."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.rules.draws import Draws
from tests.pool_world import SPACE


def test_draws_follow_from_the_seed_on_every_platform() -> None:
    draws = Draws(b"golden")

    assert [draws.below(1_000) for _ in range(5)] == [105, 714, 608, 789, 164]


@given(st.binary(max_size=8), st.integers(1, 1 << 64))
def test_draws_stay_below_their_bound(seed: bytes, bound: int) -> None:
    assert 0 <= Draws(seed).below(bound) < bound


def test_every_value_is_drawn_about_equally_often() -> None:
    draws = Draws(b"fair")

    counts = Counter(draws.below(3) for _ in range(3_000))

    assert all(900 < counts[value] < 1_100 for value in range(3))


def test_genotypes_come_from_the_space() -> None:
    assert SPACE.contains(Draws(b"genotype").genotype(SPACE))


@pytest.mark.parametrize("bound", [0, -1, (1 << 64) + 1])
def test_bounds_without_draws_are_refused(bound: int) -> None:
    with pytest.raises(ValueError, match="bounds are 1 to"):
        Draws(b"").below(bound)
