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
    """One writer thread, since a synced write waits for the disk and the event loop must not."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    async def write(self, changes: Sequence[Change]) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._store.write, changes)

    async def close(self) -> None:
        # The thread takes jobs in order, so closing is last by being handed over last.
        await asyncio.get_running_loop().run_in_executor(self._thread, self._store.close)
        self._thread.shutdown(wait=False)


class InlineWriter:
    """Writes within the call: for a store that never waits, under a loop with virtual time."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def write(self, changes: Sequence[Change]) -> None:
        self._store.write(changes)

    async def close(self) -> None:
        self._store.close()
