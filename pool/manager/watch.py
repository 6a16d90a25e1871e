"""Who is lost, and who would stand in: looked at while the pool works.

Lost are silent connections, and miners that did not come back after a restart.
"""

from __future__ import annotations

from pool.decisions.admission import decide_forgotten, is_idle
from pool.decisions.members import decide_backups, decide_leave, decide_stalled
from pool.manager.core import Core
from pool.manager.letters import heartbeat_ms

LOST_AFTER_QUARTERS = 7
"""Quarters of a heartbeat interval without a sign of life after which a miner is lost. Looked at
each quarter, so that its search is in other hands within two intervals."""


class Watch:
    """Looks at all connections once in a quarter of the heartbeat interval."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._started_ms = core.steady.now_ms()
        self._assessed_ms = self._started_ms
        self._is_after_restart = bool(core.pool.miners)

    async def run(self) -> None:
        """Watch until cancelled."""
        steady = self._core.steady
        looked_ms = steady.now_ms()
        while True:
            quarter_ms = self._interval_ms() // 4
            await steady.sleep_until(looked_ms + quarter_ms)
            now_ms = steady.now_ms()
            if now_ms - looked_ms > 2 * quarter_ms:
                # This process stood still: nobody could be heard meanwhile.
                for session in self._core.sessions.values():
                    session.heard_ms = now_ms
                self._assessed_ms = now_ms
            looked_ms = now_ms
            if now_ms >= self._assessed_ms + self._interval_ms():
                self._assessed_ms = now_ms
                at_ms = self._core.now_ms()
                self._core.happen(*decide_backups(self._core.pool, at_ms))
                self._relieve_stalled(at_ms)
                self._make_room(now_ms)
            self._end_silent(now_ms)
            if self._is_after_restart and now_ms >= self._started_ms + 2 * self._interval_ms():
                self._is_after_restart = False
                self._give_up_missing()

    def _interval_ms(self) -> int:
        round_ = self._core.pool.round
        return heartbeat_ms(None if round_ is None else round_.task)

    def _relieve_stalled(self, at_ms: int) -> None:
        """Let others go on with the searches of miners that beat but bring nothing."""
        for session in list(self._core.sessions.values()):
            # Whose result is being looked into is not silent.
            if not session.is_confirming:
                stalled = decide_stalled(self._core.pool, session.key, at_ms)
                if stalled:
                    self._core.happen(*stalled)

    def _make_room(self, now_ms: int) -> None:
        """Send idle strangers away and forget those that have left, when there are too many."""
        pool = self._core.pool
        for session in list(self._core.sessions.values()):
            if is_idle(pool, pool.miners[session.key], now_ms - session.since_ms):
                session.channel.end("the pool is full, and this miner has no paid share yet")
        forgotten = decide_forgotten(pool, self._core.now_ms())
        if forgotten is not None:
            self._core.happen(forgotten)

    def _end_silent(self, now_ms: int) -> None:
        interval_ms = self._interval_ms()
        for session in list(self._core.sessions.values()):
            # A miner keeps the beat that it was told, also in a round that is shorter.
            quarter_ms = max(interval_ms, session.heartbeat_ms) // 4
            if session.heard_ms <= now_ms - LOST_AFTER_QUARTERS * quarter_ms:
                session.channel.end("no sign of life for two heartbeat intervals")

    def _give_up_missing(self) -> None:
        """Wait no longer for miners that were connected before a restart and are not now."""
        miners = sorted(self._core.pool.miners.values(), key=lambda miner: miner.number)
        for key in [miner.key for miner in miners if not miner.connected]:
            miner = self._core.pool.miners[key]
            if miner.own is not None or miner.is_awaited:
                now_ms = self._core.now_ms()
                reason = "did not come back after the manager's restart"
                self._core.happen(*decide_leave(self._core.pool, key, reason, now_ms))
