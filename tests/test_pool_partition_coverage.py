"""Coverage and overlap: exact ones against counting every design, estimates against exact ones."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.designs.space import Space, preset
from pool.partition import coverage as module
from pool.partition.base import PartitionError
from pool.partition.coverage import Coverage, coverage
from pool.partition.disjoint import Disjoint

# Twelve designs times nine; the other tokens have one value each.
SMALL = Space(
    (
        ((1, 2, 3, 4), (1,), (4, 8, 12), *[(1,)] * 7),
        ((5,), (1, 3, 5), (4,), (1, 2, 3), *[(1,)] * 6),
    )
)
boxes = st.tuples(
    *(
        st.lists(st.sampled_from(values), min_size=1, unique=True).map(
            lambda values: tuple(sorted(values))
        )
        for values in SMALL.positions
    )
).map(lambda positions: Space((positions[:10], positions[10:])))


def counted(subspaces: list[Space]) -> tuple[float, float]:
    """Covered and overlap by looking at every design."""
    holders = [
        sum(
            all(token in values for token, values in zip(design, subspace.positions, strict=True))
            for subspace in subspaces
        )
        for design in itertools.product(*SMALL.positions)
    ]
    covered = sum(number > 0 for number in holders)
    return covered / len(holders), sum(number > 1 for number in holders) / covered


@given(st.lists(boxes, min_size=1, max_size=7))
def test_exact_coverage_is_that_of_counting(subspaces: list[Space]) -> None:
    found = coverage(SMALL, subspaces, seed=1)

    covered, overlap = counted(subspaces)
    assert found.is_exact
    assert found.standard_error == 0
    assert found.covered == pytest.approx(covered)
    assert found.overlap == pytest.approx(overlap)


def test_an_estimate_is_close_to_the_exact_value(monkeypatch: pytest.MonkeyPatch) -> None:
    space = preset("devnet")
    subspaces = [
        Disjoint(space, explorers, b"%d" % explorers, lambda _: True).subspace(number).space
        for explorers in (3, 5, 8)
        for number in range(2)
    ]
    exact = coverage(space, subspaces, seed=1)

    monkeypatch.setattr(module, "MAX_TESTS", 0)
    estimate = coverage(space, subspaces, seed=1)

    assert exact.is_exact
    assert not estimate.is_exact
    assert 0 < estimate.standard_error < 0.02
    assert abs(estimate.covered - exact.covered) < 4 * estimate.standard_error
    assert estimate.overlap == pytest.approx(exact.overlap, abs=0.06)
    assert estimate == coverage(space, subspaces, seed=1) != coverage(space, subspaces, seed=2)


def test_an_estimate_finds_subspaces_however_small(monkeypatch: pytest.MonkeyPatch) -> None:
    space = preset("full")
    corner = Space(tuple(tuple(values[:1] for values in layer) for layer in space.ranges))
    monkeypatch.setattr(module, "MAX_TESTS", 0)

    found = coverage(space, [corner, corner], seed=1)

    assert found == Coverage(1 / space.size(), 1.0, is_exact=False, standard_error=0.0)


def test_a_disjoint_partition_covers_all_exactly() -> None:
    space = preset("full")
    partition = Disjoint(space, 100, b"seed", lambda _: True)
    subspaces = [partition.subspace(number).space for number in range(100)]

    assert coverage(space, subspaces, seed=1) == Coverage(1.0, 0.0, True, 0.0)


def test_without_subspaces_there_is_no_coverage() -> None:
    with pytest.raises(PartitionError, match="nothing is covered"):
        coverage(SMALL, [], seed=1)


def test_subspaces_lie_in_the_space() -> None:
    outside = replace(SMALL, ranges=(SMALL.ranges[0], preset("devnet").ranges[0]))

    with pytest.raises(PartitionError, match="subspace 1 does not lie"):
        coverage(SMALL, [SMALL, outside], seed=1)
    with pytest.raises(PartitionError, match="subspace 0 does not lie"):
        coverage(SMALL, [Space(SMALL.ranges[:1])], seed=1)
