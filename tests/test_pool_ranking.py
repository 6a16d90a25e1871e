"""The ranking of free searches: as a sorted list would have it, whatever came before."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.records.ranking import Ranking

numbers = st.integers(0, 20) | st.integers(0, 100_000)
changes = st.lists(st.tuples(numbers, st.none() | st.sampled_from([0.0, 0.25, 0.5, 1.0])))


@given(changes)
def test_the_best_is_that_of_a_sorted_list(changes: list[tuple[int, float | None]]) -> None:
    ranking, expected = Ranking(), dict[int, float]()
    for number, score in changes:
        if score is None:
            ranking = ranking.without(number)
            expected.pop(number, None)
        else:
            ranking = ranking.ranked(number, score)
            expected[number] = score
        ordered = sorted(expected, key=lambda number: (-expected[number], number))
        assert [ranking.best] == ordered[:1] if ordered else not ranking
    assert {number: ranking.score(number) for number in ranking} == expected
    assert (len(ranking), 20 in ranking) == (len(expected), 20 in expected)


@given(st.permutations([(3, 0.5), (4, 0.5), (70_000, 0.75)]))
def test_rankings_of_the_same_numbers_are_equal(entries: list[tuple[int, float]]) -> None:
    ranking = Ranking()
    for number, score in entries:
        ranking = ranking.ranked(number, score)
    other = Ranking().ranked(5, 1.0).ranked(70_000, 0.75).ranked(4, 0.5).ranked(3, 0.5).without(5)

    assert ranking == other


def test_an_empty_ranking_has_no_best() -> None:
    with pytest.raises(ValueError, match="empty"):
        _ = Ranking().best
    assert Ranking().ranked(1, 0.5).without(1) == Ranking()


def test_a_change_leaves_the_old_ranking_as_it_was() -> None:
    before = Ranking().ranked(1, 0.5)

    assert before.ranked(2, 0.75).best == 2
    assert before.best == 1
    assert msgspec.structs.astuple(before) == msgspec.structs.astuple(Ranking().ranked(1, 0.5))
