"""The virtual loop: jumps, order, and the report of a deadlock."""

import asyncio
import time

import pytest

from tests.virtual_time import Deadlock, run_virtual, virtual_time


@virtual_time
async def test_hours_pass_without_waiting() -> None:
    started = time.monotonic()
    await asyncio.sleep(3 * 3600)
    assert asyncio.get_running_loop().time() == pytest.approx(3 * 3600)
    assert time.monotonic() - started < 5


@virtual_time
async def test_timers_fire_in_order_of_time_then_of_setting() -> None:
    order: list[str] = []

    async def note(name: str, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        order.append(name)

    await asyncio.gather(note("late", 2.0), note("a", 1.0), note("b", 1.0))
    assert order == ["a", "b", "late"]


@virtual_time
async def test_timeouts_work() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(30):
            await asyncio.Event().wait()
    assert asyncio.get_running_loop().time() == pytest.approx(30)


def test_deadlock_names_who_waits() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match="hang"):
        run_virtual(hang())
