"""The manager's two clocks: the wall's, which may be set, and the loop's own, which can't be."""

from __future__ import annotations

import asyncio

from node.clock import Clock, LoopClock

MIN_STEP_MS = 1_000
"""A wall clock that goes apart from the loop's by less was not set, but drifts."""


class Timekeeper:
    """Notices when the wall clock was set, or stood still while this machine slept.

    Spans of time are measured and waited for by `steady`, times of day are those of `wall`.
    """

    def __init__(self, wall: Clock) -> None:
        self.steady = LoopClock(asyncio.get_running_loop())
        self._wall = wall
        self._apart_ms = wall.now_ms() - self.steady.now_ms()

    def step_ms(self) -> int:
        """By how much the clock was set since it was last asked for; 0 if it was not."""
        apart_ms = self._wall.now_ms() - self.steady.now_ms()
        step_ms = apart_ms - self._apart_ms
        if abs(step_ms) < MIN_STEP_MS:
            return 0
        self._apart_ms = apart_ms
        return step_ms
