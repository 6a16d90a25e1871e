"""What a pool shows of itself."""

from dataclasses import asdict

from node.identity import format_address
from pool.records import transition
from pool.records.state import PoolState, Refusal
from pool.records.view import miner_views, pool_view
from tests.pool_states import best_of, handed_out, open_round
from tests.pool_world import public


def test_the_pool_as_a_whole() -> None:
    pool = handed_out(open_round(strong="st", weak="w"))
    pool = transition.refused(pool, public("s"), Refusal.HASHES)
    pool = transition.refused(pool, public("t"), Refusal.HASHES)
    before = pool_view(pool, b"manager", False)
    pool = transition.confirmed(pool, best_of("w", 310, from_weak_miner=True))
    after = pool_view(pool, b"manager", True)

    assert (before.round, before.strong_miners, before.weak_miners) == (1, 2, 1)
    assert before.best is None
    assert before.results_refused == {"hashes": 2}
    assert after.best is not None
    assert (after.best.correct, after.best.from_weak_miner) == (310, True)
    assert (after.committed, after.shared_bests, after.weak_improvements) == (True, 1, 1)


def test_a_pool_before_its_first_round() -> None:
    assert pool_view(PoolState(), b"manager", False).round == 0
    assert miner_views(PoolState()) == ()


def test_what_each_miner_does() -> None:
    pool = handed_out(open_round(strong="st", weak="w"))
    pool = transition.left(pool, public("t"))
    activities = [view.activity for view in miner_views(pool)]
    best = best_of("s", 310)
    pool = handed_out(transition.with_base(transition.confirmed(pool, best), best))

    assert activities == [
        "explores subspace 0",
        "disconnected",
        "idle: a weak miner waits for the first confirmed best of the round",
    ]
    assert miner_views(pool)[2].activity == "trains on from 310 correct"
    assert miner_views(transition.closed(pool))[0].activity == "idle: no round is open"


def test_a_miners_row() -> None:
    pool = transition.refused(open_round(strong="s"), public("s"), Refusal.SIZE)
    row = asdict(miner_views(pool)[0])

    assert row["payout_address"] == format_address(public("s"))
    assert (row["strength"], row["connected"], row["size"]) == ("strong", True, 360)
    assert row["refused"] == {"size": 1}


def test_failed_registrations_are_among_the_refused() -> None:
    pool = transition.refused(open_round(strong="s"), public("s"), Refusal.SIZE)
    for rule in ("nonce", "nonce", "timeout"):
        pool = transition.turned_away(pool, rule)

    assert pool_view(pool, b"manager", False).results_refused == {
        "registration-nonce": 2,
        "registration-timeout": 1,
        "size": 1,
    }
