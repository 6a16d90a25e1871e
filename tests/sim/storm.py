"""Faults drawn from a seed: crashes, cuts, losses, delays, skewed clocks, old news."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

from node.chain.errors import Rejected
from node.chain.messages import Envelope
from node.chain.timing import phase_at
from node.net.protocol import Gossip
from node.tasks import TaskOwner
from tests.sim.customers import Customers
from tests.sim.watch import before
from tests.sim.weather import CALM_MS
from tests.sim.world import World

LONGEST_PAUSE_MS = 6_000
"""Between two faults."""
OLD_NEWS = 512
"""Objects kept to come again."""


class Storm:
    """Makes trouble in a world for some rounds, then lets it rest.

    Each fault is as likely as the others, and comes at a random time; it lasts until another one or
    the calm undoes it. In a world with coins some are spent in between.
    """

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._rng = random.Random(f"storm {seed}")
        self._tasks = TaskOwner()
        self._news: list[Envelope] = []
        self._crashes: list[asyncio.Task[None]] = []
        self._customers = Customers(world, self._rng)
        self._faults: tuple[Callable[[], Awaitable[None]], ...] = (
            self._crash,
            self._crash_on_signing,
            self._restart,
            self._cut,
            self._heal,
            self._turn_foul,
            self._slow_down,
            self._tell_old_news,
            *((self._pay, self._bond) if world.plan.purse else ()),
        )

    async def rage(self, rounds: int) -> None:
        """Let one fault follow the other for so many rounds."""
        end_ms = self._world.now_ms() + rounds * self._world.network.parameters.timing.round_ms
        self._world.peace.break_out()
        self._world.peace.is_truce = False
        self._listen()
        while self._world.now_ms() < end_ms:
            await self._rng.choice(self._faults)()
            pause_ms = self._rng.randrange(LONGEST_PAUSE_MS)
            await self._world.clock.sleep_until(self._world.now_ms() + pause_ms)

    async def rest(self, rounds: int) -> None:
        """Undo every fault, and let so many whole rounds pass."""
        world = self._world
        world.weather.clear()
        world.peace.is_truce = True
        # A machine that is just going down could not be started again yet.
        await asyncio.gather(*self._crashes)
        self._crashes.clear()
        tolerance_ms = self._tolerance_ms()
        for name, machine in world.machines.items():
            if abs(machine.skew_ms) > tolerance_ms and machine.node is not None:
                await world.kill(name)
            if machine.node is None:
                machine.skew_ms = self._rng.randint(-tolerance_ms, tolerance_ms) // 2
                world.boot(name)
        world.heal()
        now = phase_at(world.network, world.now_ms()).round
        await world.until_round(now + 1 + rounds)

    async def close(self) -> None:
        """End what is still to come."""
        await self._tasks.close()

    async def _crash(self) -> None:
        await self._world.kill(self._rng.choice(list(self._world.machines)))

    async def _crash_on_signing(self) -> None:
        """Let a machine crash within a moment of the next object that it sends."""
        name = self._rng.choice(list(self._world.machines))
        node = self._world.node(name)
        delay_ms = self._rng.randrange(8)
        pending = [True]

        async def crash() -> None:
            await self._world.clock.sleep_until(self._world.now_ms() + delay_ms)
            if self._world.node(name) is node and not self._world.peace.is_truce:
                await self._world.kill(name)

        def on_signed(_envelope: Envelope) -> None:
            if pending:
                pending.clear()
                self._crashes.append(self._tasks.spawn(crash(), name=f"crash {name}"))

        if node is not None:
            before(node.peers, "broadcast", on_signed)

    async def _restart(self) -> None:
        """Start a machine that is down, with a clock that is off by up to three times too much."""
        down = [name for name, each in self._world.machines.items() if each.node is None]
        if down:
            name = self._rng.choice(down)
            most_ms = 3 * self._tolerance_ms()
            self._world.machines[name].skew_ms = self._rng.randint(-most_ms, most_ms)
            self._world.boot(name)
            self._listen()

    async def _cut(self) -> None:
        names = list(self._world.machines)
        self._world.cut(self._rng.sample(names, self._rng.randrange(1, len(names))))

    async def _heal(self) -> None:
        self._world.links.heal()

    async def _turn_foul(self) -> None:
        weather = self._world.weather
        weather.lost_permille = self._rng.choice((0, 2, 20))
        weather.delay_ms = self._rng.choice((CALM_MS, (1, 400), (200, 2_000)))

    async def _slow_down(self) -> None:
        name = self._rng.choice(list(self._world.machines))
        self._world.weather.slow = {name: self._rng.randrange(1, 3_000)}

    async def _tell_old_news(self) -> None:
        """Let objects of any age come again, by a peer that is none."""
        node = self._world.node(self._rng.choice(list(self._world.machines)))
        if node is not None:
            for envelope in self._rng.sample(self._news, min(len(self._news), 32)):
                # What one head allows, another may not.
                with suppress(Rejected):
                    verdict = node._gate.on_gossip(envelope)
                    if not isinstance(verdict, Gossip):
                        await verdict

    async def _pay(self) -> None:
        self._customers.pay()

    async def _bond(self) -> None:
        self._customers.bond()

    def _listen(self) -> None:
        """Keep what one machine hears, to tell it again."""
        for name in self._world.up()[:1]:
            before(self._world[name]._gate, "on_gossip", self._keep)

    def _keep(self, envelope: Envelope) -> None:
        self._news.append(envelope)
        if len(self._news) > OLD_NEWS:
            del self._news[self._rng.randrange(OLD_NEWS)]

    def _tolerance_ms(self) -> int:
        return self._world.network.parameters.timing.round_ms // 200
