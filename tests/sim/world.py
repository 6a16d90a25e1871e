"""A whole network in one process: real nodes on virtual time, from one seed.

Everything above the seams (clock, transport, store, executor, randomness) is what `ponas-node`
runs. A world repeats exactly; a failing test prints nothing that its seed does not give.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from nacl.signing import SigningKey

from node.assembly import Node, Setup, Surroundings, mines_solo
from node.chain.genesis import Attester, Network, Producer
from node.chain.params import FAST, Parameters
from node.chain.timing import Phase, deadline, round_start
from node.clock import LoopClock
from node.config import Role
from node.identity import Identity
from node.net.memory import MemoryNetwork
from node.store.memory import MemoryStore
from node.store.writer import InlineWriter
from pool.records.strengths import Strength
from tests.scripted import ScriptedExecutor


@dataclass(frozen=True)
class Plan:
    """Who takes part. Full nodes attest; managers and solo miners hold a unit each.

    Strong and weak miners join the first manager. A candidate takes a strong miner `train_ms`,
    a weak one twice that.
    """

    full: int = 4
    managers: int = 1
    strong: int = 2
    weak: int = 1
    solo: int = 0
    train_ms: int = 700
    parameters: Parameters = FAST


@dataclass
class Machine:
    """A node with what outlives its crashes."""

    name: str
    setup: Setup
    store: MemoryStore
    executor: ScriptedExecutor
    node: Node | None = None
    running: asyncio.Task[None] | None = None


class World:
    """Machines by name: full0, manager0, strong0, weak0, solo0, ..."""

    def __init__(self, seed: int, plan: Plan) -> None:
        self.clock = LoopClock(asyncio.get_running_loop())
        self.rng = random.Random(seed)
        self.links = MemoryNetwork(self.clock, self.rng, delay_ms=(1, 40))
        self.plan = plan
        identities = {name: self._identity() for name in _names(plan)}
        self.network = _network(plan, identities)
        self.machines = {name: self._machine(name, who) for name, who in identities.items()}

    def __getitem__(self, name: str) -> Node:
        node = self.machines[name].node
        if node is None:
            raise LookupError(f"{name} is down")
        return node

    async def start(self, without: Iterable[str] = ()) -> None:
        """Start every machine but those `without`."""
        for name in self.machines:
            if name not in set(without):
                self.boot(name)

    def boot(self, name: str) -> None:
        """Start a machine, on what its store has kept."""
        machine = self.machines[name]
        trains = machine.setup.role is Role.MINER
        outside = Surroundings(
            clock=self.clock,
            transport=self.links.transport(name),
            store=machine.store,
            writer=InlineWriter(machine.store),
            counter=machine.executor if not trains or mines_solo(machine.setup) else None,
            auditing=machine.executor,
            trainer=machine.executor if trains else None,
            rng=random.Random(self.rng.getrandbits(64)),
        )
        machine.node = node = Node(machine.setup, outside)
        self.links.listen(name, node.on_peer, node.on_miner if node.runs_public_pool else None)
        machine.running = asyncio.ensure_future(node.run())

    async def kill(self, name: str) -> None:
        """Take a machine away at once; what it had not written is gone."""
        machine = self.machines[name]
        self.links.stop(name)
        if machine.running is not None:
            machine.running.cancel()
        if machine.node is not None:
            await machine.node.close()
        # With the process goes whatever it was just dialling.
        self.links.stop(name)
        machine.node = machine.running = None

    async def until_round(self, number: int) -> None:
        """Let the network run to the start of a round."""
        await self.clock.sleep_until(round_start(self.network, number))

    async def until(self, number: int, phase: Phase) -> None:
        """Let the network run to the end of a phase."""
        await self.clock.sleep_until(deadline(self.network, number, phase))

    def cut(self, side: Iterable[str]) -> None:
        """Cut the network between these machines and all others, until `links.heal()`."""
        side = set(side)
        for inside in side:
            for outside in set(self.machines) - side:
                self.links.cut(inside, outside)

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
        for name in self.machines:
            await self.kill(name)
        await self.links.close()
        for error in failed:
            if error is not None:
                raise error

    def _identity(self) -> Identity:
        return Identity(SigningKey(self.rng.randbytes(32)))

    def _machine(self, name: str, identity: Identity) -> Machine:
        kind = name.rstrip("0123456789")
        setup = Setup(
            role=Role.MINER if kind in ("strong", "weak", "solo") else Role(kind),
            network=self.network,
            identity=identity,
            payout_address=identity.public_key,
            peers=[peer for peer in ("full0", "full1") if peer != name],
        )
        if kind in ("strong", "weak"):
            setup = replace(setup, pools=["manager0"], strength=Strength(kind))
        train_ms = self.plan.train_ms * (2 if kind == "weak" else 1)
        return Machine(name, setup, MemoryStore(), ScriptedExecutor(self.clock, train_ms))


def _names(plan: Plan) -> Iterator[str]:
    counts = {
        "full": plan.full,
        "manager": plan.managers,
        "strong": plan.strong,
        "weak": plan.weak,
        "solo": plan.solo,
    }
    for kind, count in counts.items():
        yield from (f"{kind}{number}" for number in range(count))


def _network(plan: Plan, identities: dict[str, Identity]) -> Network:
    def keys(*kinds: str) -> list[bytes]:
        return sorted(who.public_key for name, who in identities.items() if name.startswith(kinds))

    return Network(
        parameters=plan.parameters,
        genesis_time_ms=0,
        attesters=tuple(Attester(key, 1) for key in keys("full")),
        units=tuple(Producer(key, 1) for key in keys("manager", "solo")),
        accounts=(),
    )
