"""A clock that is set: nobody is lost, too slow, unpaid or banned for it."""

import asyncio

from node.clock import LoopClock
from pool.decisions.members import decide_join
from pool.manager.timekeeper import MIN_STEP_MS, Timekeeper
from pool.records import events
from pool.records.strengths import Strength
from pool.records.transition import apply
from tests.pool_states import after, handed_out, open_round, result_of
from tests.pool_world import PHASE_MS, PoolWorld, public
from tests.test_pool_manager import RawMiner
from tests.virtual_time import virtual_time

S = public("s")
HOUR_MS = 3_600_000


def test_a_step_leaves_speed_pay_and_bans_as_they_were() -> None:
    pool = handed_out(open_round(strong="s"))
    pool = after(pool, result_of(pool, "s", now_ms=1_500))
    pool = apply(pool, events.Banned(1_600, S, 2_000, 100))
    for by_ms in (10_000, -2 * HOUR_MS):
        stepped = apply(pool, events.ClockStepped(1_700 + by_ms, by_ms))
        before, miner = pool.miners[S], stepped.miners[S]

        assert miner.worked_ms(3_000 + by_ms) == before.worked_ms(3_000)
        assert miner.conduct.banned_until_ms == 2_000 + by_ms
        result = result_of(stepped, "s", 200, now_ms=3_000 + by_ms)
        measured = apply(stepped, result).miners[S].delivery
        assert measured == apply(pool, result_of(pool, "s", 200, 3_000)).miners[S].delivery


@virtual_time
async def test_the_timekeeper_notices_steps_and_no_drift() -> None:
    wall = LoopClock(asyncio.get_running_loop())
    keeper = Timekeeper(wall)
    wall._offset_ms += MIN_STEP_MS - 1
    assert keeper.step_ms() == 0
    wall._offset_ms += 1
    assert keeper.step_ms() == MIN_STEP_MS
    assert keeper.step_ms() == 0
    wall._offset_ms -= HOUR_MS
    assert keeper.step_ms() == -HOUR_MS


@virtual_time
async def test_a_clock_that_is_set_forward_makes_no_miner_slow() -> None:
    world = PoolWorld(seed=3)
    world.start_round()
    world.add_miner("s", Strength.STRONG)
    await world.pass_ms(12_000)
    before = world.manager.state.miners[S].delivery
    world.clock._offset_ms += HOUR_MS
    world.manager.close_round()
    world.start_round(2)
    await world.pass_ms(5_000)

    miner = world.manager.state.miners[S]
    assert before.results > 5
    assert (miner.strength, miner.strength_reason) == (Strength.STRONG, "")
    (stepped,) = [e for e in world.history() if isinstance(e, events.ClockStepped)]
    assert stepped.by_ms == HOUR_MS
    await world.close()


@virtual_time
async def test_silence_is_noticed_after_the_clock_was_set_back() -> None:
    world = PoolWorld(seed=3)
    world.start_round()
    miner = await RawMiner(world, "s").connect()
    await world.pass_ms(2_000)
    world.clock._offset_ms -= HOUR_MS
    miner.beats = False
    await asyncio.sleep(3 * PHASE_MS / 8 / 1_000)

    assert not world.manager.state.miners[S].connected
    await world.close()


@virtual_time
async def test_the_time_at_work_goes_on_when_the_clock_was_set_back() -> None:
    world = PoolWorld()
    world.start_round()
    miner = await RawMiner(world, "s").connect()
    assignment = await miner.expect("assignment")
    await world.pass_ms(2_000)
    world.clock._offset_ms -= HOUR_MS
    await miner.deliver(assignment, 300)

    worked_ms = world.manager.state.miners[S].worked_ms(world.clock.now_ms())
    assert 2_000 < worked_ms < 3_000
    await world.close()


def test_who_is_declared_strong_is_measured_as_before_by_a_set_clock() -> None:
    pool = handed_out(open_round(strong="s"))
    for at_ms in range(1_000, 9_000, 1_000):
        pool = after(pool, result_of(pool, "s", now_ms=at_ms))
    pool = apply(pool, events.ClockStepped(8_000 + HOUR_MS, HOUR_MS))

    (joined,) = decide_join(pool, S, S, Strength.STRONG, 9_000 + HOUR_MS)
    assert isinstance(joined, events.Joined)
    assert joined.strength is Strength.STRONG
