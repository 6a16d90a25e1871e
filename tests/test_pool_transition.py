"""How the manager's records change."""

from dataclasses import replace

import pytest

from pool.records import transition
from pool.records.state import Exploration, PoolState, Refusal, RoundTask, Strength
from pool.rules.reports import check
from tests.pool_states import (
    SUBSPACE,
    best_of,
    handed_out,
    in_hand,
    open_round,
    round_of,
    valid_report,
)
from tests.pool_world import PHASE_MS, SPACE, TASK, public

S, W = public("s"), public("w")


def credited(
    pool: PoolState, name: str = "s", correct: int = 300, now_ms: int = 1_000
) -> PoolState:
    report = valid_report(pool, name, correct)
    return transition.accepted(pool, check(report, pool, public(name), now_ms), now_ms)


def test_an_accepted_result_takes_its_place_and_pays_its_work() -> None:
    before = handed_out(open_round(strong="s"))
    pool = credited(before, correct=270)
    miner = pool.miners[S]

    assert round_of(pool).searches[0].rewards == (270 / 360,)
    assert miner.work == round_of(pool).work[S] > 0
    assert (miner.episodes, miner.accepted, miner.best_correct) == (1, 1, 270)
    assert pool.results_accepted == 1
    assert round_of(before).searches[0].rewards == (), "the old state is untouched"


def test_a_repeated_design_is_paid_once() -> None:
    pool = handed_out(open_round(strong="s"))
    report = valid_report(pool, "s")
    pool = credited(pool)
    earned = pool.miners[S].work
    again = replace(report, episode=1)
    pool = transition.accepted(pool, check(again, pool, S, 2_000), 2_000)

    assert pool.miners[S].episodes == 2
    assert pool.miners[S].work == earned


def test_work_is_added_up_by_payout_address() -> None:
    pool = handed_out(open_round(strong="st"))
    shared = replace(pool.miners[public("t")], payout_address=S)
    pool = replace(pool, miners={**pool.miners, public("t"): shared})
    pool = credited(credited(pool, "s"), "t")

    assert round_of(pool).work == {S: pool.miners[S].work + pool.miners[public("t")].work}


def test_shares_stay_when_a_miner_leaves() -> None:
    pool = credited(handed_out(open_round(strong="s")))
    left = transition.left(pool, S)

    assert not left.miners[S].connected
    assert round_of(left).work == round_of(pool).work
    assert left.assignment_of(S) is None


def test_a_refused_result_that_takes_its_place_is_worth_nothing() -> None:
    pool = handed_out(open_round(strong="s"))
    pool = transition.refused(pool, S, Refusal.COUNT_DIFFERS)
    pool = transition.placed(pool, in_hand(pool, "s").id, 0.0)

    assert round_of(pool).searches[0].rewards == (0.0,)
    assert pool.miners[S].refused == {Refusal.COUNT_DIFFERS: 1}
    assert round_of(pool).work == {}


def test_late_results_are_counted_apart() -> None:
    assert transition.came_late(open_round(strong="s"), S).miners[S].stale == 1


def test_a_confirmed_best_of_a_weak_miner_counts_as_its_improvement() -> None:
    pool = transition.confirmed(open_round(strong="s", weak="w"), best_of("s"))
    assert (pool.shared_bests, pool.weak_improvements) == (1, 0)

    pool = transition.confirmed(pool, best_of("w", 310, from_weak_miner=True))
    assert (pool.shared_bests, pool.weak_improvements) == (2, 1)


def test_late_weights_of_a_worse_best_change_nothing() -> None:
    pool = transition.with_base(open_round(strong="s"), best_of("s", 310))

    assert transition.with_base(pool, best_of("s", 305)) == pool


def test_a_new_round_forgets_the_round_and_keeps_the_miners() -> None:
    pool = credited(handed_out(open_round(strong="s")))
    task = RoundTask(2, TASK, SPACE, 2 * PHASE_MS)
    fresh = transition.started(transition.closed(pool), task, b"seed", PHASE_MS)

    assert (round_of(fresh).searches, round_of(fresh).work) == ((), {})
    assert fresh.miners[S].work == fresh.miners[S].episodes == 0
    assert fresh.miners[S].accepted == 1
    assert round_of(fresh).seed != round_of(pool).seed
    assert round_of(fresh).first_assignment == pool.next_assignment


def test_auto_is_typed_anew_with_each_round_by_what_it_delivered() -> None:
    pool = handed_out(open_round(auto="a"))
    assert pool.miners[public("a")].strength is Strength.STRONG

    pool = credited(pool, "a", now_ms=20_000)
    task = RoundTask(2, TASK, SPACE, 2 * PHASE_MS)
    pool = transition.started(transition.closed(pool), task, b"seed", PHASE_MS)

    assert pool.miners[public("a")].strength is Strength.WEAK
    assert "1 candidates took 20000 ms" in pool.miners[public("a")].strength_reason


def test_time_without_work_does_not_count_against_a_miner() -> None:
    pool = open_round(strong="s")
    pool = transition.assigned(pool, S, Exploration(0), lambda _: SUBSPACE, 5_000)
    pool = credited(credited(pool, now_ms=6_500), now_ms=8_500)

    assert pool.miners[S].measured_ms == 3_500
    assert pool.miners[S].measured_results == 2


def test_searches_of_a_round_have_seeds_of_their_own() -> None:
    searches = round_of(handed_out(open_round(strong="st"))).searches

    assert searches[0].seed != searches[1].seed


def test_an_exploitation_counts_its_own_episodes() -> None:
    pool = transition.with_base(handed_out(open_round(strong="s", weak="w")), best_of("s"))
    pool = credited(handed_out(pool), "w")

    assert in_hand(pool, "w").episodes == 1
    assert round_of(pool).searches[0].rewards == ()


def test_work_is_assigned_only_in_an_open_round() -> None:
    pool = transition.closed(open_round(strong="s"))

    with pytest.raises(ValueError, match="while a round is open"):
        transition.assigned(pool, S, Exploration(0), lambda _: SUBSPACE, 0)


def test_events_before_the_first_round() -> None:
    pool = transition.joined(PoolState(), S, S, Strength.STRONG, 0)

    assert transition.closed(pool) == pool
    assert transition.left(pool, S).round is None
    with pytest.raises(ValueError, match="no round has started"):
        transition.placed(pool, 1, 0.0)
