"""When a producer commits: as late as its own slowness allows."""

from hypothesis import given
from hypothesis import strategies as st

from node.consensus.moments import (
    CONFIRM_PART,
    FLOOR_MS,
    MARGIN,
    MOST_PART,
    commit_lead_ms,
    slowest,
    train_end_lead_ms,
)

HOUR_MS = 3_600_000


def test_the_slowest_is_the_99th_percentile() -> None:
    assert slowest([]) == 0
    assert slowest([7]) == 7
    assert slowest([1] * 99 + [500]) == 1
    assert slowest([1] * 98 + [500, 500]) == 500


def test_a_quick_node_commits_at_the_floor() -> None:
    assert commit_lead_ms([1, 2, 3], HOUR_MS) == FLOOR_MS


def test_a_slow_node_commits_earlier() -> None:
    assert commit_lead_ms([2_000] * 50, HOUR_MS) == MARGIN * 2_000


def test_a_short_phase_is_not_given_to_the_floor() -> None:
    assert commit_lead_ms([], 4_000) == 200


@given(st.lists(st.integers(0, 10**7)), st.integers(100, 10**7))
def test_at_most_a_quarter_goes_to_the_lead(delays_ms: list[int], phase_ms: int) -> None:
    lead_ms = commit_lead_ms(delays_ms, phase_ms)

    assert 0 <= lead_ms <= phase_ms // MOST_PART
    assert train_end_lead_ms(delays_ms, phase_ms) == lead_ms + phase_ms // CONFIRM_PART
