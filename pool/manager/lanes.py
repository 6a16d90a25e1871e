"""Audits of one sort: who waits for one, and how many are under way.

Each sort has its own places and its own turn at this machine, so that none has to wait for what
miners of another sort do or leave undone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import nlargest

from pool.rules.audits import AuditKind

MODELS_AT_A_TIME = 64
"""Audits under way that need no state: nearly all of that time they wait for their miners."""

STATES_AT_A_TIME = 256
"""Audits under way for which a miner makes a state again, which takes it minutes."""

_CHOSEN_AT_A_TIME = 64

Rank = tuple[bool, int]
"""The higher one goes first, and of equals who has waited longest."""


class Lane:
    """Miners that wait, of whom the highest by `rank` comes next, and so many `places`."""

    def __init__(self, places: int, rank: Callable[[bytes], Rank]) -> None:
        self.places = asyncio.Semaphore(places)
        self.machine = asyncio.Lock()
        self._rank = rank
        self._waiting: dict[bytes, None] = {}
        self._more = asyncio.Event()
        self._chosen: list[bytes] = []

    def add(self, miner: bytes) -> None:
        """Let a miner wait; who waits already keeps its place."""
        self._waiting[miner] = None
        self._more.set()

    async def next(self) -> bytes:
        """The next miner, which waits no longer."""
        while not self._chosen:
            while not self._waiting:
                self._more.clear()
                await self._more.wait()
            # Only a few, because others come to have more to lose.
            chosen = nlargest(_CHOSEN_AT_A_TIME, self._waiting, key=self._rank)
            for miner in chosen:
                del self._waiting[miner]
            self._chosen = chosen[::-1]
        return self._chosen.pop()


def needs_state(kind: AuditKind, epoch: int) -> bool:
    """Whether the miner has to make a state again: an epoch but the first is to be repeated."""
    return kind is AuditKind.RETRAIN and epoch > 0
