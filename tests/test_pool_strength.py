"""Strong or weak by delivery, budgets by speed, and neither of them to and fro."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.records.strengths import Strength
from pool.rules.delivery import (
    MAX_BUDGET,
    MEMORY_RESULTS,
    MIN_BUDGET,
    MIN_DEAD_BAND,
    Delivery,
    adapted_budget,
    episode_budget,
)
from pool.rules.strength import STRONG_AGAIN, Cause, resolve_strength

PHASE_MS = 26_000
MEASURED = MIN_BUDGET * 2.0
budgets = st.integers(MIN_BUDGET, MAX_BUDGET)


def delivering(episodes_in_phase: float) -> Delivery:
    """Measured at exactly that speed."""
    return Delivery(MEASURED, MEASURED * PHASE_MS / episodes_in_phase)


def one_by_one(results: int, each_ms: int) -> Delivery:
    delivery = Delivery()
    for _ in range(results):
        delivery = delivery.then(1, each_ms)
    return delivery


@given(st.integers(1, 200), st.integers(1, 100_000), st.integers(1, 10**7))
def test_a_steady_miner_is_expected_to_go_on_like_that(
    results: int, each_ms: int, duration_ms: int
) -> None:
    expected = one_by_one(results, each_ms).episodes_in(duration_ms)

    assert expected == pytest.approx(duration_ms / each_ms, rel=1e-9)


def test_what_is_long_ago_is_forgotten() -> None:
    slow_then_fast = one_by_one(5, 60_000)
    for _ in range(10 * MEMORY_RESULTS):
        slow_then_fast = slow_then_fast.then(1, 100)

    assert slow_then_fast.episodes_in(PHASE_MS) == pytest.approx(260, rel=0.05)


def test_silence_is_slow() -> None:
    delivery = delivering(20)

    assert delivery.then(0, PHASE_MS).episodes_in(PHASE_MS) < 20


def test_a_clock_that_goes_back_measures_no_time() -> None:
    assert Delivery(3.0, 900.0).then(0, -5_000) == Delivery(3.0, 900.0)


def test_results_can_not_be_taken_back() -> None:
    with pytest.raises(ValueError, match="can't deliver -1"):
        Delivery().then(-1, 10)


def test_nothing_is_expected_without_measurement_or_time() -> None:
    assert Delivery(0.0, 5_000.0).episodes_in(PHASE_MS) == 0
    assert delivering(20).episodes_in(0) == 0
    assert delivering(20).episodes_in(-1) == 0


def test_results_that_took_no_time_are_endless() -> None:
    assert Delivery(5.0, 0.0).episodes_in(1) == math.inf
    assert episode_budget(Delivery(5.0, 0.0), 1) == MAX_BUDGET


@pytest.mark.parametrize(
    ("episodes", "expected"), [(0.1, MIN_BUDGET), (123.0, 123), (1e6, MAX_BUDGET)]
)
def test_a_budget_is_what_the_phase_has_room_for(episodes: float, expected: int) -> None:
    # A microsecond more, so that rounding in the division can't take an episode away.
    delivery = delivering(episodes + 1e-6)

    assert episode_budget(delivery, PHASE_MS) == expected
    assert episode_budget(Delivery(), PHASE_MS) == MIN_BUDGET


@given(budgets, st.integers(0, 10_000), st.floats(0.87, 1.149))
def test_small_changes_of_speed_leave_the_budget(last: int, results: int, factor: float) -> None:
    wanted = max(1, round(last * factor))
    if max(last, wanted) / min(last, wanted) <= 1 + MIN_DEAD_BAND:
        assert adapted_budget(last, results, wanted) == last


@given(budgets, budgets, st.integers(0, 10_000))
def test_an_adapted_budget_is_the_last_or_the_wanted(last: int, wanted: int, results: int) -> None:
    adapted = adapted_budget(last, results, wanted)

    assert adapted in (last, wanted)
    # Once followed, it stays.
    assert adapted_budget(adapted, results, adapted) == adapted


def test_the_better_measured_the_sooner_a_budget_follows() -> None:
    assert adapted_budget(100, 4, 149) == 100
    assert adapted_budget(100, 4, 151) == 151
    assert adapted_budget(100, 25, 121) == 121
    assert adapted_budget(100, 10_000, 114) == 100
    assert adapted_budget(100, 10_000, 80) == 80


@pytest.mark.parametrize(("last", "wanted"), [(0, 5), (5, 0)])
def test_budgets_are_positive(last: int, wanted: int) -> None:
    with pytest.raises(ValueError, match="budgets are positive"):
        adapted_budget(last, 1, wanted)


def test_a_weak_miner_is_believed() -> None:
    typing = resolve_strength(Strength.WEAK, Strength.WEAK, delivering(1_000), PHASE_MS, PHASE_MS)

    assert (typing.strength, typing.cause, typing.reason) == (Strength.WEAK, Cause.DECLARED, "")


@pytest.mark.parametrize("delivery", [Delivery(), one_by_one(4, 6_000)])
def test_auto_explores_until_it_is_measured(delivery: Delivery) -> None:
    typing = resolve_strength(Strength.AUTO, Strength.AUTO, delivery, PHASE_MS, PHASE_MS)

    assert (typing.strength, typing.cause) == (Strength.STRONG, Cause.UNMEASURED)
    assert "not measured yet" in typing.reason


def test_a_strong_miner_stays_strong_until_there_is_evidence() -> None:
    hasty = one_by_one(4, 6_000)
    typing = resolve_strength(Strength.STRONG, Strength.STRONG, hasty, PHASE_MS, PHASE_MS)

    assert (typing.strength, typing.cause, typing.reason) == (
        Strength.STRONG,
        Cause.UNMEASURED,
        "",
    )


def test_a_retyped_miner_stays_weak_while_a_longer_phase_has_no_evidence() -> None:
    typing = resolve_strength(
        Strength.STRONG, Strength.WEAK, Delivery(1.0, 30_000.0), 60_000, 60_000
    )

    assert (typing.strength, typing.cause) == (Strength.WEAK, Cause.UNMEASURED)
    assert typing.reason == "not measured anew, so it stays weak"


def test_five_results_are_evidence() -> None:
    typing = resolve_strength(
        Strength.AUTO, Strength.STRONG, one_by_one(5, 5_000), PHASE_MS, PHASE_MS
    )

    assert typing.cause is Cause.DELIVERS


@pytest.mark.parametrize("declared", [Strength.AUTO, Strength.STRONG])
@pytest.mark.parametrize(
    ("current", "episodes", "strength", "cause"),
    [
        (Strength.STRONG, MIN_BUDGET + 0.01, Strength.STRONG, None),
        (Strength.STRONG, MIN_BUDGET - 0.01, Strength.WEAK, Cause.TOO_SLOW),
        (Strength.WEAK, MIN_BUDGET - 0.01, Strength.WEAK, Cause.TOO_SLOW),
        (Strength.WEAK, MIN_BUDGET + 0.01, Strength.WEAK, Cause.NOT_YET_FAST_ENOUGH),
        (Strength.WEAK, MIN_BUDGET * STRONG_AGAIN + 0.01, Strength.STRONG, None),
    ],
)
def test_delivery_decides_with_room_to_spare(
    declared: Strength, current: Strength, episodes: float, strength: Strength, cause: Cause | None
) -> None:
    typing = resolve_strength(declared, current, delivering(episodes), PHASE_MS, PHASE_MS)

    is_auto = declared is Strength.AUTO
    assert typing.strength is strength
    assert typing.cause is (cause or (Cause.DELIVERS if is_auto else Cause.DECLARED))
    is_as_declared = strength is declared
    assert typing.reason == "" if is_as_declared else "10.0 candidates took" in typing.reason


def test_a_whole_phase_of_silence_is_evidence() -> None:
    silent = Delivery().then(0, PHASE_MS)
    typing = resolve_strength(Strength.STRONG, Strength.STRONG, silent, PHASE_MS, PHASE_MS)

    assert (typing.strength, typing.cause) == (Strength.WEAK, Cause.TOO_SLOW)


def test_who_joins_late_has_no_time_to_explore_unless_it_says_so() -> None:
    fast = delivering(20)
    late_ms = PHASE_MS // 10

    auto = resolve_strength(Strength.AUTO, Strength.STRONG, fast, late_ms, PHASE_MS)
    declared = resolve_strength(Strength.STRONG, Strength.STRONG, fast, late_ms, PHASE_MS)

    assert (auto.strength, auto.cause) == (Strength.WEAK, Cause.TOO_SLOW)
    assert declared.strength is Strength.STRONG


@given(st.floats(0.1, 100), st.lists(st.floats(-0.1, 0.1), min_size=2, max_size=30))
def test_a_speed_that_wavers_by_a_tenth_changes_the_type_at_most_once(
    episodes: float, noise: list[float]
) -> None:
    current, changes = Strength.STRONG, 0
    for part in noise:
        delivery = delivering(episodes * (1 + part))
        typing = resolve_strength(Strength.AUTO, current, delivery, PHASE_MS, PHASE_MS)
        changes += typing.strength is not current
        current = typing.strength

    assert changes <= 1


def test_a_phase_takes_time() -> None:
    with pytest.raises(ValueError, match="at least 1 ms"):
        resolve_strength(Strength.AUTO, Strength.AUTO, Delivery(), 0, 0)
