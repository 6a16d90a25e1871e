"""The window: newest work first, exact, and blind to who was caught cheating."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.records.tables import persistent
from pool.rules.payout import TOTAL_WEIGHT, payout_lines
from pool.rules.window import (
    LOG_ROUNDS,
    RoundWork,
    forfeit,
    window,
    window_size,
    withheld,
    work_by_address,
)

MINERS = [bytes([number]) * 32 for number in range(1, 7)]
CHEATER, FINDER, MANAGER = (bytes([number]) * 32 for number in (90, 91, 92))


def round_work(number: int, work: dict[bytes, int]) -> RoundWork:
    return RoundWork.of(number, persistent({miner * 2: units for miner, units in work.items()}))


works = st.dictionaries(st.sampled_from(MINERS), st.integers(1, 10**20), max_size=6)
histories = st.lists(works, max_size=20).map(
    lambda rounds: [round_work(number, work) for number, work in enumerate(rounds, start=1)]
)


@given(histories)
def test_the_window_is_exact_and_holds_the_newest(rounds: list[RoundWork]) -> None:
    paid = window(rounds)

    size = window_size([round_.total for round_ in rounds])
    assert sum(round_.total for round_ in paid) == min(size, sum(r.total for r in rounds))
    by_number = {round_.round: round_ for round_ in rounds}
    assert all(round_ == by_number[round_.round] for round_ in paid[1:])
    numbers = [round_.round for round_ in rounds if round_.work]
    assert [round_.round for round_ in paid] == numbers[len(numbers) - len(paid) :]
    for who, units in paid[0].work.items() if paid else ():
        assert 0 < units <= by_number[paid[0].round].work[who]


@given(histories, st.data())
def test_work_held_back_counts_for_nothing(rounds: list[RoundWork], data: st.DataObject) -> None:
    more = [data.draw(works) for _ in rounds]
    held = {
        each.round: {miner * 2: units for miner, units in work.items()}
        for each, work in zip(rounds, more, strict=True)
    }
    higher = [
        round_work(
            each.round,
            {
                miner: each.work.get(miner * 2, 0) + work.get(miner, 0)
                for miner in MINERS
                if miner in work or miner * 2 in each.work
            },
        )
        for each, work in zip(rounds, more, strict=True)
    ]

    assert withheld(higher, held) == tuple(rounds)
    assert withheld(higher, {}) == tuple(higher)


@given(histories, st.randoms(use_true_random=False))
def test_the_order_of_arrival_within_a_round_does_not_matter(
    rounds: list[RoundWork], rng: random.Random
) -> None:
    shuffled = [
        RoundWork.of(
            round_.round, persistent(dict(rng.sample(list(round_.work.items()), len(round_.work))))
        )
        for round_ in rounds
    ]

    assert work_by_address(window(shuffled)) == work_by_address(window(rounds))


@given(histories, st.lists(st.integers(0, 10**20), min_size=20, max_size=20))
def test_honest_miners_are_paid_as_if_a_caught_cheater_had_never_been(
    rounds: list[RoundWork], stolen: list[int]
) -> None:
    with_cheater = [
        RoundWork.of(r.round, r.work.set(CHEATER * 2, units) if units else r.work)
        for r, units in zip(rounds, stolen, strict=False)
    ]

    kept = forfeit(with_cheater, CHEATER)

    assert kept == tuple(rounds)
    one, other = (
        payout_lines(work_by_address(window(history)), FINDER, MANAGER, 10)
        for history in (kept, rounds)
    )
    assert one == other
    assert sum(line.weight for line in one) == TOTAL_WEIGHT


@given(histories, st.sampled_from(MINERS))
def test_a_forfeit_takes_from_nobody_else(rounds: list[RoundWork], cheater: bytes) -> None:
    kept = forfeit(rounds, cheater)

    assert all(cheater * 2 not in round_.work for round_ in kept)
    for before, after in zip(rounds, kept, strict=True):
        assert after.total <= before.total
        assert {who for who in before.work if who[:32] != cheater} == set(after.work)
        assert set(after.work.items()) <= set(before.work.items())


def test_four_rounds_of_average_work_are_paid() -> None:
    rounds = [round_work(number, {MINERS[number % 3]: 100}) for number in range(1, 10)]

    assert [round_.round for round_ in window(rounds)] == [6, 7, 8, 9]


def test_the_oldest_round_is_cut_in_proportion() -> None:
    a, b = MINERS[:2]
    rounds = [round_work(1, {a: 300, b: 100}), *(round_work(n, {b: 20}) for n in range(2, 7))]

    # The mean is 500 / 6, the window 333: 233 of the oldest round beside 5 x 20.
    assert window_size([round_.total for round_ in rounds]) == 333
    assert dict(window(rounds)[0].work) == {a * 2: 175, b * 2: 58}


def test_rounds_without_work_do_not_shrink_the_window() -> None:
    assert window_size([100, 0, 0, 0]) == window_size([100]) == 400
    assert window_size([0]) == window_size([]) == 0


def test_the_mean_forgets_old_rounds() -> None:
    assert window_size([10**9] + [10] * LOG_ROUNDS) == 40


def test_an_address_is_paid_for_all_its_miners() -> None:
    a, b, address = MINERS[:3]
    rounds = [RoundWork.of(1, persistent({a + address: 3, b + address: 4, b + b: 5}))]

    assert work_by_address(rounds) == {address: 7, b: 5}
    assert work_by_address(forfeit(rounds, b)) == {address: 3}


@pytest.mark.parametrize("units", [0, -1])
def test_entries_without_work_are_refused(units: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        round_work(1, {MINERS[0]: units})
