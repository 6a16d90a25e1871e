"""How long a node has at hand what it has fetched."""

import asyncio

from node.chain.hashing import blob_hash
from node.chain.messages import Envelope
from node.chain.timing import round_start
from node.clock import LoopClock
from node.consensus.blobs import Blobs
from tests.virtual_time import virtual_time
from tests.walk_world import Bench

LATE = 7
BODY = b"a body of long ago"


@virtual_time
async def test_what_belongs_to_an_old_round_outlasts_the_round_in_which_it_was_fetched() -> None:
    clock = LoopClock(asyncio.get_running_loop())
    bench = Bench(clock)

    async def fetch(wanted: bytes, max_bytes: int, _: Envelope | None) -> bytes:
        return BODY

    blobs = Blobs(bench.chain, bench.rounds, bench.designs, fetch, clock)
    await clock.sleep_until(round_start(bench.world.network, LATE))
    assert await blobs.blob(1, blob_hash(BODY), 100, clock.now_ms() + 1) == BODY
    # As at the start of each round.
    bench.rounds.forget_before(LATE)
    assert blobs.held(blob_hash(BODY)) == BODY
    bench.rounds.forget_before(LATE + 1)
    assert blobs.held(blob_hash(BODY)) is None
