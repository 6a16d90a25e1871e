"""The manager's memory on disk: every event, a state now and then, and models and weights.

Events are written in groups: whatever happens while a batch is on its way goes out with the next,
and batches begin at least GROUP_MS apart. Nothing that follows from an event leaves the manager
before the event is synced, so that a crash loses only what nobody has heard of.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from node.chain.hashing import u64
from node.clock import Clock
from node.store.base import Change, Delete, Put, Store, Table
from node.store.writer import Writer
from node.tasks import TaskOwner
from pool.manager.snapshots import Snapshots
from pool.records.codec import decode_event, encode_event
from pool.records.events import AnyEvent
from pool.records.state import PoolState
from pool.records.transition import apply

GROUP_MS = 10
"""Shortest time between two synced batches: so many results share the wait for the disk."""

KEPT_EVENTS = 200_000
"""Events before the newest snapshot that stay readable; older ones are forgotten."""

# Batches whose time to be synced is remembered.
_DELAYS = 256

# Events that are forgotten at a time.
_PORTION = 1_000


class Numbered(NamedTuple):
    """An event with its place in the journal, counted from 1."""

    number: int
    event: AnyEvent


class Journal:
    """Appends to a store; `state` and `blobs` are what it held when it was opened."""

    def __init__(self, store: Store, writer: Writer, clock: Clock, tasks: TaskOwner) -> None:
        self._store = store
        self._writer = writer
        self._clock = clock
        self._tasks = tasks
        self._changes: list[Change] = []
        self._then: list[Callable[[], None]] = []
        self._flushing: asyncio.Task[None] | None = None
        self._written_ms = 0
        self.sync_delays_ms: deque[int] = deque(maxlen=_DELAYS)
        self._snapshots = Snapshots(store)
        self._saving: tuple[int, PoolState] | None = None
        self._is_saving = False
        self.state, self._next = _fold(store, self._snapshots.state, self._snapshots.number)
        self._first = next((number for number, _ in self.read(1)), self._next)
        self.blobs = dict(store.scan(Table.POOL_BLOBS))

    def record(
        self,
        happened: Iterable[AnyEvent],
        then: Callable[[], None] | None = None,
        blobs: Mapping[bytes, bytes] | None = None,
        changes: Iterable[Change] = (),
    ) -> None:
        """Append events, keep blobs by hash, write changes; call `then` once all is synced."""
        for event in happened:
            self._changes.append(Put(Table.POOL_EVENTS, u64(self._next), encode_event(event)))
            self._next += 1
        for hash_, blob in (blobs or {}).items():
            self.blobs[hash_] = blob
            self._changes.append(Put(Table.POOL_BLOBS, hash_, blob))
        self._changes.extend(changes)
        if then is not None:
            self._then.append(then)
        self._flush_soon()

    def snapshot(self, pool: PoolState, keep: Iterable[bytes]) -> None:
        """Keep the state as it is after all recorded events, and of the blobs only these.

        A restart begins here, as soon as all of it is written; events much older are forgotten.
        It is written in portions, between which other things go on.
        """
        for hash_ in self.blobs.keys() - set(keep):
            del self.blobs[hash_]
            self._changes.append(Delete(Table.POOL_BLOBS, hash_))
        self._flush_soon()
        self._saving = (self._next, pool)
        if not self._is_saving:
            self._is_saving = True
            self._tasks.spawn(self._save(), name="pool snapshot")

    def read(self, since: int) -> Iterator[Numbered]:
        """Synced events from number `since` on, oldest first."""
        for key, value in self._store.scan(Table.POOL_EVENTS, u64(since)):
            yield Numbered(int.from_bytes(key, "big"), decode_event(value))

    def newest(self, count: int) -> Iterator[AnyEvent]:
        """The newest synced events, at most so many, oldest first."""
        return (event for _, event in self.read(max(1, self._next - count)))

    async def synced(self) -> None:
        """Return once everything recorded until now can't be lost any more.

        Later events don't prolong the wait. Raises StoreError if the store fails, or has failed
        before: nothing is written after that.
        """
        if (flushing := self._flushing) is None:
            return
        written = asyncio.get_running_loop().create_future()
        self._then.append(partial(written.set_result, None))
        await asyncio.wait((written, flushing), return_when=asyncio.FIRST_COMPLETED)
        if not written.done():
            await flushing

    async def _save(self) -> None:
        while self._saving is not None:
            (number, pool), self._saving = self._saving, None
            for change in self._snapshots.keep(number, pool):
                self._changes.append(change)
                self._flush_soon()
                await asyncio.sleep(0)
            while (end := min(self._first + _PORTION, number - KEPT_EVENTS)) > self._first:
                old = range(self._first, end)
                self._changes += (Delete(Table.POOL_EVENTS, u64(event)) for event in old)
                self._first = end
                self._flush_soon()
                await asyncio.sleep(0)
        self._is_saving = False

    def _flush_soon(self) -> None:
        if self._flushing is None:
            self._flushing = self._tasks.spawn(self._flush(), name="pool journal")

    async def _flush(self) -> None:
        while self._changes or self._then:
            # A clock that went back must not stop the journal until it catches up.
            written_ms = min(self._written_ms, self._clock.now_ms())
            await self._clock.sleep_until(written_ms + GROUP_MS)
            changes, self._changes = self._changes, []
            then, self._then = self._then, []
            self._written_ms = self._clock.now_ms()
            if changes:
                await self._writer.write(changes)
                self.sync_delays_ms.append(self._clock.now_ms() - self._written_ms)
            for call in then:
                call()
        # Not after a failure: what followed a batch that is lost would make no sense without it.
        self._flushing = None


def _fold(store: Store, pool: PoolState, number: int) -> tuple[PoolState, int]:
    """The state after all events from `number` on, and the number of the next event."""
    for key, data in store.scan(Table.POOL_EVENTS, u64(number)):
        pool, number = apply(pool, decode_event(data)), int.from_bytes(key, "big") + 1
    return pool, number
