"""Miners that stay connected and bring nothing: their searches go on in other hands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from immutables import Map

from nas.jobs import BATCH_EPISODES
from pool.decisions.members import decide_join, decide_stalled
from pool.decisions.results import decide_acceptance
from pool.decisions.rounds import decide_open
from pool.records import events
from pool.records.state import Exploration, PoolState, RoundTask
from pool.records.strengths import Strength
from pool.records.transition import apply, apply_all
from pool.rules.prices import PRICES
from pool.rules.reports import Stale, check
from pool.rules.rhythm import LONGER, MOST, Rhythm, patience_ms, type_silent
from pool.rules.strength import Cause
from tests.pool_states import (
    after,
    handed_out,
    in_hand,
    open_round,
    result_of,
    round_of,
    valid_report,
)
from tests.pool_world import PHASE_MS, SPACE, TASK, PoolWorld, public
from tests.test_pool_manager import RawMiner, trained
from tests.virtual_time import virtual_time

S, T = public("s"), public("t")
HALF_MS = int(MOST * PHASE_MS)


def rhythm(*trained_ms: int) -> Rhythm:
    """That of a miner whose trained results took so long each."""
    found = Rhythm()
    for took_ms in trained_ms:
        found = found.then(found.last_ms + took_ms, is_timed=True)
    return found


# The rule.


@given(st.lists(st.integers(0, PHASE_MS), max_size=20))
def test_nobody_has_less_than_ten_times_its_longest_training_or_more_than_half_a_phase(
    trained_ms: list[int],
) -> None:
    patience = patience_ms(rhythm(*trained_ms), PHASE_MS)

    if len(trained_ms) < BATCH_EPISODES:
        assert patience == HALF_MS
    else:
        assert patience == min(HALF_MS, 10 * max(trained_ms))


def test_what_was_not_trained_says_nothing_about_trainings() -> None:
    measured = rhythm(*[700] * BATCH_EPISODES)
    untrained = measured.then(measured.last_ms + 1, is_timed=False)

    assert patience_ms(untrained, PHASE_MS) == patience_ms(measured, PHASE_MS) == 7_000
    assert type_silent(untrained, untrained.last_ms + 7_000, PHASE_MS) is None


def test_a_design_two_rows_down_the_table_of_prices_is_within_patience() -> None:
    prices = [price for _, price in PRICES]

    assert max(later / price for price, later in zip(prices, prices[2:], strict=False)) < LONGER


def test_a_silent_miner_is_weak_from_the_first_millisecond_after() -> None:
    measured = rhythm(*[700] * BATCH_EPISODES)

    assert type_silent(measured, 3_500 + 7_000, PHASE_MS) is None
    typing = type_silent(measured, 3_500 + 7_001, PHASE_MS)
    assert typing is not None
    assert (typing.strength, typing.cause) == (Strength.WEAK, Cause.SILENT)
    assert typing.reason == "no result in 7001 ms at work, of which this miner has 7000 for one"


# What it does to the pool.


def stalled(backups: Map[bytes, bytes]) -> PoolState:
    """A pool in which `s` has brought one result and no other for half a phase."""
    pool = handed_out(open_round(strong="stu"))
    pool = pool.but(round=round_of(pool).but(backups=backups))
    return after(pool, result_of(pool, "s", 340, 1_000))


def test_the_backup_of_a_stalled_miner_goes_on_with_its_search() -> None:
    pool = stalled(Map({S: T}))

    pool = after(pool, *decide_stalled(pool, S, 1_001 + HALF_MS))

    assert in_hand(pool, "t").work == Exploration(0)
    assert round_of(pool).searches[0].holder == T
    assert (pool.miners[S].own, pool.miners[S].strength) == (None, Strength.WEAK)
    assert pool.miners[S].strength_reason.startswith("no result in 13001 ms at work")


def test_without_a_backup_the_search_is_there_for_the_next_that_needs_one() -> None:
    pool = stalled(Map())

    pool = after(pool, *decide_stalled(pool, S, 1_001 + HALF_MS))

    assert list(round_of(pool).free) == [0]
    new = public("new")
    pool = after(pool, *decide_join(pool, new, new, Strength.STRONG, 2_000 + HALF_MS))
    assert in_hand(pool, "new").work == Exploration(0)


def test_the_late_result_of_a_stalled_miner_counts_while_nobody_has_its_search() -> None:
    pool = stalled(Map())
    late = valid_report(pool, "s")

    free = after(pool, *decide_stalled(pool, S, 1_001 + HALF_MS))
    assert check(late, free, S, 2_000 + HALF_MS).report == late
    new = public("new")
    taken = after(free, *decide_join(free, new, new, Strength.STRONG, 2_000 + HALF_MS))
    with pytest.raises(Stale, match="in other hands"):
        check(late, taken, S, 3_000 + HALF_MS)


def test_who_is_not_silent_for_longer_than_it_may_keeps_its_search() -> None:
    assert decide_stalled(stalled(Map()), S, 1_000 + HALF_MS) == ()


def test_who_is_alone_keeps_its_search() -> None:
    pool = handed_out(open_round(strong="s"))

    assert decide_stalled(pool, S, PHASE_MS - 1) == ()


def test_who_has_no_search_can_not_stall_it() -> None:
    pool = handed_out(open_round(strong="s", weak="w"))
    slow = events.Retyped(1, S, Strength.WEAK, "slow")

    assert decide_stalled(pool, public("w"), PHASE_MS - 1) == ()
    assert decide_stalled(apply(pool, slow), S, PHASE_MS - 1) == ()
    assert decide_stalled(pool, public("stranger"), PHASE_MS - 1) == ()


def test_nothing_stalls_when_the_phase_is_over() -> None:
    pool = stalled(Map()).but(round=round_of(stalled(Map())).but(is_open=False))

    assert decide_stalled(pool, S, 1_001 + HALF_MS) == ()


@pytest.mark.parametrize("declared", [Strength.STRONG, Strength.AUTO])
def test_connecting_anew_ends_no_silence(declared: Strength) -> None:
    pool = stalled(Map())
    for at_ms in range(3_000, 15_000, 3_000):
        pool = after(pool, *decide_join(pool, S, S, declared, at_ms))
        assert pool.miners[S].strength is Strength.STRONG

    pool = after(pool, *decide_join(pool, S, S, declared, 15_000))

    assert pool.miners[S].strength is Strength.WEAK
    assert pool.miners[S].strength_reason.startswith("no result in 14000 ms at work")


def test_what_was_finished_for_an_earlier_assignment_says_nothing_about_trainings() -> None:
    """It comes all at once, when the manager is back: no training took so little."""
    pool = handed_out(open_round(strong="stu"))
    before = in_hand(pool, "s").id
    pool = after(pool, *decide_join(pool, S, S, Strength.STRONG, 9_000))
    for _ in range(BATCH_EPISODES):
        late = check(valid_report(pool, "s").but(assignment_id=before), pool, S, 9_100)
        pool = after(pool, decide_acceptance(pool, late, b"secret", False, 9_100))

    assert pool.miners[S].rhythm == Rhythm(last_ms=9_100)
    assert decide_stalled(pool, S, 9_100 + HALF_MS) == ()

    for at_ms in range(10_100, 15_000, 1_000):
        pool = after(pool, result_of(pool, "s", now_ms=at_ms))

    assert pool.miners[S].rhythm == Rhythm(14_100, BATCH_EPISODES, 1_000)


def test_a_new_round_begins_without_silence() -> None:
    pool = apply(stalled(Map()), events.RoundClosed(PHASE_MS))
    task = RoundTask(2, TASK, SPACE, 2 * PHASE_MS)
    pool = handed_out(apply_all(pool, decide_open(pool, task, b"seed", PHASE_MS)))

    assert pool.miners[S].rhythm == Rhythm()
    assert decide_stalled(pool, S, PHASE_MS + HALF_MS) == ()


# The manager.


@virtual_time
async def test_a_miner_that_only_beats_loses_its_search_within_the_phase() -> None:
    world = PoolWorld()
    world.start_round()
    silent = await RawMiner(world, "s").connect()
    assert (await silent.expect("assignment")).HasField("exploration")
    world.add_miner("t", Strength.STRONG)
    await world.pass_ms(PHASE_MS - 1_000)

    retyped = [event for event in world.history() if isinstance(event, events.Retyped)]
    assert [(event.miner, event.strength) for event in retyped] == [(S, Strength.WEAK)]
    # Looked at once in a heartbeat interval.
    assert HALF_MS < retyped[0].at_ms <= HALF_MS + silent.welcome.heartbeat_ms
    assert (await silent.expect("welcome")).reason == retyped[0].reason
    assert world.manager.state.miners[S].connected
    assert list(round_of(world.manager.state).free) == [0]
    await world.close()


@virtual_time
async def test_who_waits_for_its_model_to_be_counted_is_not_silent() -> None:
    world = PoolWorld()
    world.add_miner("t", Strength.WEAK)
    world.start_round()
    miner = await RawMiner(world, "s").connect()
    assignment = await miner.expect("assignment")
    report, model = trained(assignment, 355)
    # The manager asks for the model just before it would take the miner for stalled.
    await world.pass_ms(HALF_MS - 500)
    await miner.send(report)
    await world.pass_ms(9_000)
    await miner.serve_blob(model)
    await world.pass_ms(500)

    assert not any(isinstance(event, events.Retyped) for event in world.history())
    assert world.manager.state.round is not None
    assert world.manager.state.round.best is not None
    await world.close()
