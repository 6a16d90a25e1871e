"""Writing to a store from the event loop."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from node.store.base import Change, Store


class Writer(Protocol):
    """Writes batches in the order of the calls."""

    async def write(self, changes: Sequence[Change]) -> None:
        """As `Store.write`: once this returns, a crash can't lose the changes."""
        ...

    async def close(self) -> None:
        """Finish what was handed over, then close the store."""
        ...


class ThreadWriter:
    """One writer thread, since a synced write waits for the disk and the event loop must not.

    What is handed over while the disk is busy is written at once after that: one sync for all.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._waiting: list[Change] = []
        self._next: asyncio.Task[None] | None = None
        self._disk = asyncio.Lock()

    async def write(self, changes: Sequence[Change]) -> None:
        self._waiting += changes
        if self._next is None:
            self._next = asyncio.ensure_future(self._flush())
        # A caller that gives up must not take the writes of others with it.
        await asyncio.shield(self._next)

    async def close(self) -> None:
        if self._next is not None:
            await asyncio.wait([self._next])
        async with self._disk:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._store.close)
        self._thread.shutdown(wait=False)

    async def _flush(self) -> None:
        async with self._disk:
            self._next = None
            changes, self._waiting = self._waiting, []
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._thread, self._store.write, changes)


class InlineWriter:
    """Writes within the call: for a store that never waits, under a loop with virtual time."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def write(self, changes: Sequence[Change]) -> None:
        self._store.write(changes)

    async def close(self) -> None:
        self._store.close()
