"""The two kinds of tables: what was before is still there, or is used up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.records.tables import Owned, Table, persistent, refilled

changes = st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 3)), max_size=30)


def changed(table: Table[int, int], course: list[tuple[int, int | None]]) -> Table[int, int]:
    """After entries were set, or deleted where there is no value."""
    for key, value in course:
        if value is not None:
            table = table.set(key, value)
        elif key in table:
            table = table.delete(key)
    return table


@given(changes)
def test_both_kinds_end_up_with_the_same_entries(course: list[tuple[int, int | None]]) -> None:
    assert dict(changed(Owned(), course)) == dict(changed(persistent(), course))


def test_a_persistent_table_stays_and_an_owned_one_is_used_up() -> None:
    kept, owned = persistent({1: 2}), Owned({1: 2})
    assert (dict(kept.set(1, 3)), dict(owned.set(1, 3))) == ({1: 3}, {1: 3})
    assert (dict(kept), dict(owned)) == ({1: 2}, {1: 3})


@pytest.mark.parametrize("table", [persistent({1: 2}), Owned({1: 2})])
def test_a_table_is_refilled_with_one_of_its_kind(table: Table[int, int]) -> None:
    again = refilled(table, {3: 4})
    assert type(again) is type(table)
    assert (dict(again), dict(table)) == ({3: 4}, {1: 2})


@pytest.mark.parametrize("table", [persistent({1: 2}), Owned({1: 2})])
def test_what_is_not_there_can_not_be_deleted(table: Table[int, int]) -> None:
    with pytest.raises(KeyError):
        table.delete(7)
