"""Where a miner turns when a connection ends, as a function of how it ended."""

from hypothesis import given
from hypothesis import strategies as st

from pool.miner.failover import (
    ATTEMPTS,
    FIRST_WAIT_MS,
    LAST_WAIT_MS,
    MAX_DRAIN_WAIT_MS,
    RETURN_AFTER_MS,
    Course,
    End,
    Parting,
    after,
    is_hopeless,
    turned_back,
)
from pool.miner.patience import MUTE_AFTER_MS

LOST = Parting(End.LOST, "gone")
MUTE = Parting(End.MUTE, "no answer", held_ms=MUTE_AFTER_MS + 1)
WRONG = Parting(End.WRONG, "another network")


def places(course: Course, *partings: Parting) -> list[int]:
    """Where the miner is after each parting."""
    seen = []
    for parting in partings:
        course = after(course, parting)
        seen.append(course.at)
    return seen


def test_a_pool_is_tried_three_times_before_the_next() -> None:
    assert places(Course(2), *[LOST] * 7) == [0, 0, 1, 1, 1, 0, 0]


def test_a_lone_pool_is_tried_for_ever() -> None:
    assert places(Course(1), *[LOST] * 10) == [0] * 10


def test_a_link_that_held_was_no_failure_in_a_row() -> None:
    good = Parting(End.LOST, "gone", held_ms=LAST_WAIT_MS + 1)
    assert places(Course(2), LOST, LOST, good, LOST, LOST) == [0, 0, 0, 0, 1]


def test_a_mute_pool_is_left_at_once_and_looked_back_to_half_as_often() -> None:
    assert places(Course(2), MUTE, MUTE) == [1, 0]
    course, waits = Course(2), []
    for _ in range(4):
        waits.append(course.return_after_ms // RETURN_AFTER_MS)
        course = after(course, MUTE)
    assert waits == [1, 2, 2, 2]


def test_a_link_that_was_not_mute_for_long_makes_up_for_a_mute_pool() -> None:
    course = after(Course(2), MUTE)
    for end in (End.LOST, End.LEFT, End.DRAINED):
        short = after(course, Parting(end, "", held_ms=MUTE_AFTER_MS))
        assert short.return_after_ms == 2 * RETURN_AFTER_MS
        long = after(course, Parting(end, "", held_ms=MUTE_AFTER_MS + 1))
        assert long.return_after_ms == RETURN_AFTER_MS


def test_waits_double_up_to_a_bound_and_begin_anew_after_a_good_link() -> None:
    course, waits = Course(1), []
    for _ in range(7):
        course = after(course, LOST)
        waits.append(course.wait_ms)
    assert waits == [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]
    good = Parting(End.LOST, "gone", held_ms=LAST_WAIT_MS + 1)
    assert after(course, good).wait_ms == FIRST_WAIT_MS


def test_a_wrong_pool_is_left_out_from_then_on() -> None:
    course = after(Course(3), WRONG)
    assert course.at == 1
    assert places(course, *[LOST] * 7) == [1, 1, 2, 2, 2, 1, 1]


def test_only_a_list_of_wrong_pools_is_hopeless() -> None:
    one = after(Course(3), WRONG)
    assert not is_hopeless(one, pools=2)
    # The third place is the node's own pool; a list that is wrong throughout is still a mistake.
    assert is_hopeless(after(one, WRONG), pools=2)
    assert not is_hopeless(Course(1), pools=0)


def test_a_drained_pool_is_gone_back_to_when_it_said_but_not_after_an_age() -> None:
    course = after(Course(2), Parting(End.DRAINED, "restart", wait_ms=2_500))
    assert (course.at, course.wait_ms) == (0, 2 * 2_500)
    course = after(course, Parting(End.DRAINED, "restart", wait_ms=2**32 - 1))
    assert course.wait_ms == 2 * MAX_DRAIN_WAIT_MS


def test_who_looks_back_looks_at_earlier_pools_that_are_not_wrong() -> None:
    course = Course(4, at=3, wrong=frozenset({0, 2}))
    assert course.earlier == (1,)
    assert places(turned_back(course, 1), Parting(End.LEFT, "back")) == [1]


@given(
    routes=st.integers(1, 5),
    ends=st.lists(st.sampled_from([End.LOST, End.DRAINED, End.LEFT, End.WRONG]), max_size=40),
)
def test_a_course_stays_on_the_list_and_off_wrong_pools(routes: int, ends: list[End]) -> None:
    course = Course(routes)
    for end in ends:
        course = after(course, Parting(end, ""))
        if is_hopeless(course, routes):
            return
        assert 0 <= course.at < routes
        assert course.at not in course.wrong
        assert 0 <= course.wait_ms <= LAST_WAIT_MS
        assert course.failures < ATTEMPTS or routes == 1
