"""Pace: nobody is paid for far more than it has ever done in the time."""

from hypothesis import given
from hypothesis import strategies as st

from pool.rules.pace import PACE_ROUNDS, Pace, credited, next_round, payable

STEADY = Pace(past=((1_000, 1_000),))


def test_a_miner_without_a_past_has_no_bound() -> None:
    assert payable(Pace(), 10**15, 1) == 10**15


def test_a_quarter_more_than_its_speed_is_paid() -> None:
    # Two seconds at a unit a millisecond, times 1.25, less the round before.
    assert payable(STEADY, 1_400, 1_000) == 1_400
    assert payable(STEADY, 1_600, 1_000) == 1_500
    assert payable(credited(STEADY, 1_400), 200, 1_000) == 100
    assert payable(credited(STEADY, 1_500), 200, 1_000) == 0


def test_a_busy_round_makes_no_slower_miner() -> None:
    slowed = next_round(credited(STEADY, 10), 1_000)

    assert payable(slowed, 2_000, 1_000) == 1_500


def test_a_clock_that_steps_back_counts_as_standing_still() -> None:
    assert payable(STEADY, 1_000, -5_000) == payable(STEADY, 1_000, 0) == 250


def test_a_round_without_work_or_time_tells_nothing() -> None:
    assert next_round(STEADY, 1_000) == STEADY
    assert next_round(credited(STEADY, 5), 0) == STEADY


@given(st.lists(st.tuples(st.integers(1, 10**18), st.integers(1, 10**7)), max_size=9))
def test_the_newest_rounds_are_kept(rounds: list[tuple[int, int]]) -> None:
    pace = Pace()
    for work, elapsed_ms in rounds:
        pace = next_round(credited(pace, work), elapsed_ms)

    assert list(pace.past) == rounds[-PACE_ROUNDS:]


@given(st.integers(2, 10**6), st.integers(1, 12))
def test_a_cheater_grows_by_at_most_a_half_a_round(factor: int, rounds: int) -> None:
    pace = STEADY
    for number in range(1, rounds + 1):
        for _ in range(3):
            pace = credited(pace, payable(pace, 1_000 * factor, 1_000))
        assert pace.work <= 1_000 * 1.5**number
        pace = next_round(pace, 1_000)


@given(st.lists(st.integers(80, 120), min_size=1, max_size=20))
def test_an_honest_miner_is_paid_in_full(percents: list[int]) -> None:
    """A tenth slower or faster, round by round and within the round."""
    pace = Pace(past=((100_000, 1_000),))
    for percent in percents:
        for step in range(1, 11):
            work = 100 * percent
            assert payable(pace, work, 100 * step) == work
            pace = credited(pace, work)
        pace = next_round(pace, 1_000)
