"""Whom a full pool lets in, sends away and forgets: strangers that bring nothing make room."""

import pytest

from pool.decisions import admission
from pool.decisions.admission import (
    IDLE_MS,
    MAX_CONNECTED,
    RESERVED,
    decide_forgotten,
    is_idle,
    refuse_join,
)
from pool.decisions.members import decide_join, decide_leave
from pool.records.books import Books
from pool.records.state import PoolState
from pool.records.strengths import Strength
from pool.records.transition import apply, apply_all
from pool.rules.appraisal import Standing
from pool.rules.audits import CERTAIN_SHARES
from pool.rules.worth import Worth
from tests.pool_states import after, handed_out, open_round, result_of
from tests.pool_world import PHASE_MS, PoolWorld, public
from tests.test_pool_manager import RawMiner
from tests.virtual_time import virtual_time

S = public("s")


def proven(pool: PoolState, key: bytes) -> PoolState:
    """The pool with a miner that has shown its work."""
    return pool.but(books=Books(standings=pool.books.standings.set(key, Standing(CERTAIN_SHARES))))


def test_a_crowd_of_strangers_leaves_room_for_miners_with_paid_shares() -> None:
    pool = open_round().but(strong=MAX_CONNECTED - RESERVED)

    refusal = refuse_join(pool, S, 0)
    assert refusal is not None
    assert refusal[0] == "pool-full"
    assert refuse_join(proven(pool, S), S, 0) is None
    full = proven(pool, S).but(strong=MAX_CONNECTED)
    assert refuse_join(full, S, 0) == (
        "pool-full",
        f"the pool serves {MAX_CONNECTED} such miners at most",
    )


def test_only_in_a_full_pool_and_only_without_paid_shares_is_a_stranger_idle() -> None:
    pool = handed_out(open_round(strong="s"))
    full = pool.but(strong=MAX_CONNECTED - RESERVED)
    worked = after(pool, result_of(pool, "s")).but(strong=MAX_CONNECTED - RESERVED)

    assert is_idle(full, full.miners[S], IDLE_MS + 1)
    assert not is_idle(full, full.miners[S], IDLE_MS)
    assert not is_idle(pool, pool.miners[S], IDLE_MS + 1)
    assert not is_idle(worked, worked.miners[S], IDLE_MS + 1)


def test_results_that_cost_nothing_keep_no_place() -> None:
    pool = handed_out(open_round(strong="s"))
    free = result_of(pool, "s").but(work=0, worth=Worth.UNTRAINED, trainings=(), audit=None)
    pool = after(pool, free).but(strong=MAX_CONNECTED - RESERVED)

    assert pool.miners[S].accepted == 1
    assert is_idle(pool, pool.miners[S], IDLE_MS + 1)


def test_strangers_that_left_are_forgotten_and_nobody_with_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = handed_out(open_round(strong="sw"))
    pool = after(pool, result_of(pool, "s"))
    pool = after(pool, *decide_leave(pool, S, "gone", 2_000))
    for number in range(5):
        key = public(f"stranger {number}")
        pool = apply_all(pool, decide_join(pool, key, key, Strength.WEAK, 2_000))
        pool = apply_all(pool, decide_leave(pool, key, "gone", 2_000))
    assert decide_forgotten(pool, 3_000) is None
    monkeypatch.setattr(admission, "MAX_KNOWN", 7 + admission.SPARE)
    forgotten = decide_forgotten(pool, 3_000)

    assert forgotten is not None
    pool = apply(pool, forgotten)
    assert set(pool.miners) == {S, public("w")}
    assert decide_forgotten(pool, 3_000) is None


@virtual_time
async def test_fresh_keys_do_not_lock_newcomers_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_KNOWN", 12)
    monkeypatch.setattr(admission, "SPARE", 4)
    world = PoolWorld()
    for number in range(12):
        stranger = await RawMiner(world, f"stranger {number}").connect(Strength.WEAK)
        await stranger.link.close("never to be seen again")
    await world.pass_ms(3_000)
    world.start_round()

    newcomer = await RawMiner(world, "newcomer").connect()
    assert (await newcomer.expect("assignment")).HasField("exploration")
    await world.close()


@virtual_time
async def test_idle_strangers_make_room_in_a_full_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_CONNECTED", 3)
    monkeypatch.setattr(admission, "RESERVED", 1)
    monkeypatch.setattr(admission, "IDLE_MS", PHASE_MS)
    world = PoolWorld()
    world.start_round()
    useful = await RawMiner(world, "useful").connect()
    await useful.deliver(await useful.expect("assignment"), 300)
    idle = await RawMiner(world, "idle").connect(Strength.WEAK)
    await world.pass_ms(3 * PHASE_MS)

    assert "has no paid share yet" in await idle.closed()
    assert world.manager.state.miners[public("useful")].connected
    await RawMiner(world, "newcomer").connect()
    await world.close()
