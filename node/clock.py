"""Time as an argument: the node reads and waits on a `Clock`, never on the machine's own.

Times are integers in milliseconds since the Unix epoch; rounds are counted from the genesis time
on the same scale.
"""

import asyncio
import time
from typing import Protocol

# A wall clock may be set and a laptop may sleep while we wait, so long waits are taken in naps:
# a jump is noticed within one of them.
_LONGEST_NAP_MS = 1_000


class Clock(Protocol):
    """Where a node takes its time from."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        ...

    async def sleep_until(self, at_ms: int) -> None:
        """Return once `now_ms() >= at_ms`; a time in the past still yields to other tasks once."""
        ...


class SystemClock:
    """The machine's wall clock, which the nodes of a real network agree on through NTP."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep_until(self, at_ms: int) -> None:
        await asyncio.sleep(0)
        while (left_ms := at_ms - self.now_ms()) > 0:
            await asyncio.sleep(min(left_ms, _LONGEST_NAP_MS) / 1_000)


class LoopClock:
    """The time of an event loop: virtual under a virtual loop, so that simulations take no time.

    `offset_ms` is added to the loop's time; it sets the epoch, or makes one node's clock wrong.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, offset_ms: int = 0) -> None:
        self._loop = loop
        self._offset_ms = offset_ms

    def now_ms(self) -> int:
        return round(self._loop.time() * 1_000) + self._offset_ms

    async def sleep_until(self, at_ms: int) -> None:
        await asyncio.sleep(0)
        while (left_ms := at_ms - self.now_ms()) > 0:
            await asyncio.sleep(left_ms / 1_000)
