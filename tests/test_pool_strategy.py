"""Who does what: strong explore, weak exploit, nobody is left without a reason."""

import pytest

from pool.decisions.advance import advance, hand_out
from pool.decisions.members import decide_join, decide_leave
from pool.records import events
from pool.records.state import Exploitation, Exploration, PoolState, Search
from pool.records.strengths import Strength
from pool.records.transition import apply, apply_all
from pool.rules.curve import Curve
from pool.rules.delivery import MAX_BUDGET, MIN_BUDGET
from pool.rules.strategy import NO_BEST_YET, NO_ROUND, Rest, Step, step_of
from tests.pool_states import after, best_of, draw, handed_out, open_round, result_of, round_of
from tests.pool_world import public


def steps(pool: PoolState) -> dict[str, Step]:
    """What each connected miner should do, by name."""
    names = {public(name): name for name in "stuvwxyz"}
    connected = [*pool.connected(Strength.STRONG), *pool.connected(Strength.WEAK)]
    return {names[key]: step_of(pool, pool.miners[key]) for key in connected}


def with_rewards(pool: PoolState, number: int, *rewards: float) -> PoolState:
    search: Search = round_of(pool).searches[number]
    search = search.but(rewards=rewards, curve=Curve.of(rewards[:5]))
    searches = round_of(pool).searches.set(number, search)
    return pool.but(round=round_of(pool).but(searches=searches))


def joins(pool: PoolState, names: str, strength: Strength = Strength.STRONG) -> PoolState:
    for name in names:
        pool = after(pool, *decide_join(pool, public(name), public(name), strength, 0))
    return pool


def leaves(pool: PoolState, names: str) -> PoolState:
    for name in names:
        pool = after(pool, *decide_leave(pool, public(name), "cable", 0))
    return pool


def test_strong_miners_explore_a_subspace_each_and_weak_ones_wait_for_a_best() -> None:
    assert steps(handed_out(open_round(strong="st", weak="w"))) == {
        "s": Exploration(0),
        "t": Exploration(1),
        "w": Rest(NO_BEST_YET),
    }


def test_weak_miners_train_on_from_the_best_once_its_weights_are_here() -> None:
    best = best_of("s")
    pool = handed_out(open_round(strong="s", weak="w"))
    pool = after(pool, events.BestConfirmed(0, best))

    assert steps(pool)["w"] == Rest(NO_BEST_YET)
    pool = after(pool, events.BaseArrived(0, best))
    assert steps(pool)["w"] == Exploitation(best)
    current = pool.miners[public("w")].current
    assert current is not None
    assert current.work == Exploitation(best)


def test_only_weak_miners_are_due_when_a_base_arrives() -> None:
    pool = handed_out(open_round(strong="st", weak="vw"))

    assert set(advance(pool, (events.BaseArrived(0, best_of("s")),), draw, 0).due) == {
        public("v"),
        public("w"),
    }


def test_a_result_concerns_nobody_but_its_miner() -> None:
    pool = handed_out(open_round(strong="st", weak="w"))
    advanced = advance(pool, (result_of(pool, "s"),), draw, 1_000)

    assert (len(advanced.happened), advanced.due) == (1, ())


def test_an_abandoned_search_goes_to_the_next_strong_miner_best_first() -> None:
    pool = handed_out(open_round(strong="stu"))
    pool = with_rewards(with_rewards(pool, 0, 0.5), 2, 0.4, 0.9)
    pool = joins(leaves(pool, "su"), "xyz")

    found = steps(pool)
    assert (found["x"], found["y"], found["z"]) == (Exploration(2), Exploration(0), Exploration(3))
    assert round_of(pool).searches[2].owner == public("x")


def test_a_returning_miner_goes_on_with_its_own_search() -> None:
    pool = leaves(handed_out(open_round(strong="st")), "st")

    assert steps(joins(pool, "ts")) == {"s": Exploration(0), "t": Exploration(1)}


def test_a_miner_whose_search_was_handed_on_gets_another() -> None:
    pool = joins(leaves(handed_out(open_round(strong="s")), "s"), "t")

    assert steps(joins(pool, "s")) == {"t": Exploration(0), "s": Exploration(1)}


def test_weak_miners_alone_take_small_leases_and_then_exploit() -> None:
    pool = handed_out(open_round(weak="vw"))
    assert steps(pool) == {"v": Exploration(0), "w": Exploration(1)}

    best = best_of("v")
    pool = after(pool, events.BestConfirmed(0, best), events.BaseArrived(0, best))
    for episode in range(MIN_BUDGET):
        assert steps(pool)["v"] == Exploration(0), episode
        pool = after(pool, result_of(pool, "v"))

    assert steps(pool) == {"v": Exploitation(best), "w": Exploration(1)}
    assert set(round_of(pool).free) == {0}, "its small lease is over"


def test_a_strong_miner_ends_the_exploration_of_weak_ones_and_goes_on_with_it() -> None:
    pool = joins(handed_out(open_round(weak="w")), "s")

    assert steps(pool) == {"w": Rest(NO_BEST_YET), "s": Exploration(0)}
    assert round_of(pool).searches[0].holder == public("s")


def test_weak_miners_explore_again_when_the_last_strong_one_has_left() -> None:
    pool = leaves(handed_out(open_round(strong="s", weak="w")), "s")

    assert steps(pool) == {"w": Exploration(0)}


def test_without_an_open_round_everybody_rests() -> None:
    pool = apply(open_round(strong="s", weak="w"), events.RoundClosed(0))

    assert steps(pool) == {"s": Rest(NO_ROUND), "w": Rest(NO_ROUND)}
    assert steps(pool.but(round=None)) == {"s": Rest(NO_ROUND), "w": Rest(NO_ROUND)}


def test_who_rests_is_told_once() -> None:
    pool = open_round(weak="w")
    pool = apply_all(pool, decide_join(pool, public("s"), public("s"), Strength.STRONG, 0))
    pool, first = hand_out(pool, [public("w")], draw, 0)

    assert first == (events.Rested(0, public("w"), NO_BEST_YET),)
    assert hand_out(pool, [public("w")], draw, 0)[1] == ()


def test_who_is_gone_gets_nothing() -> None:
    pool = leaves(open_round(strong="s"), "s")

    assert hand_out(pool, [public("s")], draw, 0)[1] == ()


def test_who_has_filled_a_search_gets_a_new_one() -> None:
    pool = with_rewards(handed_out(open_round(strong="st")), 0, *(0.5,) * MAX_BUDGET)

    assert steps(pool) == {"s": Exploration(2), "t": Exploration(1)}


@pytest.mark.parametrize(("results", "budget"), [(0, MIN_BUDGET), (10, 25)])
def test_a_lease_counts_on_what_the_miner_delivers(results: int, budget: int) -> None:
    pool = open_round(strong="s")
    miner = pool.miners[public("s")]
    delivery = miner.delivery
    for _ in range(results):
        delivery = delivery.then(1, 1_000)
    pool = pool.but(miners=pool.miners.set(miner.key, miner.but(delivery=delivery)))
    _, given = hand_out(pool, [miner.key], draw, 0)

    assert [event.budget for event in given if isinstance(event, events.LeaseGranted)] == [budget]
