"""The journal's promises under load, and under a clock that is set back."""

import asyncio
from collections.abc import Sequence

from node.clock import LoopClock
from node.store.base import Change
from node.store.memory import MemoryStore
from node.store.writer import InlineWriter
from node.tasks import TaskOwner
from pool.manager.journal import Journal
from pool.records.events import TurnedAway
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
