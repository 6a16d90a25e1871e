"""How long a full body keeps the event loop from its turn."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from statistics import median

from nacl.signing import SigningKey

from nas.bench.figures import Clock, Figure, describe_spread, format_value, seconds_of
from node.aside import OneThread
from node.bench.transfers import make_block, make_network
from node.chain.block import open_block
from node.chain.envelope import forget_signatures
from node.chain.forkchoice import BlockTree
from node.chain.state import State
from node.chain.transition import apply_block
from node.collector import calm_collector
from node.consensus.designs import NasDesigns

_BEAT_S = 0.001


def measure_stall(runs: int, transfers: int, accounts: int, seed: int, clock: Clock) -> Figure:
    """Seconds that a task which wants its turn every millisecond waits for it at most while a block
    of so many transfers is judged beside the loop; the median of `runs`.

    Each is paid by an account of its own, of that many, to one drawn at random.
    """
    judge = _make_work(transfers, accounts, seed)
    calm_collector()
    inline_s = seconds_of(judge, clock)
    waits = [asyncio.run(_longest_wait(judge, clock)) for _ in range(runs)]
    floor = (
        "how often the interpreter changes threads; "
        f"in the loop itself it would be {format_value(inline_s)} s"
    )
    return Figure("stall", median(waits), "s", runs, seed, describe_spread(waits), floor)


def _make_work(transfers: int, accounts: int, seed: int) -> Callable[[], State]:
    """What a node does with a body that has just come."""
    rng = random.Random(seed)
    keys = [SigningKey(rng.randbytes(32)) for _ in range(transfers)]
    attester = SigningKey(rng.randbytes(32))
    network = make_network(attester, keys, accounts, rng)
    tree, designs = BlockTree(network), NasDesigns(network.parameters)
    # The first root hashes all accounts, which a node does once.
    _ = tree.head().state.accounts.root
    header, body = make_block(tree, attester, keys, rng)

    def judge() -> State:
        forget_signatures()
        block = open_block(header, body, network.id)
        context = tree.context_for(block.parent, block.round)
        return apply_block(context, tree.entry(block.parent).state, block, designs)

    return judge


async def _longest_wait(judge: Callable[[], State], clock: Clock) -> float:
    """How much later than it wanted a task got its turn, in seconds, while another thread works."""
    aside = OneThread()
    working = asyncio.ensure_future(aside(judge))
    longest, before = 0.0, clock()
    while not working.done():
        await asyncio.sleep(_BEAT_S)
        now = clock()
        longest, before = max(longest, now - before - _BEAT_S), now
    await working
    aside.close()
    return longest
