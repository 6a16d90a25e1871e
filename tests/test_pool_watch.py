"""Lost miners: noticed by silence, and replaced within two heartbeat intervals."""

import pytest

from pool.manager.letters import MAX_HEARTBEAT_MS, MIN_HEARTBEAT_MS, heartbeat_ms
from pool.records import events
from pool.records.state import RoundTask
from pool.records.strengths import Strength
from tests.pool_states import round_of
from tests.pool_world import PHASE_MS, SPACE, TASK, PoolWorld, public
from tests.test_pool_manager import RawMiner, failed
from tests.virtual_time import virtual_time


@pytest.mark.parametrize(
    ("phase_ms", "expected_ms"),
    [(1_000, MIN_HEARTBEAT_MS), (26_400, 3_300), (3_600_000, MAX_HEARTBEAT_MS)],
)
def test_the_heartbeat_follows_the_phase(phase_ms: int, expected_ms: int) -> None:
    assert heartbeat_ms(RoundTask(1, TASK, SPACE, 5_000 + phase_ms, 5_000)) == expected_ms


@virtual_time
async def test_the_search_of_a_silent_miner_is_in_other_hands_within_two_intervals() -> None:
    world = PoolWorld(seed=3)
    world.start_round()
    best = await RawMiner(world, "r").connect()
    for name in "stu":
        world.add_miner(name, Strength.STRONG)
    assignment = await best.expect("assignment")
    await best.deliver(assignment, 355)
    for episode in range(1, 5):
        await best.send(failed(assignment, episode))
    await world.pass_ms(15_000)
    backup = round_of(world.manager.state).backups[public("r")]
    # Its link stays open, but nothing comes any more.
    best.beats = False
    silent_ms = world.clock.now_ms()
    await world.pass_ms(3 * PHASE_MS // 8)

    log = world.history()
    left = [e for e in log if isinstance(e, events.Left) and e.miner == public("r")]
    activated = [e for e in log if isinstance(e, events.BackupActivated) and e.owner == public("r")]
    assert "no sign of life" in left[-1].reason
    assert (activated[-1].miner, activated[-1].next_episode) == (backup, 1)
    # What failed after the last training is tried again.
    # One heartbeat may have been due just when it fell silent.
    assert activated[-1].at_ms - silent_ms <= 3 * PHASE_MS // 8
    await world.close()


@virtual_time
async def test_a_clock_that_jumps_loses_nobody() -> None:
    world = PoolWorld(seed=3)
    world.start_round()
    world.add_miner("s", Strength.STRONG)
    await world.pass_ms(2_000)
    world.clock._offset_ms += 3_600_000
    await world.pass_ms(3_000)
    world.clock._offset_ms -= 7_200_000
    await world.pass_ms(3_000)

    assert world.manager.state.miners[public("s")].connected
    await world.close()
