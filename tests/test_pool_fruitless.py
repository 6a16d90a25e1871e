"""Searches of which nothing is trained: results at no cost don't burn them."""

import pytest

from pool.decisions.members import decide_join, decide_leave
from pool.decisions.results import MAX_FRUITLESS, decide_acceptance, decide_fruitless
from pool.records import events
from pool.records.refusals import Refusal
from pool.records.state import Exploration, PoolState, Search
from pool.records.strengths import Strength
from pool.records.transition import apply
from pool.rules.reports import Report, Stale, check
from tests.pool_states import (
    after,
    handed_out,
    in_hand,
    open_round,
    result_of,
    round_of,
    valid_report,
)
from tests.pool_world import PoolWorld, public
from tests.test_pool_manager import RawMiner, failed, trained
from tests.virtual_time import virtual_time

S, T = public("s"), public("t")


def failure(pool: PoolState, name: str) -> Report:
    """The next result of a miner, which says that its training failed."""
    report = valid_report(pool, name, 0)
    nothing = report.but(epochs=0, model_hash=b"", weights_hash=b"", states=())
    return nothing.but(precision="", failure="no memory")


def failing(pool: PoolState, name: str, results: int) -> PoolState:
    """The state after so many failures in a row."""
    for _ in range(results):
        checked = check(failure(pool, name), pool, public(name), 1_000)
        pool = apply(pool, decide_acceptance(pool, checked, b"secret", False, 1_000))
    return pool


def search(pool: PoolState) -> Search:
    return round_of(pool).searches[0]


def with_two_trained() -> PoolState:
    pool = handed_out(open_round(strong="s"))
    for correct in (300, 320):
        pool = after(pool, result_of(pool, "s", correct))
    return pool


def test_who_trains_nothing_for_long_gives_the_search_up_as_it_was() -> None:
    pool = failing(with_two_trained(), "s", MAX_FRUITLESS - 1)
    assert decide_fruitless(pool, S, 1_000) == ()
    pool = failing(pool, "s", 1)
    late = failure(pool, "s")

    given_up, retyped = decide_fruitless(pool, S, 1_000)
    pool = after(pool, given_up, retyped)

    assert isinstance(retyped, events.Retyped)
    assert retyped.reason == f"{MAX_FRUITLESS} results in a row came without any training"
    assert search(pool).rewards == (300 / 360, 320 / 360)
    assert search(pool).curve.best == 320 / 360
    assert pool.miners[S].strength is Strength.WEAK
    with pytest.raises(Stale, match="replaced long ago"):
        check(late, pool, S, 1_000)


def test_one_training_begins_the_count_anew() -> None:
    pool = failing(with_two_trained(), "s", MAX_FRUITLESS - 1)
    pool = failing(after(pool, result_of(pool, "s", 200)), "s", 1)

    assert decide_fruitless(pool, S, 1_000) == ()
    assert len(search(pool).rewards) == MAX_FRUITLESS + 3


def test_refused_results_are_no_training_either() -> None:
    pool = failing(with_two_trained(), "s", MAX_FRUITLESS - 1)
    refused = events.ResultRefused(
        1_000, S, in_hand(pool, "s").id, 0, Refusal.GENOTYPE, "", takes_place=True
    )

    assert len(decide_fruitless(apply(pool, refused), S, 1_000)) == 2


def test_whoever_takes_over_goes_on_after_the_last_training() -> None:
    pool = failing(with_two_trained(), "s", 9)
    pool = after(pool, *decide_leave(pool, S, "cable", 2_000))
    pool = after(pool, *decide_join(pool, T, T, Strength.STRONG, 3_000))

    assert in_hand(pool, "t").work == Exploration(0)
    assert search(pool).rewards == (300 / 360, 320 / 360)


def test_who_comes_back_finds_the_search_as_it_left_it() -> None:
    pool = failing(with_two_trained(), "s", 9)
    pool = after(pool, *decide_leave(pool, S, "cable", 2_000))
    pool = after(pool, *decide_join(pool, S, S, Strength.STRONG, 3_000))

    assert len(search(pool).rewards) == 11
    # Nor does coming back begin the count anew.
    assert len(decide_fruitless(failing(pool, "s", MAX_FRUITLESS - 9), S, 3_000)) == 2


@virtual_time
async def test_a_stranger_that_fails_on_purpose_does_not_burn_an_abandoned_search() -> None:
    world = PoolWorld()
    world.start_round()
    honest = await RawMiner(world, "honest").connect()
    order = await honest.expect("assignment")
    await honest.deliver(order, 330)
    await honest.link.close("cable")
    await world.pass_ms(100)
    stranger = await RawMiner(world, "stranger").connect()
    taken = await stranger.expect("assignment")
    assert taken.exploration.search_seed == order.exploration.search_seed
    for number in range(MAX_FRUITLESS):
        await stranger.send(failed(taken, 1 + number))
        if number % 20 == 0:
            await world.pass_ms(50)
    welcome = await stranger.expect("welcome")

    assert "without any training" in welcome.reason
    assert list(round_of(world.manager.state).searches[0].rewards) == [330 / 360]
    again = await RawMiner(world, "honest").connect()
    resumed = await again.expect("assignment")
    assert list(resumed.exploration.rewards) == [330 / 360]
    await again.send(trained(resumed, 290, 1)[0])
    await world.pass_ms(100)
    assert world.manager.state.miners[public("honest")].accepted == 2
    await world.close()
