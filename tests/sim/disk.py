"""A disk that takes its time: what was not synced when the machine crashed is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from node.clock import Clock
from node.store.base import Change, Store
from node.tasks import TaskOwner


class SlowDisk:
    """`Writer` whose batches reach the store in order, each after a delay of its own.

    `close` loses what is still on its way, like a crash, and leaves the store open, for the machine
    starts on it again.
    """

    def __init__(
        self, store: Store, clock: Clock, rng: random.Random, delay_ms: tuple[int, int]
    ) -> None:
        self._store = store
        self._clock = clock
        self._rng = rng
        self._delay_ms = delay_ms
        self._in_order = asyncio.Lock()
        self._tasks = TaskOwner()

    async def write(self, changes: Sequence[Change]) -> None:
        # A caller that gives up does not take back what it has handed over.
        await asyncio.shield(self._tasks.spawn(self._sync(changes), name="sync"))

    async def close(self) -> None:
        await self._tasks.close()

    async def _sync(self, changes: Sequence[Change]) -> None:
        async with self._in_order:
            delay_ms = self._rng.randint(*self._delay_ms)
            await self._clock.sleep_until(self._clock.now_ms() + delay_ms)
            self._store.write(changes)
