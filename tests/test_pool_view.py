"""What a pool shows of itself."""

import json
from dataclasses import asdict

from node.identity import format_address
from pool.decisions.members import decide_leave
from pool.decisions.rounds import decide_open
from pool.records import events
from pool.records.refusals import Refusal
from pool.records.state import PoolState, Promise, RoundTask
from pool.records.transition import apply, apply_all
from pool.records.view import event_view, miner_views, pool_view
from tests.pool_states import after, best_of, handed_out, open_round
from tests.pool_world import PHASE_MS, SPACE, TASK, public


def refused(pool: PoolState, name: str, reason: Refusal) -> PoolState:
    return apply(pool, events.ResultRefused(0, public(name), 1, 0, reason, "", False))


def test_the_pool_as_a_whole() -> None:
    pool = handed_out(open_round(strong="st", weak="w"))
    pool = refused(pool, "s", Refusal.HASHES)
    pool = refused(pool, "t", Refusal.HASHES)
    before = pool_view(pool, b"manager", 15, 0)
    pool = apply(pool, events.BestConfirmed(0, best_of("w", 310, from_weak_miner=True)))
    promise = Promise(1, b"claim", bytes(32), bytes(32), (), bytes(32))
    pool = apply(pool, events.Committed(0, promise))
    after = pool_view(pool, b"manager", 15, 0)

    assert (before.round, before.strong_miners, before.weak_miners) == (1, 2, 1)
    assert before.fee_permille == 15
    assert before.best is None
    assert before.results_refused == {"hashes": 2}
    assert after.best is not None
    assert (after.best.correct, after.best.from_weak_miner) == (310, True)
    assert (after.committed, after.shared_bests, after.weak_improvements) == (True, 1, 1)


def test_a_round_that_is_prepared_is_not_shown_before_it_starts() -> None:
    pool = apply(open_round(strong="s"), events.BestConfirmed(0, best_of("s", 310)))
    pool = apply(pool, events.RoundClosed(PHASE_MS))
    task = RoundTask(2, TASK, SPACE, 3 * PHASE_MS, 2 * PHASE_MS)
    pool = apply_all(pool, decide_open(pool, task, b"seed", PHASE_MS))
    before = pool_view(pool, b"manager", 15, 2 * PHASE_MS - 1)
    started = pool_view(pool, b"manager", 15, 2 * PHASE_MS)

    assert before.best is not None
    assert (before.round, before.best.correct) == (1, 310)
    assert (started.round, started.best) == (2, None)


def test_a_pool_before_its_first_round() -> None:
    assert pool_view(PoolState(), b"manager", 15, 0).round == 0
    assert miner_views(PoolState()) == ()


def test_what_each_miner_does() -> None:
    pool = handed_out(open_round(strong="st", weak="w"))
    pool = apply_all(pool, decide_leave(pool, public("t"), "cable", 0))
    activities = [view.activity for view in miner_views(pool)]
    best = best_of("s", 310)
    pool = after(pool, events.BestConfirmed(0, best), events.BaseArrived(0, best))

    assert activities == [
        "explores subspace 0",
        "disconnected",
        "idle: a weak miner waits for the first confirmed best of the round",
    ]
    assert miner_views(pool)[2].activity == "trains on from 310 correct"
    assert miner_views(apply(pool, events.RoundClosed(0)))[0].activity == "idle: no round is open"


def test_a_miners_row() -> None:
    pool = refused(open_round(strong="s"), "s", Refusal.SIZE)
    row = asdict(miner_views(pool)[0])

    assert row["payout_address"] == format_address(public("s"))
    assert (row["strength"], row["connected"], row["size"]) == ("strong", True, 360)
    assert row["refused"] == {"size": 1}


def test_failed_registrations_are_among_the_refused() -> None:
    pool = refused(open_round(strong="s"), "s", Refusal.SIZE)
    for rule in ("nonce", "nonce", "timeout"):
        pool = apply(pool, events.TurnedAway(0, b"", rule))

    assert pool_view(pool, b"manager", 15, 0).results_refused == {
        "registration-nonce": 2,
        "registration-timeout": 1,
        "size": 1,
    }


def test_an_event_is_shown_with_its_inputs() -> None:
    left = event_view(7, events.Left(5, public("s"), "cable"))
    best = event_view(8, events.BestConfirmed(6, best_of("s", 310)))

    assert (left.number, left.at_ms, left.kind, left.miner) == (7, 5, "left", public("s"))
    assert json.loads(left.detail) == {"reason": "cable"}
    shown = json.loads(best.detail)["best"]
    assert (best.kind, best.miner, shown["correct"]) == ("best-confirmed", b"", 310)
    assert shown["genotype"] == best_of("s", 310).genotype.to_bytes().hex()
