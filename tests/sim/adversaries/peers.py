"""Nodes that are bad company, whatever they sign."""

from __future__ import annotations

import random
from collections.abc import Awaitable

from node.assembly import Node
from node.chain.envelope import sign
from node.chain.messages import Commit, Envelope
from node.chain.timing import phase_at
from node.net.protocol import Gossip
from tests.sim.world import World

FLOOD_EVERY_MS = 1_000
FLOOD = 8


class Muffler:
    """Passes nothing on: who hears the network through it alone hears nothing."""

    def corrupt(self, world: World, name: str, node: Node) -> None:
        take = node._gate.on_gossip

        async def keep(judging: Awaitable[Gossip]) -> Gossip:
            await judging
            return Gossip.DROP

        def take_and_keep(envelope: Envelope) -> Gossip | Awaitable[Gossip]:
            verdict = take(envelope)
            return Gossip.DROP if isinstance(verdict, Gossip) else keep(verdict)

        node._gate.on_gossip = take_and_keep  # type: ignore[method-assign]


class Flooder:
    """Sends commits for units that it does not have, by the dozen.

    Its links are slowed and ended for it, so that its seal may be in time for some alone: it keeps
    still while a world rests.
    """

    def corrupt(self, world: World, name: str, node: Node) -> None:
        key = world.machines[name].setup.identity.signing_key
        rng = random.Random(f"flood {name}")

        async def flood() -> None:
            while world.node(name) is node:
                now = phase_at(world.network, world.now_ms()).round
                for unit in range(0 if world.peace.is_truce else FLOOD):
                    commit = Commit(now, unit % 7, rng.randbytes(32))
                    node.peers.broadcast(sign(commit, key, world.network.id).envelope)
                await world.clock.sleep_until(world.now_ms() + FLOOD_EVERY_MS)

        node._tasks.spawn(flood(), name="flood")
