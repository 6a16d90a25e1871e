"""The journal's promises under load, under a clock that is set back, and amid a snapshot."""

import asyncio
from collections.abc import Sequence

import pytest
from immutables import Map

from node.clock import LoopClock
from node.errors import StoreError
from node.store.base import Change, Table
from node.store.memory import MemoryStore
from node.store.writer import InlineWriter
from node.tasks import TaskOwner
from pool.manager import journal as journals
from pool.manager.journal import Journal
from pool.records.codec import PORTION, encode_state
from pool.records.events import AnyEvent, TurnedAway
from pool.records.state import PoolState
from pool.records.transition import apply_all
from tests.virtual_time import virtual_time


class SlowWriter(InlineWriter):
    """Takes 5 ms for a batch, in which something else happens to `journal`."""

    journal: Journal | None = None

    async def write(self, changes: Sequence[Change]) -> None:
        if self.journal is not None:
            self.journal.record([TurnedAway(0, b"", "nonce")])
        await asyncio.sleep(0.005)
        await super().write(changes)


class SteppedClock(LoopClock):
    """A wall clock that can be set."""

    step_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.step_ms


@virtual_time
async def test_synced_returns_although_events_never_stop() -> None:
    store, tasks = MemoryStore(), TaskOwner()
    writer = SlowWriter(store)
    journal = Journal(store, writer, LoopClock(asyncio.get_running_loop()), tasks)
    writer.journal = journal
    journal.record([TurnedAway(0, b"", "timeout")])

    async with asyncio.timeout(1):
        await journal.synced()

    assert next(journal.read(1)).event == TurnedAway(0, b"", "timeout")
    await tasks.close()


class FailsOnce(InlineWriter):
    """Loses the first batch."""

    has_failed = False

    async def write(self, changes: Sequence[Change]) -> None:
        if not self.has_failed:
            self.has_failed = True
            raise StoreError("the disk is full")
        await super().write(changes)


@virtual_time
async def test_after_a_batch_that_is_lost_nothing_is_written_or_said_to_be() -> None:
    store, tasks = MemoryStore(), TaskOwner()
    journal = Journal(store, FailsOnce(store), LoopClock(asyncio.get_running_loop()), tasks)
    for reason in ("timeout", "nonce"):
        journal.record([TurnedAway(0, b"", reason)])
        with pytest.raises(StoreError, match="the disk is full"):
            await journal.synced()

    assert list(journal.read(1)) == []
    await tasks.close()


@virtual_time
async def test_a_clock_that_is_set_back_does_not_stop_the_journal() -> None:
    store, tasks = MemoryStore(), TaskOwner()
    clock = SteppedClock(asyncio.get_running_loop())
    clock.step_ms = 3_600_000
    journal = Journal(store, InlineWriter(store), clock, tasks)
    journal.record([TurnedAway(0, b"", "timeout")])
    await journal.synced()

    clock.step_ms = 0
    journal.record([TurnedAway(0, b"", "nonce")])
    async with asyncio.timeout(1):
        await journal.synced()

    assert len(list(journal.read(1))) == 2
    await tasks.close()


LARGE = PoolState(turned_away=Map({f"reason {number}": number for number in range(2_500)}))
"""A state that is written in several portions."""


def happening(number: int) -> list[AnyEvent]:
    return [TurnedAway(number, b"", f"reason {number}")]


async def reopened(store: MemoryStore) -> PoolState:
    tasks = TaskOwner()
    clock = LoopClock(asyncio.get_running_loop())
    state = Journal(store, InlineWriter(store), clock, tasks).state
    await tasks.close()
    return state


class Watched(InlineWriter):
    """Opens a copy of the store after each batch, as if the manager had been killed then."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.store = store
        self.found: list[PoolState] = []

    async def write(self, changes: Sequence[Change]) -> None:
        await super().write(changes)
        self.found.append(await reopened(self.store))


@virtual_time
async def test_a_snapshot_that_is_not_whole_is_none() -> None:
    store, tasks = MemoryStore(), TaskOwner()
    writer = Watched(store)
    journal = Journal(store, writer, LoopClock(asyncio.get_running_loop()), tasks)
    state = journal.state
    for round_ in range(3):
        state = LARGE if round_ == 0 else state
        journal.snapshot(state, keep=())
        for number in range(3):
            await asyncio.sleep(0.011)
            journal.record(happening(number))
            state = apply_all(state, happening(number))
    await asyncio.sleep(1)

    counts = [found.turned_away.get("reason 1", 0) for found in writer.found]
    assert counts == sorted(counts), "whatever was synced is never lost again"
    assert writer.found[-1] == state
    assert len(list(store.scan(Table.POOL_STATE))) == 1 + len(list(encode_state(LARGE)))
    await tasks.close()


@virtual_time
async def test_of_snapshots_in_a_row_the_newest_counts() -> None:
    store, tasks = MemoryStore(), TaskOwner()
    journal = Journal(store, InlineWriter(store), LoopClock(asyncio.get_running_loop()), tasks)
    for number in range(4):
        journal.snapshot(LARGE.but(next_miner=number), keep=())
    await asyncio.sleep(1)

    assert await reopened(store) == LARGE.but(next_miner=3)
    await tasks.close()


@virtual_time
async def test_events_long_before_a_snapshot_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(journals, "KEPT_EVENTS", 10)
    store, tasks = MemoryStore(), TaskOwner()
    journal = Journal(store, InlineWriter(store), LoopClock(asyncio.get_running_loop()), tasks)
    for number in range(1_500):
        journal.record(happening(number))
    journal.snapshot(LARGE, keep=())
    await asyncio.sleep(1)

    assert [number for number, _ in journal.read(1)] == list(range(1_491, 1_501))
    await tasks.close()


def test_a_state_is_encoded_in_portions_that_take_a_few_milliseconds_each() -> None:
    first, *others = encode_state(LARGE)

    assert len(first) < 1_000
    assert len(others) == -(-2_500 // PORTION)
