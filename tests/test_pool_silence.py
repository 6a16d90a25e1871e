"""A pool that takes a miner's time and says nothing: the miner says so, and turns elsewhere."""

from collections.abc import Sequence

from structlog.testing import capture_logs

from ponas.v1 import pool_service_pb2 as pb
from pool.miner.failover import RETURN_AFTER_MS
from pool.miner.patience import FIRST_WORD_MS, MUTE_AFTER_MS
from tests.hand_pool import NO_ORDERS, HandPool, exploration, miner_of
from tests.pool_world import PoolWorld
from tests.scripted import ScriptedExecutor
from tests.test_pool_connections import WELCOME
from tests.virtual_time import virtual_time

# Round trip and the first candidate.
SOON_MS = 3_000


def between(world: PoolWorld, orders: Sequence[pb.MineResponse]) -> tuple[HandPool, HandPool]:
    """A pool with these orders, and one that has none and says so."""
    first, second = HandPool(world, "first"), HandPool(world, "second", "other")
    first.orders = orders
    return first, second


@virtual_time
async def test_a_pool_without_a_word_is_told_of_and_left() -> None:
    world = PoolWorld()
    pools = between(world, [WELCOME])
    miner = miner_of(world, pools, ScriptedExecutor(world.clock))
    with capture_logs() as logs:
        world.spawn(miner.run(), "miner")
        await world.pass_ms(FIRST_WORD_MS - 1_000)
        assert miner.status.activity == "idle: connected, but the pool has not said yet what to do"
        assert not [log for log in logs if log["event"] == "not_mining"]
        await world.pass_ms(SOON_MS)
        said = [log["reason"] for log in logs if log["event"] == "not_mining"]
    reason = "connected, but the pool has sent neither an order nor the reason for none"
    assert (said, miner.status.activity) == ([reason], f"idle: {reason}")

    await world.pass_ms(MUTE_AFTER_MS - FIRST_WORD_MS - SOON_MS)
    assert miner.status.pool == "first"
    await world.pass_ms(2 * SOON_MS)

    assert miner.status.pool == "second"
    # The next look back comes later than after a link that was lost.
    await world.pass_ms(RETURN_AFTER_MS + SOON_MS)
    assert (miner.status.pool, len(pools[0].registered)) == ("second", 1)
    await world.pass_ms(RETURN_AFTER_MS)
    assert (miner.status.pool, len(pools[0].registered)) == ("first", 2)
    await world.close()


@virtual_time
async def test_a_pool_that_answers_no_results_is_left() -> None:
    world = PoolWorld()
    pools = between(world, [WELCOME, exploration(1, remaining_ms=2 * MUTE_AFTER_MS)])
    pools[0].answer = None
    miner = miner_of(world, pools, ScriptedExecutor(world.clock))
    with capture_logs() as logs:
        world.spawn(miner.run(), "miner")
        await world.pass_ms(MUTE_AFTER_MS)
        assert miner.status.pool == "first"
        await world.pass_ms(2 * SOON_MS)

    assert miner.status.pool == "second"
    reasons = [log["reason"] for log in logs if log["event"] == "not_mining"]
    assert "the pool has left a result without an answer for 5 minutes" in reasons[0]
    await world.close()


@virtual_time
async def test_a_pool_that_answers_is_stayed_with() -> None:
    world = PoolWorld()
    pools = between(world, [WELCOME, exploration(1, remaining_ms=2 * MUTE_AFTER_MS)])
    miner = miner_of(world, pools, ScriptedExecutor(world.clock))
    world.spawn(miner.run(), "miner")
    await world.pass_ms(MUTE_AFTER_MS + SOON_MS)
    # Nothing is owed between rounds either, by who has said that there is no order.
    await pools[0].send(NO_ORDERS)
    await world.pass_ms(2 * MUTE_AFTER_MS)

    assert miner.status.pool == "first"
    assert len(pools[0].registered) == 1
    await world.close()


@virtual_time
async def test_an_answer_now_and_then_is_not_enough() -> None:
    world = PoolWorld()
    pools = between(world, [WELCOME, exploration(1, remaining_ms=3 * MUTE_AFTER_MS)])
    pools[0].answer = None
    miner = miner_of(world, pools, ScriptedExecutor(world.clock))
    world.spawn(miner.run(), "miner")
    await world.pass_ms(MUTE_AFTER_MS - 1_000)
    await pools[0].send(pools[0].accepted(pools[0].results[0]))
    await world.pass_ms(2 * SOON_MS)

    assert miner.status.pool == "second"
    await world.close()
