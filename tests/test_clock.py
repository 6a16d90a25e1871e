import asyncio
import math
import time
from collections.abc import Iterator

import pytest

from node.clock import Clock, LoopClock, SystemClock


class _SettableTime:
    """Stands in for the machine: naps end at once, and the wall clock shows what the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ms = 1_000_000
        self.naps: list[float] = []
        self.jumps: Iterator[int] = iter(())
        monkeypatch.setattr(time, "time_ns", lambda: self.now_ms * 1_000_000)
        monkeypatch.setattr(asyncio, "sleep", self._sleep)

    async def _sleep(self, delay: float) -> None:
        if delay:
            self.naps.append(delay)
        self.now_ms += round(delay * 1_000) + next(self.jumps, 0)


def test_system_clock_is_unix_time_in_milliseconds() -> None:
    before = time.time_ns()
    now_ms = SystemClock().now_ms()
    assert before // 1_000_000 <= now_ms <= time.time_ns() // 1_000_000


async def test_a_long_wait_is_taken_in_naps_of_at_most_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = _SettableTime(monkeypatch)
    await SystemClock().sleep_until(machine.now_ms + 2_500)
    assert machine.naps == [1.0, 1.0, 0.5]


async def test_a_wall_clock_set_forward_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = _SettableTime(monkeypatch)
    machine.jumps = iter([0, 3_600_000])  # an hour passes during the first nap
    await SystemClock().sleep_until(machine.now_ms + 600_000)
    assert machine.naps == [1.0]


async def test_a_wall_clock_set_back_prolongs_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = _SettableTime(monkeypatch)
    machine.jumps = iter([0, -2_000])
    until_ms = machine.now_ms + 1_000
    await SystemClock().sleep_until(until_ms)
    assert machine.now_ms >= until_ms
    assert machine.naps == [1.0, 1.0, 1.0]


async def test_loop_clock_reads_the_loop_and_never_wakes_early() -> None:
    loop = asyncio.get_running_loop()
    clock = LoopClock(loop, offset_ms=7_000)
    before_ms = math.floor(loop.time() * 1_000)
    now_ms = clock.now_ms() - 7_000
    assert before_ms <= now_ms <= math.ceil(loop.time() * 1_000)
    until_ms = clock.now_ms() + 3
    await clock.sleep_until(until_ms)
    assert clock.now_ms() >= until_ms


@pytest.mark.parametrize("kind", ["system", "loop"])
async def test_a_time_in_the_past_still_lets_others_run(kind: str) -> None:
    loop = asyncio.get_running_loop()
    clock: Clock = SystemClock() if kind == "system" else LoopClock(loop)
    ran: list[bool] = []
    loop.call_soon(ran.append, True)
    await clock.sleep_until(clock.now_ms() - 1)
    assert ran == [True]
