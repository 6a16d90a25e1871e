"""Disjoint and adaptive partitions: nothing lost, nothing twice, and where the rewards are."""

import itertools
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.designs.genotype import ARCHITECTURE_TOKENS, HYPERPARAMETERS
from nas.designs.space import Space, preset
from pool.partition import tree
from pool.partition.adaptive import send
from pool.partition.algorithm1 import Algorithm1
from pool.partition.base import (
    LEAST_DESIGNS,
    Partition,
    PartitionError,
    PartitionKind,
    Subspace,
    with_values,
)
from pool.partition.disjoint import Disjoint
from pool.partition.registry import make_partition
from pool.partition.tree import MAX_LEAVES, MIN_LEAF_RESULTS, Leaf, Scored, grow
from tests.pool_world import SPACE

spaces = st.lists(st.integers(1, 4), min_size=20, max_size=20).map(
    lambda counts: Space(
        (
            tuple(tuple(range(1, count + 1)) for count in counts[:10]),
            tuple(tuple(range(1, count + 1)) for count in counts[10:]),
        )
    )
)
seeds = st.binary(max_size=4)


def accept_all(space: Space) -> bool:
    return True


def drawn(partition: Partition, count: int) -> list[Subspace]:
    return [partition.subspace(number) for number in range(count)]


def meet(one: Space, other: Space) -> bool:
    return all(set(a) & set(b) for a, b in zip(one.positions, other.positions, strict=True))


def assert_covers_without_overlap(space: Space, subspaces: Sequence[Subspace]) -> None:
    """Boxes inside the space that never meet and whose sizes add up are all of it."""
    boxes = [subspace.space for subspace in subspaces if subspace.repeat == 0]
    for box in boxes:
        assert all(
            set(values) <= set(full)
            for values, full in zip(box.positions, space.positions, strict=True)
        )
    assert not any(meet(*pair) for pair in itertools.combinations(boxes, 2))
    assert sum(box.size() for box in boxes) == space.size()


def uses_odd(space: Space) -> bool:
    """A stand-in for usability that some parts fail: an odd value in each of two tokens."""
    return any(value % 2 for value in space.positions[0]) and any(
        value % 2 for value in space.positions[12]
    )


@pytest.mark.parametrize("is_usable", [accept_all, uses_odd])
@given(spaces, st.integers(1, 30), seeds)
@settings(max_examples=60)
def test_disjoint_boxes_cover_the_space_without_overlap(
    is_usable: Callable[[Space], bool], space: Space, explorers: int, seed: bytes
) -> None:
    subspaces = drawn(Disjoint(space, explorers, seed, is_usable), explorers)

    assert_covers_without_overlap(space, subspaces)
    for subspace in subspaces:
        assert subspace.is_whole is (subspace.space == space)
        assert subspace.is_whole or is_usable(subspace.space)
        assert subspace.is_whole or subspace.space.size() >= LEAST_DESIGNS


@pytest.mark.parametrize("explorers", [1, 2, 3, 7, 50, 333])
def test_there_are_as_many_boxes_as_explorers_and_of_about_the_same_size(explorers: int) -> None:
    subspaces = drawn(Disjoint(SPACE, explorers, b"seed", accept_all), explorers)
    sizes = [subspace.space.size() for subspace in subspaces]

    assert len({subspace.space for subspace in subspaces}) == explorers
    assert max(sizes) <= 4 * min(sizes)


def test_bits_stay_free_while_the_architecture_can_be_split() -> None:
    for subspace in drawn(Disjoint(SPACE, 333, b"seed", accept_all), 333):
        for at, values in enumerate(subspace.space.positions):
            if at % len(HYPERPARAMETERS) >= ARCHITECTURE_TOKENS:
                assert values == SPACE.positions[at]


def test_rounds_cut_the_space_differently() -> None:
    one = Disjoint(SPACE, 9, b"a", accept_all)

    assert drawn(one, 9) == drawn(Disjoint(SPACE, 9, b"a", accept_all), 9)
    assert drawn(one, 9) != drawn(Disjoint(SPACE, 9, b"b", accept_all), 9)


def test_an_unusable_part_is_left_with_its_neighbour_and_reported() -> None:
    # Only designs with the first kernel 5 high are usable: that token can't be split.
    def is_usable(space: Space) -> bool:
        return 5 in space.positions[0]

    subspaces = drawn(Disjoint(SPACE, 333, b"seed", is_usable), 333)

    assert all(subspace.space.positions[0] == (1, 3, 5) for subspace in subspaces)
    assert max(subspace.merged for subspace in subspaces) == 2
    assert_covers_without_overlap(SPACE, subspaces)


def test_a_space_without_a_usable_part_is_shared_whole() -> None:
    subspaces = drawn(Disjoint(SPACE, 3, b"seed", lambda _: False), 3)

    assert [subspace.repeat for subspace in subspaces] == [0, 1, 2]
    assert all(subspace.is_whole and subspace.space == SPACE for subspace in subspaces)


def test_boxes_are_not_split_into_tiny_ones() -> None:
    tiny = Space.uniform(1, [(1, 2), *[(1, 2)] * 7, (1,), (1, 2, 3)])
    assert tiny.size() == 3 * LEAST_DESIGNS

    subspaces = drawn(Disjoint(tiny, 6, b"seed", accept_all), 6)

    assert all(subspace.space.size() >= LEAST_DESIGNS for subspace in subspaces)
    assert_covers_without_overlap(tiny, subspaces)


def test_who_joins_in_mid_round_repeats_a_box() -> None:
    partition = Disjoint(SPACE, 9, b"seed", accept_all)

    late = partition.subspace(9 + 4)

    assert late.space == partition.subspace(4).space
    assert (partition.subspace(4).repeat, late.repeat) == (0, 1)
    assert partition.subspace(18 + 4).repeat == 2


@pytest.mark.parametrize("kind", list(PartitionKind))
def test_explorers_are_counted_from_0(kind: PartitionKind) -> None:
    partition = make_partition(kind, SPACE, 3, b"seed", accept_all)

    with pytest.raises(PartitionError, match="counted from 0"):
        partition.subspace(-1)


@pytest.mark.parametrize("kind", [PartitionKind.DISJOINT, PartitionKind.ADAPTIVE])
def test_a_partition_is_for_at_least_one_explorer(kind: PartitionKind) -> None:
    with pytest.raises(PartitionError, match="at least one explorer"):
        make_partition(kind, SPACE, 0, b"seed", accept_all)


def test_the_registry_knows_every_kind() -> None:
    made = [make_partition(kind, SPACE, 3, b"seed", accept_all) for kind in PartitionKind]

    assert drawn(made[0], 3) == drawn(Algorithm1(SPACE, b"seed", accept_all), 3)
    assert drawn(made[1], 3) == drawn(Disjoint(SPACE, 3, b"seed", accept_all), 3)
    # Without results nothing is known better than disjoint boxes.
    assert drawn(made[2], 3) == drawn(made[1], 3)


def results(count: int, reward: Callable[[tuple[int, ...], random.Random], float]) -> list[Scored]:
    rng = random.Random(7)
    genotypes = [SPACE.sample(rng) for _ in range(count)]
    return [Scored(found.to_bytes(), reward(found.tokens, rng)) for found in genotypes]


def likes_large_kernels(tokens: tuple[int, ...], rng: random.Random) -> float:
    """Good where the first kernel is at least 3 high and the second layer has 12 filters."""
    return 0.2 + 0.4 * (tokens[0] >= 3) + 0.2 * (tokens[12] >= 12) + rng.uniform(0, 0.1)


def test_a_tree_finds_what_makes_rewards_differ() -> None:
    seen = results(600, likes_large_kernels)
    leaves = grow(SPACE, seen, accept_all)

    assert {(leaf.space.positions[0], leaf.space.positions[12]) for leaf in leaves} == {
        (kernels, filters) for kernels in [(1,), (3, 5)] for filters in [(4, 8), (12, 16, 24)]
    }
    assert_covers_without_overlap(SPACE, [Subspace(leaf.space) for leaf in leaves])
    for leaf in leaves:
        inside = [
            result.reward
            for result in seen
            if all(
                token in values
                for token, values in zip(result.genotype, leaf.space.positions, strict=True)
            )
        ]
        assert leaf.results == len(inside) >= MIN_LEAF_RESULTS
        assert leaf.mean == pytest.approx(sum(inside) / len(inside))


def best_split_slowly(seen: Sequence[Scored]) -> tuple[int, int]:
    """Position and number of values to the left with the least squared error, by trying all."""

    def error(rewards: Sequence[float]) -> float:
        mean = sum(rewards) / len(rewards)
        return sum((reward - mean) ** 2 for reward in rewards)

    tried = []
    for position, values in enumerate(SPACE.positions):
        for left in range(1, len(values)):
            sides: tuple[list[float], list[float]] = ([], [])
            for result in seen:
                sides[result.genotype[position] not in values[:left]].append(result.reward)
            if min(map(len, sides)) >= MIN_LEAF_RESULTS:
                tried.append((error(sides[0]) + error(sides[1]), position, left))
    _, position, left = min(tried)
    return position, left


@pytest.mark.parametrize("token", [0, 2, 7, 12, 19, 29])
def test_the_first_split_is_the_one_with_the_least_squared_error(
    token: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    least = SPACE.positions[token][-1]
    rng = random.Random(token)
    seen = results(120, lambda tokens, _: 0.4 * (tokens[token] >= least) + rng.uniform(0, 0.5))
    monkeypatch.setattr(tree, "MAX_LEAVES", 2)

    leaves = grow(SPACE, seen, accept_all)

    position, left = best_split_slowly(seen)
    values = SPACE.positions[position]
    assert [leaf.space.positions[position] for leaf in leaves] == [values[:left], values[left:]]


@pytest.mark.parametrize("salt", range(5))
def test_noise_is_not_split(salt: int) -> None:
    rng = random.Random(salt)

    assert len(grow(SPACE, results(500, lambda *_: rng.random()), accept_all)) == 1


def test_too_few_results_are_not_split() -> None:
    few = results(2 * MIN_LEAF_RESULTS - 1, likes_large_kernels)

    assert grow(SPACE, few, accept_all)[0].space == SPACE
    assert len(grow(SPACE, few, accept_all)) == 1


def test_a_split_with_an_unusable_side_is_not_made() -> None:
    seen = results(600, likes_large_kernels)

    leaves = grow(SPACE, seen, lambda space: space.positions[0] != (1,))

    assert {leaf.space.positions[0] for leaf in leaves} == {(1, 3, 5)}
    assert {leaf.space.positions[12] for leaf in leaves} == {(4, 8), (12, 16, 24)}


def test_a_tree_has_a_bounded_number_of_leaves() -> None:
    wide = Space.uniform(2, [tuple(range(1, 13))] * 10)
    rng = random.Random(3)
    genotypes = [wide.sample(rng) for _ in range(4_000)]
    seen = [Scored(found.to_bytes(), sum(found.tokens) / 240) for found in genotypes]

    assert len(grow(wide, seen, accept_all)) == MAX_LEAVES


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (Scored(b"\x01", 0.5), "has 30 bytes"),
        (Scored(bytes(30), 0.5), "outside the space in token 0"),
        (Scored(bytes(values[0] for values in SPACE.positions), float("nan")), "lies in 0 to 1"),
        (Scored(bytes(values[0] for values in SPACE.positions), 1.5), "lies in 0 to 1"),
    ],
)
def test_results_that_are_none(result: Scored, reason: str) -> None:
    with pytest.raises(PartitionError, match=reason):
        make_partition(PartitionKind.ADAPTIVE, SPACE, 3, b"seed", accept_all, [result])


def test_explorers_go_where_the_rewards_are_and_share_without_overlap() -> None:
    seen = results(600, likes_large_kernels)
    adaptive = make_partition(PartitionKind.ADAPTIVE, SPACE, 4, b"seed", accept_all, seen)

    subspaces = drawn(adaptive, 4)

    for subspace in subspaces:
        assert set(subspace.space.positions[0]) <= {3, 5}
        assert set(subspace.space.positions[12]) <= {12, 16, 24}
    assert not any(
        meet(one.space, other.space) for one, other in itertools.combinations(subspaces, 2)
    )
    late = [adaptive.subspace(4 + number) for number in range(4)]
    assert [one.space for one in late] == [one.space for one in subspaces]
    assert all(one.repeat == 1 and not one.is_whole for one in late)


@given(
    st.lists(st.tuples(st.integers(0, 500), st.floats(0, 1)), min_size=1, max_size=8),
    st.integers(1, 40),
    st.floats(0, 0.5),
)
def test_everybody_is_sent_somewhere(
    boxes: list[tuple[int, float]], explorers: int, spread: float
) -> None:
    leaves = [Leaf(SPACE, count, mean) for count, mean in boxes]

    sent = send(leaves, explorers, spread)

    assert len(sent) == explorers
    assert sent == send(leaves, explorers, spread)
    assert set(sent) <= set(range(len(leaves)))


def test_an_equal_leaf_with_fewer_results_is_searched_first() -> None:
    much, little = Leaf(SPACE, 200, 0.5), Leaf(SPACE, 20, 0.5)

    assert send([much, little], 1, 0.2) == (1,)
    # A rich one is left for it only as long as chance may explain the difference.
    assert send([much, Leaf(SPACE, 200, 0.1)], 3, 0.2) == (0, 0, 0)


def test_a_small_spread_makes_the_means_decide() -> None:
    leaves = [Leaf(SPACE, 200, 0.5), Leaf(SPACE, 20, 0.45)]

    assert send(leaves, 1, 0.001) == (0,)
    assert send(leaves, 1, 0.5) == (1,)


def test_with_values_changes_one_position() -> None:
    space = preset("devnet")

    changed = with_values(space, 12, (4,))

    assert changed.positions[12] == (4,)
    assert changed.positions[:12] + changed.positions[13:] == (
        space.positions[:12] + space.positions[13:]
    )
