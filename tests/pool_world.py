"""A pool in one process: a manager, miners and the memory network, for the pool's tests."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any

from nacl.signing import SigningKey

from nas.designs.space import Space
from nas.jobs import Executor
from nas.task import Task
from node.clock import LoopClock
from node.net.link import PeerLink
from node.net.memory import MemoryNetwork, between
from node.store.base import Change, Store
from node.store.memory import MemoryStore
from node.store.writer import InlineWriter
from node.tasks import TaskOwner
from pool.manager.manager import Manager
from pool.miner.evidence import Evidence
from pool.miner.miner import Miner, Route
from pool.miner.promises import Promises
from pool.miner.registration import Applicant
from pool.records.events import AnyEvent
from pool.records.state import RoundTask
from pool.records.strengths import Strength
from tests.scripted import ScriptedExecutor

NETWORK_ID = bytes(range(32))
SPACE = Space.uniform(
    3,
    [
        (1, 3, 5),
        (1, 3, 5),
        (4, 8, 12, 16, 24),
        (1, 2),
        (1, 2),
        (1, 2),
        (1, 2, 3),
        (1, 2, 3, 4),
        (1, 2),
        (2, 3, 4, 5),
    ],
)
TASK = Task("digits", SPACE, "qat", epochs=10, profile="paper", max_mac_images=87_000_000_000)
PHASE_MS = 26_000


def key_of(name: str) -> SigningKey:
    """A signing key that follows from a name."""
    return SigningKey(name.encode().ljust(32, b"."))


def public(name: str) -> bytes:
    """The public key of `key_of(name)`, which is also the address of that name."""
    return bytes(key_of(name).verify_key)


def applicant(name: str, strength: Strength) -> Applicant:
    """A miner who is paid at its own address."""
    return Applicant(key_of(name), public(name), NETWORK_ID, strength)


def evidence_of(
    name: str, strength: Strength = Strength.STRONG, store: Store | None = None
) -> Evidence:
    """Where a miner keeps its manager's word; the round is 1."""
    kept = MemoryStore() if store is None else store
    return Evidence(applicant(name, strength), kept, kept.write, lambda: 1)


def no_promises() -> Promises:
    """A miner's promises before it has made any."""
    store = MemoryStore()
    return Promises(store, store.write)


class MortalWriter(InlineWriter):
    """Takes `sync_ms` for each batch; once dead, what was under way is lost."""

    sync_ms = 0
    is_dead = False

    async def write(self, changes: Sequence[Change]) -> None:
        if self.sync_ms:
            await asyncio.sleep(self.sync_ms / 1_000)
        if not self.is_dead:
            await super().write(changes)


class PoolWorld:
    """One manager at the address `pool` and miners by name; all of it on one seed."""

    def __init__(self, seed: int = 1, **manager_options: Any) -> None:
        self.clock = LoopClock(asyncio.get_running_loop())
        self.rng = random.Random(seed)
        self.network = MemoryNetwork(self.clock, between(random.Random(seed), 1, 20))
        executors = {name: ScriptedExecutor(self.clock) for name in ("executor", "auditing")}
        self._options: dict[str, Any] = executors | manager_options
        self.store = MemoryStore()
        self.miners: dict[str, Miner] = {}
        self._tasks = TaskOwner()
        self._running: dict[str, asyncio.Task[None]] = {}
        self.start_manager()

    def start_manager(self) -> None:
        """Start the manager, on what its store has kept."""
        self.writer = MortalWriter(self.store)
        self.manager = Manager(
            key=key_of("manager"),
            payout_address=public("manager"),
            network_id=NETWORK_ID,
            clock=self.clock,
            rng=self.rng,
            store=self.store,
            writer=self.writer,
            **self._options,
        )
        self.listen()
        self._running["manager"] = self.spawn(self.manager.run(), "manager")

    def listen(self) -> None:
        """Let miners reach the manager."""
        self.network.listen("pool", _no_peers, self.manager.serve)

    @property
    def is_manager_running(self) -> bool:
        """Whether nothing went wrong in the background of the manager."""
        return not self._running["manager"].done()

    def history(self) -> list[AnyEvent]:
        """All events that are synced, oldest first."""
        found: list[AnyEvent] = []
        number = 1
        while rows := self.manager.events(number):
            found += (event for _, event in rows)
            number = rows[-1].number + 1
        return found

    def start_round(self, number: int = 1) -> None:
        """Open a round of PHASE_MS."""
        self.manager.start_round(RoundTask(number, TASK, SPACE, self.clock.now_ms() + PHASE_MS))

    def add_miner(
        self,
        name: str,
        strength: Strength,
        executor: Executor | None = None,
        workers: int = 1,
        task: Task = TASK,
        evidence: Evidence | None = None,
    ) -> Miner:
        """Start a miner; one of an earlier name is the same miner, started again."""
        dial = partial(self.network.transport(name).dial_pool, "pool")
        miner = Miner(
            applicant=applicant(name, strength),
            routes=(Route("pool", dial),),
            task_of=lambda _, data: task,
            executor=executor or ScriptedExecutor(self.clock),
            clock=self.clock,
            rng=self.rng,
            promises=no_promises(),
            evidence=evidence or evidence_of(name, strength),
            workers=workers,
        )
        self.miners[name] = miner
        self._running[name] = self.spawn(miner.run(), name)
        return miner

    async def kill(self, name: str) -> None:
        """End a miner as by a crash."""
        self._running[name].cancel()
        self.network.stop(name)
        await asyncio.wait([self._running[name]])

    async def crash_manager(self) -> None:
        """End the manager as by kill -9: whatever is not synced is lost."""
        self.writer.is_dead = True
        self.network.stop("pool")
        await self.manager.close()

    async def pass_ms(self, duration_ms: int) -> None:
        """Let time go by."""
        await self.clock.sleep_until(self.clock.now_ms() + duration_ms)

    async def close(self) -> None:
        """End everything."""
        await self.manager.close()
        await self._tasks.close()
        await self.network.close()

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run something beside until `close`."""
        return self._tasks.spawn(coroutine, name=name)


async def _no_peers(link: PeerLink) -> None:
    await link.close("this is a pool only")
