"""How fast a block spreads: whole nodes over links in memory, in virtual time.

Five attesters play the rounds as ever; nobody mines, so each round ends with a fallback block. The
others follow. Only the way counts: a link takes its time, computing takes none.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from typing import Any, NoReturn

from nacl.signing import SigningKey

from nas.bench.figures import Figure, describe_spread
from nas.jobs import Job
from node.aside import inline
from node.assembly import Node
from node.bench.chains import Cast, make_cast
from node.chain.timing import Phase, deadline, round_start
from node.clock import LoopClock
from node.config import Role
from node.identity import Identity
from node.net.memory import MemoryNetwork
from node.publishing.shelf import MemoryShelf
from node.setup import Setup, Surroundings
from node.store.memory import MemoryStore
from node.store.writer import InlineWriter
from node.tasks import TaskOwner
from node.virtual_time import run_virtual

GOAL_PART = 95
"""Hundredths of the nodes that have to hold a block."""
_FIRST_ROUND = 2
# How exact the times are.
_LOOK_EVERY_MS = 10


@dataclass(frozen=True)
class Crowd:
    """`nodes` machines with `peers` links each on average, which take `delay_ms` one way."""

    nodes: int
    peers: int
    delay_ms: int


@dataclass
class _Traffic:
    """Messages and bytes by sender."""

    delay_ms: int
    messages: Counter[str]
    sent_bytes: Counter[str]

    def carry(self, sender: str, _receiver: str, size: int) -> int:
        self.messages[sender] += 1
        self.sent_bytes[sender] += size
        return self.delay_ms


class _NoWork:
    """Stands for the executor of attesters to whom nobody claims anything."""

    async def run(self, job: Job) -> NoReturn:
        raise RuntimeError(f"nobody mines here, but there is a {type(job).__name__}")

    async def close(self) -> None:
        """Holds nothing."""


def measure_gossip(crowd: Crowd, rounds: int, seed: int) -> Figure:
    """Seconds until 95 % of the nodes hold a new block, the slowest of so many rounds."""
    return run_virtual(_measure(crowd, rounds, seed))


async def _measure(crowd: Crowd, rounds: int, seed: int) -> Figure:
    cast, traffic = make_cast(seed), _Traffic(crowd.delay_ms, Counter(), Counter())
    clock = LoopClock(asyncio.get_running_loop())
    links, tasks = MemoryNetwork(clock, traffic.carry), TaskOwner()
    nodes = _make_nodes(crowd, cast, clock, links, seed)
    for name, node in nodes.items():
        links.listen(name, node.on_peer)
        tasks.spawn(node.run(), name=name)
    await clock.sleep_until(round_start(cast.network, _FIRST_ROUND))
    num_links = sum(len(node.peers.sessions()) for node in nodes.values())
    traffic.messages.clear()
    traffic.sent_bytes.clear()
    times_s = []
    for number in range(_FIRST_ROUND, _FIRST_ROUND + rounds):
        times_s.append(await _spread_s(list(nodes.values()), cast, clock, number))
        await clock.sleep_until(round_start(cast.network, number + 1))
    messages, sent_bytes = (
        sum(count.values()) / len(nodes) / rounds
        for count in (traffic.messages, traffic.sent_bytes)
    )
    for node in nodes.values():
        await node.close()
    await tasks.close()
    await links.close()
    return Figure(
        "gossip",
        max(times_s),
        "s",
        rounds,
        seed,
        f"rounds: {describe_spread(times_s)}; a node sends {messages:.0f} messages and "
        f"{sent_bytes / 1_000:.0f} kB a round to {num_links / len(nodes):.1f} peers",
        f"{crowd.nodes} nodes and links of {crowd.delay_ms} ms: header, request and body take "
        "three of them to the first neighbours, two to the next",
    )


async def _spread_s(nodes: list[Node], cast: Cast, clock: LoopClock, number: int) -> float:
    """Seconds from the first node that holds a block of the round to the 95th of a hundred."""
    await clock.sleep_until(deadline(cast.network, number, Phase.CLAIM))
    attesters = nodes[: len(cast.attesters)]
    while not (first := [node for node in attesters if _has_block(node, number)]):
        await clock.sleep_until(clock.now_ms() + _LOOK_EVERY_MS)
    began_ms, block = clock.now_ms(), first[0].chain.tree.head().id
    lacking = nodes
    while 100 * len(lacking) > (100 - GOAL_PART) * len(nodes):
        await clock.sleep_until(clock.now_ms() + _LOOK_EVERY_MS)
        lacking = [node for node in lacking if node.chain.height(block) is None]
    return (clock.now_ms() - began_ms) / 1_000


def _has_block(node: Node, number: int) -> bool:
    return node.chain.tree.head().state.round == number


def _make_nodes(
    crowd: Crowd, cast: Cast, clock: LoopClock, links: MemoryNetwork, seed: int
) -> dict[str, Node]:
    """Nodes by name, the attesters first; each dials half of its peers, drawn from all others."""
    rng = random.Random(seed)
    strangers = crowd.nodes - len(cast.attesters)
    keys = [*cast.attesters, *(SigningKey(rng.randbytes(32)) for _ in range(strangers))]
    names = [f"node{number}" for number in range(crowd.nodes)]
    return {
        name: _make_node(
            cast,
            clock,
            links,
            name,
            key,
            tuple(rng.sample([other for other in names if other != name], crowd.peers // 2)),
            attests=key in cast.attesters,
        )
        for name, key in zip(names, keys, strict=True)
    }


def _make_node(
    cast: Cast,
    clock: LoopClock,
    links: MemoryNetwork,
    name: str,
    key: SigningKey,
    dials: tuple[str, ...],
    *,
    attests: bool,
) -> Node:
    identity, store = Identity(key), MemoryStore()
    setup = Setup(
        role=Role.FULL,
        network=cast.network,
        identity=identity,
        payout_address=identity.public_key,
        peers=dials,
        discovers=False,
    )
    counter: Any = _NoWork() if attests else None
    outside = Surroundings(
        clock=clock,
        transport=links.transport(name),
        store=store,
        writer=InlineWriter(store),
        counter=counter,
        auditing=None,
        trainer=None,
        shelf=MemoryShelf(),
        aside=inline,
        rng=random.Random(name),
    )
    return Node(setup, outside)
