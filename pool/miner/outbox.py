"""Results on their way: kept until a manager says what became of them, and sent again if not."""

from __future__ import annotations

import asyncio

import structlog

from pool.rules.reports import Report

MAX_UNACKNOWLEDGED = 1_024
"""Results that a miner keeps; a manager acknowledges within a round trip, so that more than a few
wait only while it is away."""

_log = structlog.get_logger("pool.miner")

Key = tuple[bytes, int, int]


class Outbox:
    """Results of a round by manager, assignment and episode, in the order of their making."""

    def __init__(self) -> None:
        self._kept: dict[Key, Report] = {}
        self._round = 0
        self._manager: bytes | None = None
        # Keys that the attached manager has not been sent; as a dict, which keeps their order.
        self._unsent: dict[Key, None] = {}
        self._more = asyncio.Event()

    def __len__(self) -> int:
        """Results that are not acknowledged."""
        return len(self._kept)

    def attach(self, manager: bytes) -> None:
        """From now on `next_result` gives what a manager has to acknowledge, oldest first."""
        self._manager = manager
        self._unsent = {key: None for key in self._kept if key[0] == manager}
        self._more.set()

    def detach(self) -> None:
        """Give out nothing until the next `attach`."""
        self._manager = None
        self._unsent.clear()

    def put(self, manager: bytes, round_number: int, report: Report) -> None:
        """Keep a result. Those of earlier rounds count no more and go; so does one too many."""
        if round_number > self._round:
            self._round = round_number
            self._kept.clear()
            self._unsent.clear()
        key = (manager, report.assignment_id, report.episode)
        self._kept[key] = report
        if manager == self._manager:
            self._unsent[key] = None
            self._more.set()
        if len(self._kept) > MAX_UNACKNOWLEDGED:
            oldest = next(iter(self._kept))
            self._drop(oldest)
            _log.warning("result_given_up", episode=oldest[2], reason="too many wait for a manager")

    def take(self, manager: bytes, assignment: int, episode: int) -> Report | None:
        """The result that a manager acknowledges, which is kept no longer.

        None for one that is not kept: acknowledged before, given up, or never made.
        """
        return self._drop((manager, assignment, episode))

    def has_waiting(self, manager: bytes) -> bool:
        """Whether a manager still has a result to acknowledge."""
        return any(key[0] == manager for key in self._kept)

    async def next_result(self) -> Report:
        """The next result for the attached manager, as soon as there is one."""
        while not self._unsent:
            self._more.clear()
            await self._more.wait()
        key = next(iter(self._unsent))
        del self._unsent[key]
        return self._kept[key]

    def _drop(self, key: Key) -> Report | None:
        self._unsent.pop(key, None)
        return self._kept.pop(key, None)
