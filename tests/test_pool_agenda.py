"""What happens in virtual time happens in order."""

from hypothesis import given
from hypothesis import strategies as st

from pool.simulation.agenda import Agenda

times = st.lists(st.integers(0, 2_000), max_size=40)


def taken(agenda: Agenda, end_ms: int) -> list[tuple[int, int]]:
    """Time and place of all entries before an end."""
    found = []
    while (entry := agenda.take(end_ms)) is not None:
        at_ms, _, _, (place,) = entry
        found.append((at_ms, place))
    return found


@given(times, st.integers(0, 2_000), times)
def test_entries_come_by_time_and_equal_ones_as_they_were_added(
    first: list[int], end_ms: int, later: list[int]
) -> None:
    agenda, places = Agenda(), list(enumerate(first + [end_ms + wait for wait in later]))
    for place, at_ms in places[: len(first)]:
        agenda.add(at_ms, lambda _: None, (place,))
    before = taken(agenda, end_ms)
    for place, at_ms in places[len(first) :]:
        agenda.add(at_ms, lambda _: None, (place,))
    after = taken(agenda, 10_000)

    assert before == sorted((at_ms, place) for place, at_ms in places if at_ms < end_ms)
    assert after == sorted((at_ms, place) for place, at_ms in places if at_ms >= end_ms)
