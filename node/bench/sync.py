"""How fast a node catches up with a chain whose counts a quorum vouches for.

Both nodes run in this process, over links in memory; the one that catches up keeps its chain on
disk. Everything but the evaluation of models is done as ever: protobuf, signatures, the rules of
designs and money, synced writes.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path
from statistics import median

from nacl.signing import SigningKey

from nas.bench.figures import Clock, Figure, format_value, rate_figure
from node.aside import Aside, OneThread, inline
from node.assembly import Node
from node.bench.chains import ATTESTERS, TRANSFERS, Cast, fill_chain, make_cast
from node.chain.envelope import forget_signatures
from node.chain.timing import round_start
from node.clock import LoopClock
from node.config import Role
from node.identity import Identity
from node.net.memory import MemoryNetwork, at_once
from node.publishing.shelf import MemoryShelf
from node.setup import Setup, Surroundings
from node.store.base import Store
from node.store.memory import MemoryStore
from node.store.rocks import open_store
from node.store.writer import InlineWriter, ThreadWriter, Writer

_ALL, _NEW = "the one that has all", "the one that catches up"
_LOOK_S = 0.002


def measure_sync(runs: int, blocks: int, seed: int, clock: Clock) -> Figure:
    """Blocks a second of a node that syncs `blocks` from genesis, in each of `runs` runs.

    They are in once it follows them; the figure also tells when it had checked what was left then.
    """
    return asyncio.run(_measure(runs, blocks, seed, clock))


async def _measure(runs: int, blocks: int, seed: int, clock: Clock) -> Figure:
    cast, store = make_cast(seed), MemoryStore()
    last = await fill_chain(cast, blocks, seed, store)
    times = [await _catch_up(cast, store, blocks, last, clock) for _ in range(runs)]
    checked = median(blocks / in_all for _, in_all in times)
    signatures = 2 * ATTESTERS + TRANSFERS + 1
    floor = (
        "decoding and following states; "
        f"{signatures} signatures, lists and the design of a block are checked behind, "
        f"all done at {format_value(checked)} blocks/s"
    )
    seconds = [followed for followed, _ in times]
    return rate_figure("sync", "blocks/s", blocks, seconds, seed, floor)


async def _catch_up(
    cast: Cast, store: Store, blocks: int, last: bytes, clock: Clock
) -> tuple[float, float]:
    """Seconds until a new node follows the chain that is in a store, and has checked all of it."""
    loop = asyncio.get_running_loop()
    now_ms = round_start(cast.network, blocks + 2)
    node_clock = LoopClock(loop, now_ms - round(loop.time() * 1_000))
    links = MemoryNetwork(node_clock, at_once)
    with tempfile.TemporaryDirectory() as folder:
        disk = open_store(Path(folder) / "store", cast.network.id)
        on_disk = ThreadWriter(disk)
        aside = OneThread()
        full = _node(cast, node_clock, links, _ALL, store, InlineWriter(store), inline)
        new = _node(cast, node_clock, links, _NEW, disk, on_disk, aside)
        links.listen(_ALL, full.on_peer)
        # The other node has checked them in this very process.
        forget_signatures()
        running = asyncio.ensure_future(new.run())
        started = clock()
        while new.chain.height(last) is None and not running.done():
            await asyncio.sleep(_LOOK_S)
        followed = clock() - started
        while new.chain.backlog.reason and not running.done():
            await asyncio.sleep(_LOOK_S)
        checked = clock() - started
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        for node in (new, full):
            await node.close()
        await links.close()
        await on_disk.close()
        aside.close()
    return followed, checked


def _node(
    cast: Cast,
    clock: LoopClock,
    links: MemoryNetwork,
    name: str,
    store: Store,
    writer: Writer,
    aside: Aside,
) -> Node:
    identity = Identity(SigningKey(name.encode().ljust(32)[:32]))
    setup = Setup(
        role=Role.FULL,
        network=cast.network,
        identity=identity,
        payout_address=identity.public_key,
        peers=(_ALL,) if name == _NEW else (),
    )
    outside = Surroundings(
        clock=clock,
        transport=links.transport(name),
        store=store,
        writer=writer,
        counter=None,
        auditing=None,
        trainer=None,
        shelf=MemoryShelf(),
        aside=aside,
        rng=random.Random(name),
    )
    return Node(setup, outside)
