"""Algorithm 1: subspaces of the space, one set of ranges, never without a design."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.designs.space import Space
from pool.partition.algorithm1 import (
    DRAWS_PER_SUBSPACE,
    Algorithm1,
    draw_subspace,
    holds_usable_design,
    round_space,
)
from pool.partition.base import PartitionError
from tests.pool_world import SPACE, TASK

# Weights of one bit after the first layer: whatever is drawn is dead.
DEAD_SPACE = Space.uniform(3, [(3,), (3,), (4, 8), (1,), (1,), (1,), (1, 2), (2,), (1,), (0,)])

value_ranges = st.lists(st.integers(1, 9), min_size=1, max_size=4, unique=True).map(
    lambda values: tuple(sorted(values))
)
spaces = st.lists(value_ranges, min_size=10, max_size=10).map(
    lambda ranges: Space.uniform(2, ranges)
)


def accept_all(space: Space) -> bool:
    return True


@given(spaces, st.integers(0, 4), st.binary(max_size=4))
def test_every_subspace_is_a_box_of_the_space_with_room(
    space: Space, number: int, seed: bytes
) -> None:
    drawn = Algorithm1(space, seed, accept_all).subspace(number).space

    assert len(set(drawn.ranges)) == 1
    assert all(
        values and set(values) <= set(full)
        for values, full in zip(drawn.positions, space.positions, strict=True)
    )
    assert drawn.size() >= math.isqrt(space.size())


def test_a_subspace_follows_from_seed_and_number_alone() -> None:
    partition = Algorithm1(SPACE, b"seed", accept_all)
    subspaces = [partition.subspace(number) for number in range(4)]

    assert partition.subspace(2) == draw_subspace(SPACE, 2, b"seed", accept_all)
    assert len({subspace.space for subspace in subspaces}) == 4


def test_another_seed_gives_another_subspace() -> None:
    assert round_space(SPACE, b"a", accept_all) != round_space(SPACE, b"b", accept_all)


def test_the_space_of_a_round_is_the_first_subspace() -> None:
    first = draw_subspace(SPACE, 0, b"ancestor", accept_all).space

    assert round_space(SPACE, b"ancestor", accept_all) == first
    # Golden: every node of the network must draw the same.
    assert first.ranges[0] == (
        (1,),
        (1,),
        (4, 8, 16, 24),
        (1, 2),
        (1, 2),
        (2,),
        (1, 2),
        (1, 3, 4),
        (1, 2),
        (2,),
    )


def test_unusable_subspaces_are_drawn_again_and_reported() -> None:
    asked: list[Space] = []

    def accept_third(space: Space) -> bool:
        asked.append(space)
        return len(asked) == 3

    first = draw_subspace(SPACE, 0, b"seed", accept_all)
    drawn = draw_subspace(SPACE, 0, b"seed", accept_third)

    assert drawn.space == asked[2] != first.space
    assert drawn.redraws >= first.redraws + 2
    assert not drawn.is_whole


def test_without_any_usable_draw_the_whole_space_is_handed_out() -> None:
    drawn = Algorithm1(SPACE, b"seed", lambda _: False).subspace(0)

    assert drawn.space == SPACE
    assert drawn.is_whole
    assert drawn.redraws == DRAWS_PER_SUBSPACE


def test_layers_must_have_the_same_ranges() -> None:
    other = Space((SPACE.ranges[0], DEAD_SPACE.ranges[0]))

    with pytest.raises(PartitionError, match="same ten ranges"):
        Algorithm1(other, b"", accept_all).subspace(0)


def test_the_space_of_the_network_holds_usable_designs() -> None:
    assert holds_usable_design(SPACE, TASK)


def test_a_space_of_dead_designs_is_not_usable() -> None:
    assert not holds_usable_design(DEAD_SPACE, TASK)
