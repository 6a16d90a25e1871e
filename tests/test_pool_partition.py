"""Algorithm 1: subspaces of the space, one set of ranges, never without a design."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.designs.space import Space
from pool.partition.algorithm1 import (
    DRAWS_PER_SUBSPACE,
    PartitionError,
    algorithm1,
    draw_subspace,
    holds_usable_design,
    round_space,
)
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


@given(spaces, st.integers(1, 4), st.binary(max_size=4))
def test_every_subspace_is_a_box_of_the_space_with_room(
    space: Space, miners: int, seed: bytes
) -> None:
    partition = algorithm1(space, miners, seed, accept_all)

    assert len(partition.subspaces) == miners
    for subspace in partition.subspaces:
        drawn = subspace.space
        assert len(set(drawn.ranges)) == 1
        assert all(
            values and set(values) <= set(full)
            for values, full in zip(drawn.positions, space.positions, strict=True)
        )
        assert drawn.size() >= math.isqrt(space.size())


def test_a_subspace_follows_from_seed_and_number_alone() -> None:
    partition = algorithm1(SPACE, 4, b"seed", accept_all)

    assert partition == algorithm1(SPACE, 4, b"seed", accept_all)
    assert partition.subspaces[2] == draw_subspace(SPACE, 2, b"seed", accept_all)
    assert len({subspace.space for subspace in partition.subspaces}) == 4


def test_another_seed_gives_another_subspace() -> None:
    assert round_space(SPACE, b"a", accept_all) != round_space(SPACE, b"b", accept_all)


def test_the_space_of_a_round_is_the_first_subspace() -> None:
    first = algorithm1(SPACE, 1, b"ancestor", accept_all).subspaces[0].space

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
    partition = algorithm1(SPACE, 1, b"seed", lambda _: False)

    assert partition.subspaces[0].space == SPACE
    assert partition.subspaces[0].is_whole
    assert partition.redraws == DRAWS_PER_SUBSPACE


def test_a_partition_is_for_at_least_one_miner() -> None:
    with pytest.raises(PartitionError, match="at least one miner"):
        algorithm1(SPACE, 0, b"", accept_all)


def test_layers_must_have_the_same_ranges() -> None:
    other = Space((SPACE.ranges[0], DEAD_SPACE.ranges[0]))

    with pytest.raises(PartitionError, match="same ten ranges"):
        algorithm1(other, 1, b"", accept_all)


def test_the_space_of_the_network_holds_usable_designs() -> None:
    assert holds_usable_design(SPACE, TASK)


def test_a_space_of_dead_designs_is_not_usable() -> None:
    assert not holds_usable_design(DEAD_SPACE, TASK)
