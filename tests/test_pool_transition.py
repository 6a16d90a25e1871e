"""How the manager's records change with each event; a journal gives the same state again."""

import random

import msgspec
import pytest
from immutables import Map

from pool.decisions.admission import MAX_CONNECTED, refuse_join
from pool.decisions.advance import advance, hand_out
from pool.decisions.members import decide_join, decide_leave, decide_stalled
from pool.decisions.pay import OVERDUE, decide_overdue
from pool.decisions.results import decide_acceptance
from pool.decisions.rounds import blobs_due, decide_open
from pool.records import events
from pool.records.books import compute_lines
from pool.records.codec import decode_event, decode_state, encode_event, encode_state
from pool.records.events import AnyEvent
from pool.records.refusals import Refusal
from pool.records.state import KEPT_ASSIGNMENTS, Exploration, PoolState, Promise, RoundTask
from pool.records.strengths import Strength
from pool.records.transition import apply, apply_all
from pool.rules.audits import Fault
from pool.rules.delivery import Delivery
from pool.rules.payout import TOTAL_WEIGHT
from pool.rules.reliability import Finding
from pool.rules.reports import Refused, Stale, check
from pool.simulation.manager import empty_pool
from tests.pool_states import (
    SIGNED,
    SUBSPACE,
    after,
    best_of,
    draw,
    earned,
    handed_out,
    in_hand,
    open_round,
    result_of,
    round_of,
    valid_report,
    with_leases,
)
from tests.pool_world import PHASE_MS, SPACE, TASK, public

S, W = public("s"), public("w")


def credited(
    pool: PoolState, name: str = "s", correct: int = 300, now_ms: int = 1_000
) -> PoolState:
    return apply(pool, result_of(pool, name, correct, now_ms))


def next_round(pool: PoolState) -> PoolState:
    pool = apply(pool, events.RoundClosed(PHASE_MS))
    task = RoundTask(2, TASK, SPACE, 2 * PHASE_MS)
    return apply_all(pool, decide_open(pool, task, b"seed", PHASE_MS))


def test_an_accepted_result_takes_its_place_and_pays_its_work() -> None:
    before = handed_out(open_round(strong="s"))
    pool = credited(before, correct=270)
    miner = pool.miners[S]

    assert round_of(pool).searches[0].rewards == (270 / 360,)
    assert round_of(pool).searches[0].curve.best == 270 / 360
    assert miner.work == earned(pool, "s") > 0
    assert (miner.episodes, miner.accepted, miner.best_correct) == (1, 1, 270)
    assert pool.results_accepted == 1
    assert round_of(before).searches[0].rewards == (), "the old state is untouched"


def test_a_repeated_design_is_paid_once() -> None:
    pool = handed_out(open_round(strong="s"))
    report = valid_report(pool, "s")
    pool = credited(pool)
    earned = pool.miners[S].work
    checked = check(report.but(episode=1), pool, S, 2_000)
    pool = apply(pool, decide_acceptance(pool, checked, b"secret", False, 2_000))

    assert pool.miners[S].episodes == 2
    assert pool.miners[S].work == earned


def test_work_is_added_up_by_payout_address() -> None:
    pool = open_round(strong="s")
    pool = apply_all(pool, decide_join(pool, public("t"), S, Strength.STRONG, 0))
    pool = credited(credited(handed_out(pool), "s"), "t")

    (line,) = compute_lines(pool.books, 1, S, S, 0)
    assert (line.address, line.weight) == (S, TOTAL_WEIGHT)


def test_shares_and_lease_stay_when_a_miner_leaves() -> None:
    pool = credited(handed_out(open_round(strong="s")))
    left = apply_all(pool, decide_leave(pool, S, "cable", 2_000))

    assert not left.miners[S].connected
    assert left.strong == 0
    assert left.books.earned == pool.books.earned
    assert left.miners[S].current is None
    assert (set(round_of(left).free), round_of(left).free.score(0)) == ({0}, 300 / 360)
    assert left.miners[S].own == 0


def test_a_refused_result_that_takes_its_place_is_worth_nothing() -> None:
    pool = handed_out(open_round(strong="s"))
    refused = events.ResultRefused(
        0, S, in_hand(pool, "s").id, 0, Refusal.COUNT_DIFFERS, "one too many", True
    )
    pool = apply(pool, refused)

    assert round_of(pool).searches[0].rewards == (0.0,)
    assert dict(pool.miners[S].refused) == {Refusal.COUNT_DIFFERS: 1}
    assert earned(pool, "s") == 0


def test_a_refused_result_without_a_place_leaves_the_search_alone() -> None:
    pool = handed_out(open_round(strong="s"))
    refused = events.ResultRefused(
        0, S, in_hand(pool, "s").id, 7, Refusal.OUT_OF_ORDER, "too early", False
    )

    assert round_of(apply(pool, refused)).searches[0].rewards == ()


def test_late_results_are_counted_apart() -> None:
    late = events.ResultStale(0, S, 1, 0, "the train phase is over")

    assert apply(open_round(strong="s"), late).miners[S].stale == 1


def test_a_confirmed_best_of_a_weak_miner_counts_as_its_improvement() -> None:
    pool = apply(open_round(strong="s", weak="w"), events.BestConfirmed(0, best_of("s")))
    assert (pool.shared_bests, pool.weak_improvements) == (1, 0)

    improved = best_of("w", 310, from_weak_miner=True)
    pool = apply(pool, events.BestConfirmed(0, improved))
    assert (pool.shared_bests, pool.weak_improvements) == (2, 1)


def test_a_new_round_forgets_the_round_and_keeps_the_miners() -> None:
    pool = credited(handed_out(open_round(strong="s")))
    fresh = next_round(pool)

    assert (len(round_of(fresh).searches), len(fresh.books.earned)) == (0, 0)
    assert [round_.total for round_ in fresh.books.past] == [earned(pool, "s")]
    assert fresh.miners[S].work == fresh.miners[S].episodes == 0
    assert fresh.miners[S].own is None
    assert fresh.miners[S].accepted == 1
    assert round_of(fresh).seed != round_of(pool).seed
    assert round_of(fresh).first_assignment == pool.next_assignment


def test_a_round_that_is_open_is_not_opened_again() -> None:
    pool = open_round(strong="s")

    assert decide_open(pool, RoundTask(1, TASK, SPACE, PHASE_MS + 5), b"seed", 10) == ()


def test_a_round_that_is_closed_but_not_committed_keeps_its_best_over_a_restart() -> None:
    pool = apply(open_round(strong="s"), events.BestConfirmed(5, best_of("s")))
    pool = apply_all(pool, [events.RoundClosed(10), events.Restarted(11)])

    assert decide_open(pool, RoundTask(1, TASK, SPACE, PHASE_MS), b"seed", 12) == ()


def test_a_backup_that_becomes_weak_frees_the_search_that_it_covered() -> None:
    pool = handed_out(open_round(strong="sbc"))
    backups = round_of(pool).backups.set(S, public("b"))
    pool = pool.but(round=round_of(pool).but(backups=backups))
    pool = after(pool, *decide_leave(pool, S, "gone", 1_000))
    assert round_of(pool).searches[0].holder == public("b")

    pool = after(pool, *decide_join(pool, public("b"), public("b"), Strength.WEAK, 2_000))

    assert round_of(pool).searches[0].holder == b""
    assert set(round_of(pool).free) == {0, 1}
    assert pool.miners[public("b")].covers is None


@pytest.mark.parametrize(("strength", "holder"), [("weak", "b"), ("strong", "s")])
def test_only_a_strong_owner_takes_its_search_back_from_its_backup(
    strength: str, holder: str
) -> None:
    pool = handed_out(open_round(strong="sbc"))
    pool = pool.but(round=round_of(pool).but(backups=Map({S: public("b")})))
    pool = after(pool, *decide_leave(pool, S, "gone", 1_000))

    pool = after(pool, *decide_join(pool, S, S, Strength(strength), 2_000))

    assert round_of(pool).searches[0].holder == public(holder)
    assert in_hand(pool, holder).work == Exploration(0)
    assert 0 not in round_of(pool).free


def test_a_search_that_is_handed_on_takes_no_other_from_its_first_owner() -> None:
    pool = handed_out(open_round(strong="sbd"))
    pool = after(pool, result_of(pool, "b", 340))
    for key in (S, public("b")):
        pool = after(pool, events.Retyped(1_000, key, Strength.WEAK, "slow"))
    pool = after(pool, events.Retyped(2_000, S, Strength.STRONG, "fast"))
    assert (pool.miners[S].own, round_of(pool).searches[0].owner) == (1, S)

    pool = after(pool, *decide_join(pool, public("c"), public("c"), Strength.STRONG, 3_000))
    assert in_hand(pool, "c").work == Exploration(0)
    pool = after(pool, result_of(pool, "s", 350))

    assert pool.miners[S].own == 1
    assert in_hand(pool, "s").work == Exploration(1)


def test_who_is_forgotten_leaves_nothing_in_the_books() -> None:
    pool = credited(handed_out(open_round(strong="s")))
    assert S in pool.books.standings
    task = RoundTask(2, TASK, SPACE, 2 * PHASE_MS)

    pool = apply(pool, events.RoundOpened(PHASE_MS, task, b"seed", 1, forgotten=(S,)))

    assert S not in pool.miners
    assert S not in pool.books.standings


def test_leases_for_weak_miners_that_are_left_alone_are_handed_out_in_portions() -> None:
    pool = handed_out(open_round(strong="s", weak="vw"))

    alone = advance(pool, decide_leave(pool, S, "gone", 1_000), draw, 1_000)

    assert alone.due == (public("v"), W)
    assert [type(event) for event in alone.happened] == [events.Left]


def test_a_full_pool_takes_nobody_who_has_left_before_either() -> None:
    pool = open_round(strong="s")
    pool = after(pool, *decide_leave(pool, S, "gone", 1_000)).but(weak=MAX_CONNECTED)

    refusal = refuse_join(pool, S, 2_000)

    assert refusal is not None
    assert refusal[0] == "pool-full"


def test_auto_is_typed_anew_with_each_round_by_what_it_delivered() -> None:
    pool = handed_out(open_round(auto="a"))
    assert pool.miners[public("a")].strength is Strength.STRONG

    pool = next_round(credited(pool, "a", now_ms=20_000))

    assert pool.miners[public("a")].strength is Strength.WEAK
    assert (pool.strong, pool.weak) == (0, 1)
    assert "candidates took" in pool.miners[public("a")].strength_reason


def test_time_without_work_does_not_count_against_a_miner() -> None:
    pool, _ = hand_out(open_round(strong="s"), [S], draw, 5_000)
    given = in_hand(pool, "s").id
    pool = apply(pool, events.LeaseAccepted(5_000, S, given, SIGNED))
    pool = credited(pool, now_ms=6_500)

    assert pool.miners[S].delivery.measured_ms == 1_500


def test_silence_at_work_counts_at_the_rounds_end() -> None:
    pool = credited(handed_out(open_round(strong="s")), now_ms=1_000)
    pool = apply(pool, events.RoundClosed(PHASE_MS + 700))

    assert pool.miners[S].delivery.measured_ms == PHASE_MS


def test_searches_of_a_round_have_seeds_of_their_own() -> None:
    searches = round_of(handed_out(open_round(strong="st"))).searches

    assert searches[0].seed != searches[1].seed


def test_an_exploitation_counts_its_own_episodes() -> None:
    pool = handed_out(open_round(strong="s", weak="w"))
    pool = credited(after(pool, events.BaseArrived(0, best_of("s"))), "w")

    assert in_hand(pool, "w").episodes == 1
    assert round_of(pool).searches[0].rewards == ()


def test_the_newest_assignments_of_a_miner_are_kept() -> None:
    pool = handed_out(open_round(strong="s", weak="w"))
    for correct in range(300, 306):
        best = msgspec.structs.replace(best_of("s", correct), model_hash=bytes([correct % 256]))
        pool = after(pool, events.BaseArrived(0, best))
    given = [assignment.id for assignment in pool.miners[W].given]

    assert len(given) == 4
    assert pool.miners[W].assignment(given[0]).id == given[0]
    with pytest.raises(LookupError, match="is not this miner's"):
        pool.miners[W].assignment(given[0] - 1)


def test_a_restart_disconnects_everybody_and_keeps_the_leases() -> None:
    pool = apply(handed_out(open_round(strong="s", weak="w")), events.Restarted(500))

    assert (pool.strong, pool.weak) == (0, 0)
    assert pool.miners[S].own == 0
    assert not round_of(pool).free, "the lease waits for its miner"
    pool = after(pool, *decide_join(pool, S, S, Strength.STRONG, 600))
    assert round_of(pool).searches[0].holder == S


def test_who_does_not_answer_in_time_fails_its_audit() -> None:
    pool = credited(handed_out(open_round(strong="s")))

    (lost,) = decide_overdue(pool, (S, W), PHASE_MS)

    assert (lost.miner, lost.reason, lost.detail) == (S, Fault.OVERDUE, OVERDUE)


def test_the_next_round_keeps_what_open_audits_and_the_promise_need() -> None:
    pool = next_round(credited(handed_out(open_round(strong="s"))))
    (pending,) = pool.audits.values()
    assert blobs_due(pool) == frozenset()
    repeated = pending.but(audit=pending.audit.but(weights_hash=b"w" * 32))
    pool = pool.but(audits=pool.audits.set(S, repeated))
    assert blobs_due(pool) == {b"w" * 32}
    promise = Promise(1, b"", b"c" * 32, b"m" * 32, (), b"p" * 32)
    pool = apply(pool, events.Committed(PHASE_MS, promise))
    assert blobs_due(pool) == {b"w" * 32, b"m" * 32}


def test_events_before_the_first_round() -> None:
    pool = apply_all(PoolState(), decide_join(PoolState(), S, S, Strength.STRONG, 0))

    assert apply(pool, events.RoundClosed(0)) == pool
    assert apply_all(pool, decide_leave(pool, S, "cable", 0)).round is None


NOTHING_FOUND = Finding(5, 0.0, 4, 0.0, 0.0, 0.0, 1, 1, 1, ())


def any_course(rng: random.Random, length: int) -> tuple[PoolState, list[AnyEvent]]:
    """A pool after so many random inputs, and all its events."""
    pool, happened, now_ms, number = PoolState(), list[AnyEvent](), 0, 0
    for _ in range(length):
        now_ms += rng.randint(0, 400)
        name = rng.choice("abcdef")
        key, miner = public(name), pool.miners.get(public(name))
        inputs: tuple[AnyEvent, ...] = ()
        match rng.randint(0, 9):
            case 0 if rng.random() < 0.3 or pool.round is None:
                number += 1
                task = RoundTask(number, TASK, SPACE, now_ms + 10_000)
                inputs = decide_open(pool, task, b"secret", now_ms)
            case 1 | 2:
                strength = rng.choice(list(Strength))
                inputs = decide_join(pool, key, key, strength, now_ms)
            case 3 if miner and miner.connected:
                inputs = decide_leave(pool, key, "cable", now_ms)
            case 4 | 5 | 6 if miner and miner.current and miner.current.is_accepted:
                if pool.round and pool.round.is_open and now_ms < pool.round.task.train_end_ms:
                    inputs = (result_of(pool, name, rng.randint(0, 360), now_ms),)
            case 7 if pool.round is not None and pool.round.is_open:
                best = best_of(name, rng.randint(0, 360))
                inputs = (events.BestConfirmed(now_ms, best), events.BaseArrived(now_ms, best))
            case 8:
                inputs = decide_stalled(pool, key, now_ms)
            case 9 if pool.round is not None and pool.round.is_open:
                protected, backup = rng.sample("abcdef", 2)
                backups = ((public(protected), public(backup)),)
                inputs = (events.BackupsDesignated(now_ms, backups, NOTHING_FOUND),)
        pool, done, due = advance(pool, inputs, draw, now_ms)
        pool, steps = hand_out(pool, due, draw, now_ms)
        happened += [*done, *steps]
        for other in pool.miners.values():
            if other.current is not None and not other.current.is_accepted:
                accepted = events.LeaseAccepted(now_ms, other.key, other.current.id, SIGNED)
                pool = apply(pool, accepted)
                happened.append(accepted)
    return pool, happened


@pytest.mark.parametrize("seed", range(8))
def test_events_and_states_survive_their_bytes(seed: int) -> None:
    pool, happened = any_course(random.Random(seed), 150)
    again = apply_all(PoolState(), (decode_event(encode_event(event)) for event in happened))

    assert again == pool
    assert decode_state(encode_state(pool)) == pool


@pytest.mark.parametrize("seed", range(8))
def test_tables_that_change_in_place_come_to_the_same(seed: int) -> None:
    pool, happened = any_course(random.Random(seed), 150)

    assert entries_of(apply_all(empty_pool(), happened)) == entries_of(pool)


def entries_of(pool: PoolState) -> object:
    """All that a state holds, whatever kind its tables are of."""
    return msgspec.to_builtins(pool, builtin_types=(bytes,), enc_hook=dict)


@pytest.mark.parametrize("seed", range(8))
def test_counts_and_holders_agree_whatever_happens(seed: int) -> None:
    pool, _ = any_course(random.Random(seed), 150)
    connected = [miner for miner in pool.miners.values() if miner.connected]
    strengths = [miner.strength for miner in connected]
    round_ = round_of(pool)

    assert (pool.strong, pool.weak) == (
        strengths.count(Strength.STRONG),
        strengths.count(Strength.WEAK),
    )
    for number, search in round_.searches.items():
        holders = [
            miner.key
            for miner in connected
            if miner.current is not None and getattr(miner.current.work, "search", None) == number
        ]
        assert holders == ([search.holder] if search.holder else []), "one at a time"
        assert not (number in round_.free and search.holder)
        is_owned = any(miner.own == number for miner in pool.miners.values())
        assert search.holder or number in round_.free or is_owned, "none is lost"


def test_a_round_that_begins_anew_pays_for_the_time_of_both_jobs() -> None:
    pool = handed_out(open_round(strong="s"))
    pool = after(pool, result_of(pool, "s", now_ms=5_000))
    other = RoundTask(1, TASK, SUBSPACE, PHASE_MS)
    pool = apply_all(pool, decide_open(pool, other, b"seed", 6_000))

    pool = with_leases(hand_out(pool, [S], draw, 6_000)[0])
    assert pool.miners[S].worked_ms(8_000) == 8_000
    pool = apply(pool, events.RoundClosed(9_000))
    (pace,) = pool.books.standing(S).pace.past
    assert pace[1] == 9_000


@pytest.mark.parametrize(("results", "worked_ms"), [((), 0), ((3_000, 5_000), 5_000)])
def test_time_at_work_counts_up_to_the_last_result_before_a_restart(
    results: tuple[int, ...], worked_ms: int
) -> None:
    pool = handed_out(open_round(strong="s"))
    for at_ms in results:
        pool = after(pool, result_of(pool, "s", now_ms=at_ms))
    pool = apply(pool, events.Restarted(9_000))

    assert pool.miners[S].worked_ms(9_000) == pool.miners[S].rhythm.last_ms == worked_ms


def test_a_result_for_an_assignment_that_was_replaced_long_ago_is_stale() -> None:
    pool = handed_out(open_round(strong="s"))
    reports = []
    for at_ms in range(KEPT_ASSIGNMENTS):
        reports.append(valid_report(pool, "s"))
        pool = after(pool, *decide_join(pool, S, S, Strength.STRONG, at_ms))

    with pytest.raises(Stale, match="replaced long ago"):
        check(reports[0], pool, S, 100)
    check(reports[1], pool, S, 100)
    with pytest.raises(Refused, match="is not this miner's"):
        check(reports[0].but(assignment_id=pool.next_assignment), pool, S, 100)


def test_a_round_is_split_for_the_explorers_that_there_are_after_retyping() -> None:
    pool = handed_out(open_round(strong="st"))
    speeds = {S: Delivery(5.0, 10.0 * PHASE_MS), public("t"): Delivery(20.0, 1.0 * PHASE_MS)}
    for key, speed in speeds.items():
        measured = pool.miners[key].but(delivery=speed)
        pool = pool.but(miners=pool.miners.set(key, measured))
    pool = apply(pool, events.RoundClosed(PHASE_MS))
    task = RoundTask(2, TASK, SPACE, 2 * PHASE_MS)

    happened = decide_open(pool, task, b"seed", PHASE_MS)

    assert [e.strength for e in happened if isinstance(e, events.Retyped)] == [Strength.WEAK]
    assert [e.explorers for e in happened if isinstance(e, events.RoundOpened)] == [1]
