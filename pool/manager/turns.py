"""Turns: a few at a time, and of those that wait the one of the highest rank first."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

Rank = tuple[int, ...]
"""Compared from the left; the higher one goes first, and of equals who came first."""


class Turns:
    """So many `places` at a time."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._arrivals = count()
        self._waiting: list[tuple[Rank, int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def taken(self, rank: Rank) -> AsyncIterator[None]:
        """Hold a place, as soon as there is one."""
        if self._places:
            self._places -= 1
        else:
            await self._wait(rank)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, rank: Rank) -> None:
        turn = asyncio.get_running_loop().create_future()
        lowest_first = tuple(-part for part in rank)
        heapq.heappush(self._waiting, (lowest_first, next(self._arrivals), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._places += 1
