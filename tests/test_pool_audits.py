"""Audits: certain at first, never worth a gamble, and blind to who asks for mercy."""

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.rules.audits import (
    CERTAIN_SHARES,
    AuditKind,
    Fault,
    Suspicion,
    chance,
    epoch_to_repeat,
    is_drawn,
    judge_count,
    judge_repetition,
    kind_of,
)
from pool.rules.classes import ClassRecord, audited, is_below_floor, is_out_of_line

SECRET = b"secret of the manager, 32 bytes."
TOO_FAST, OUT_OF_CLASS = Suspicion.TOO_FAST, Suspicion.OUT_OF_CLASS


def share(number: int) -> bytes:
    return number.to_bytes(32, "big")


@given(st.integers(0, CERTAIN_SHARES - 1), st.integers(0, 10**6))
def test_the_first_shares_are_audited_for_certain(streak: int, unpaid: int) -> None:
    assert chance(streak, unpaid) == 1


@given(st.integers(0, 10**9), st.integers(0, 2))
def test_after_a_payout_of_all_shares_audits_are_certain(streak: int, unpaid: int) -> None:
    assert chance(streak, unpaid) == 1


@given(
    st.integers(CERTAIN_SHARES, 10**9), st.integers(3, 10**9), st.sets(st.sampled_from(Suspicion))
)
def test_a_cheat_loses_at_least_twice_what_it_brings(
    streak: int, unpaid: int, suspicions: set[Suspicion]
) -> None:
    likely = chance(streak, unpaid, suspicions)

    assert Fraction(0) < likely <= 1
    assert likely * unpaid >= 2
    assert likely >= Fraction(1, streak)
    assert likely == min(Fraction(1), chance(streak, unpaid) * 4 ** len(suspicions))


def test_draws_come_as_often_as_they_should() -> None:
    drawn = sum(is_drawn(SECRET, share(number), Fraction(1, 8)) for number in range(4_000))

    assert 430 <= drawn <= 570
    assert all(is_drawn(SECRET, share(number), Fraction(1)) for number in range(100))
    assert not any(is_drawn(SECRET, share(number), Fraction(0)) for number in range(100))


def test_without_the_secret_the_draw_is_another() -> None:
    half = Fraction(1, 2)
    mine, theirs = (
        [is_drawn(secret, share(number), half) for number in range(64)]
        for secret in (SECRET, bytes(32))
    )

    assert mine != theirs
    assert mine == [is_drawn(SECRET, share(number), half) for number in range(64)]


@pytest.mark.parametrize(
    ("is_low", "is_repeatable", "suspicions", "kind"),
    [
        (False, True, (), AuditKind.COUNT),
        (True, True, (), AuditKind.RETRAIN),
        (True, False, (), AuditKind.COUNT),
        (False, True, (TOO_FAST,), AuditKind.RETRAIN),
        (False, True, (OUT_OF_CLASS,), AuditKind.COUNT),
    ],
)
def test_what_a_count_cannot_show_is_trained_again(
    is_low: bool, is_repeatable: bool, suspicions: tuple[Suspicion, ...], kind: AuditKind
) -> None:
    assert kind_of(is_low, is_repeatable, suspicions) is kind


def test_every_epoch_may_be_the_one() -> None:
    drawn = {epoch_to_repeat(SECRET, share(number), 5) for number in range(100)}

    assert drawn == set(range(5))


def test_no_epoch_of_none_is_repeated() -> None:
    with pytest.raises(ValueError, match="ran no epoch"):
        epoch_to_repeat(SECRET, share(1), 0)


def test_verdicts_on_counts() -> None:
    assert judge_count(300, 300) is None
    assert judge_count(300, 299) is Fault.COUNT_DIFFERS


def test_verdicts_on_repetitions() -> None:
    states = [share(number) for number in range(4)]

    assert judge_repetition(states, 2, share(3)) is None
    assert judge_repetition(states, 2, share(2)) is Fault.STATE_DIFFERS
    assert judge_repetition(states, 3, share(3)) is Fault.STATE_MISSING


def recorded(counts: list[int]) -> ClassRecord:
    record = ClassRecord()
    for correct in counts:
        record = audited(record, correct)
    return record


counts = st.lists(st.integers(0, 360), min_size=10, max_size=40)


def floor(record: ClassRecord, size: int, classes: int = 10) -> int:
    """The least count that speaks for a trained model."""
    return next(n for n in range(size + 1) if not is_below_floor(record, n, size, classes))


def test_a_class_without_audits_asks_for_three_times_chance() -> None:
    assert floor(ClassRecord(), 360) == 108
    assert floor(recorded([350] * 9), 360) == 108
    assert floor(ClassRecord(), 361) == 109


@given(counts)
def test_the_floor_is_two_deviations_below_the_mean(found: list[int]) -> None:
    mean = Fraction(sum(found), len(found))
    variance = max(Fraction(1), sum((count - mean) ** 2 for count in found) / len(found))

    least = floor(recorded(found), 360)

    assert least >= 108
    if least > 108:
        assert (mean - least) <= 0 or (mean - least) ** 2 <= 4 * variance
        assert (mean - (least - 1)) ** 2 > 4 * variance


def test_a_floor_by_hand() -> None:
    # Mean 320, deviation 20.
    assert floor(recorded([300, 340] * 5), 360) == 280


@given(counts, st.randoms(use_true_random=False))
def test_the_order_of_audits_does_not_matter(found: list[int], rng: random.Random) -> None:
    assert recorded(rng.sample(found, len(found))) == recorded(found)


def test_counts_far_from_their_class_are_out_of_line() -> None:
    record = recorded([300, 340] * 5)

    assert not is_out_of_line(record, 260)
    assert is_out_of_line(record, 259)
    assert not is_out_of_line(record, 380)
    assert is_out_of_line(record, 381)
    assert not is_out_of_line(recorded([300] * 9), 0)


def test_equal_counts_leave_room_for_an_image() -> None:
    record = recorded([300] * 10)

    assert not is_out_of_line(record, 303)
    assert is_out_of_line(record, 304)
