"""A whole network in one process: real nodes on virtual time, from one seed.

Everything above the seams (clock, transport, store, executor, randomness) is what `ponas-node`
runs. A world repeats exactly: its seed, and the seed of the faults that a test adds, give every
event. A `Watch` checks the invariants after each of them; what it finds is raised by the next
`until_round`, `until` or `close`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, Protocol

from nacl.signing import SigningKey

from nas.jobs import Count, Verify
from node.aside import inline
from node.assembly import Node
from node.chain.state import genesis_state
from node.chain.timing import Phase, deadline, phase_at, round_start
from node.clock import Clock, LoopClock
from node.config import Role
from node.identity import Identity
from node.net.memory import MemoryNetwork
from node.publishing.shelf import MemoryShelf
from node.setup import Setup, Surroundings, mines_solo
from node.store.memory import MemoryStore
from node.store.writer import InlineWriter
from node.tasks import TaskOwner
from pool.records.strengths import Strength
from tests.scripted import ScriptedExecutor
from tests.sim.disk import SlowDisk
from tests.sim.invariants import INVARIANTS
from tests.sim.mint import Mint
from tests.sim.peace import Peace
from tests.sim.plan import Plan, kind_of, names_of, network_of
from tests.sim.publisher import LastingShelf, Publisher
from tests.sim.watch import Watch
from tests.sim.weather import Weather

__all__ = ["Hack", "Machine", "Plan", "World"]

_ROLES = {
    "full": Role.FULL,
    "mint": Role.FULL,
    "publisher": Role.FULL,
    "manager": Role.MANAGER,
    "strong": Role.MINER,
    "weak": Role.MINER,
    "solo": Role.MINER,
}
_NODES: Mapping[str, type[Node]] = {"mint": Mint, "publisher": Publisher}


class WatchedExecutor(ScriptedExecutor):
    """Tells of every model that it counts."""

    def __init__(self, clock: Clock, train_ms: int, hear: Callable[[Count], None]) -> None:
        super().__init__(clock, train_ms)
        self._hear = hear

    async def run(self, job: Any) -> Any:
        if isinstance(job, Count | Verify):
            self._hear(job if isinstance(job, Count) else job.count)
        return await super().run(job)


class Hack(Protocol):
    """Makes a node dishonest each time it starts."""

    def corrupt(self, world: World, name: str, node: Node) -> None:
        """Change what a node does that is about to run."""
        ...


@dataclass
class Machine:
    """A node with what outlives its crashes. Its clock is `skew_ms` ahead of true time."""

    name: str
    setup: Setup
    store: MemoryStore
    executor: WatchedExecutor
    shelf: MemoryShelf
    skew_ms: int = 0
    is_honest: bool = True
    hack: Hack | None = None
    node: Node | None = None
    disk: SlowDisk | None = None
    running: asyncio.Task[None] | None = None


class World:
    """Machines by name: full0, manager0, strong0, weak0, solo0, mint0, ...

    `hacks` make machines dishonest, by name.
    """

    def __init__(self, seed: int, plan: Plan, hacks: Mapping[str, Hack] | None = None) -> None:
        self.seed = seed
        self.clock = LoopClock(asyncio.get_running_loop())
        self.rng = random.Random(seed)
        self.weather = Weather(random.Random(f"weather {seed}"))
        self.links = MemoryNetwork(self.clock, self.weather.carry)
        self.plan = plan
        identities = {name: self._identity() for name in names_of(plan)}
        self.network = network_of(plan, {name: who.public_key for name, who in identities.items()})
        self.machines = {name: self._machine(name, who) for name, who in identities.items()}
        for name, hack in (hacks or {}).items():
            self.machines[name].hack = hack
            self.distrust(name)
        self.watch = Watch(self, INVARIANTS)
        self.peace = Peace(self)
        # Without the ticks nothing of a round would be checked.
        self._tasks = TaskOwner(lambda name, error: self.watch.report(name, repr(error)))

    def __getitem__(self, name: str) -> Node:
        node = self.node(name)
        if node is None:
            raise LookupError(f"{name} is down")
        return node

    @property
    def honest(self) -> Sequence[str]:
        """Machines that keep the rules."""
        return [name for name, machine in self.machines.items() if machine.is_honest]

    @property
    def company(self) -> Set[bytes]:
        """See `tests.sim.watch.Scene`."""
        return {self.key(name) for name, machine in self.machines.items() if not machine.is_honest}

    def distrust(self, *names: str) -> None:
        """Expect no honesty of these machines, whose keys or nodes a test abuses."""
        for name in names:
            self.machines[name].is_honest = False

    def now_ms(self) -> int:
        """True time, in ms since genesis."""
        return self.clock.now_ms()

    def key(self, name: str) -> bytes:
        """Public key of a machine."""
        return self.machines[name].setup.identity.public_key

    def node(self, name: str) -> Node | None:
        """The node of a machine, or None while it is down."""
        machine = self.machines.get(name)
        return None if machine is None else machine.node

    def sent(self, name: str) -> tuple[int, int]:
        """See `tests.sim.watch.Scene`."""
        return self.weather.messages[name], self.weather.bytes[name]

    def weights(self) -> Mapping[bytes, int]:
        """See `tests.sim.watch.Scene`."""
        nodes = [node for name in self.honest if (node := self.node(name)) is not None]
        ahead = max(nodes, key=lambda node: node.chain.tree.head().state.round, default=None)
        if ahead is None:
            return genesis_state(self.network).eras.current.weights
        return ahead.chain.context(phase_at(self.network, self.now_ms()).round).weights

    def is_calm(self, first_round: int, last_round: int) -> bool:
        """See `tests.sim.watch.Scene`."""
        return self.peace.has_lasted(first_round, last_round)

    async def start(self, without: Iterable[str] = ()) -> None:
        """Start every machine but those `without`."""
        for name in self.machines:
            if name not in set(without):
                self.boot(name)
        self._tasks.spawn(self._tick(), name="rounds")

    def boot(self, name: str) -> None:
        """Start a machine, on what its store has kept."""
        machine = self.machines[name]
        trains = machine.setup.role is Role.MINER
        clock = LoopClock(asyncio.get_running_loop(), machine.skew_ms)
        machine.disk = SlowDisk(machine.store, self.clock, self.rng, self.plan.disk_ms)
        outside = Surroundings(
            clock=clock,
            transport=self.links.transport(name),
            store=machine.store,
            writer=machine.disk if any(self.plan.disk_ms) else InlineWriter(machine.store),
            counter=machine.executor if not trains or mines_solo(machine.setup) else None,
            auditing=machine.executor,
            trainer=machine.executor if trains else None,
            shelf=machine.shelf,
            aside=inline,
            rng=random.Random(self.rng.getrandbits(64)),
        )
        kind = _NODES.get(kind_of(name), Node)
        machine.node = node = kind(machine.setup, outside)
        if machine.hack is not None:
            machine.hack.corrupt(self, name, node)
        self.watch.attach(name, node)
        self.links.listen(name, node.on_peer, node.on_miner if node.runs_public_pool else None)
        machine.running = asyncio.ensure_future(node.run())
        self.peace.disturb()

    async def kill(self, name: str) -> None:
        """Take a machine away at once; what it had not written is gone."""
        machine = self.machines[name]
        self.peace.disturb()
        self.links.stop(name)
        if machine.disk is not None:
            await machine.disk.close()
        if machine.running is not None:
            machine.running.cancel()
        if machine.node is not None:
            if machine.node._mining.manager is not None:
                # A crash waits for no disk.
                machine.node._mining.manager._core.journal.synced = _at_once  # type: ignore[method-assign]
            await machine.node.close()
        # With the process goes whatever it was just dialling.
        self.links.stop(name)
        machine.node = machine.disk = machine.running = None

    async def until_round(self, number: int) -> None:
        """Let the network run to the start of a round."""
        await self.clock.sleep_until(round_start(self.network, number))
        self.watch.check()

    async def until(self, number: int, phase: Phase) -> None:
        """Let the network run to the end of a phase."""
        await self.clock.sleep_until(deadline(self.network, number, phase))
        self.watch.check()

    def cut(self, side: Iterable[str]) -> None:
        """Cut the network between these machines and all others, until `heal`."""
        self.peace.break_out()
        side = list(side)
        for inside in side:
            for outside in self.machines:
                if outside not in side:
                    self.links.cut(inside, outside)

    def heal(self) -> None:
        """Undo every cut."""
        self.links.heal()
        self.peace.make_up()

    def up(self) -> list[str]:
        """Names of the machines that run."""
        return [name for name, machine in self.machines.items() if machine.node is not None]

    async def close(self) -> None:
        """Stop every machine; a node that failed by itself fails the test."""
        failed = [
            machine.running.exception()
            for machine in self.machines.values()
            if machine.running is not None and machine.running.done()
        ]
        self.watch.on_end()
        await self._tasks.close()
        for name in self.machines:
            await self.kill(name)
        await self.links.close()
        self.watch.check()
        for error in failed:
            if error is not None:
                raise error

    async def _tick(self) -> None:
        """Tell the watch of each round."""
        while True:
            number = phase_at(self.network, self.now_ms()).round + 1
            await self.clock.sleep_until(round_start(self.network, number))
            self.peace.on_round(number)
            self.watch.on_round(number)

    def _identity(self) -> Identity:
        return Identity(SigningKey(self.rng.randbytes(32)))

    def _machine(self, name: str, identity: Identity) -> Machine:
        kind = kind_of(name)
        setup = Setup(
            role=_ROLES[kind],
            network=self.network,
            identity=identity,
            payout_address=identity.public_key,
            peers=[peer for peer in self._dialled() if peer != name],
        )
        if kind in ("strong", "weak"):
            setup = replace(setup, pools=["manager0"], strength=Strength(kind))
        train_ms = self.plan.train_ms * (2 if kind == "weak" else 1)
        executor = WatchedExecutor(self.clock, train_ms, lambda job: self.watch.on_count(name, job))
        shelf = LastingShelf() if kind == "publisher" else MemoryShelf()
        return Machine(name, setup, MemoryStore(), executor, shelf)

    def _dialled(self) -> list[str]:
        return [f"full{number}" for number in range(min(self.plan.dialled, self.plan.full))]


async def _at_once() -> None:
    """Waits for nothing."""
