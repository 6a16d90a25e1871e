"""One end of a pool connection, over a link that hands on what it is told to."""

import asyncio
from contextlib import suppress

from node.chain.hashing import blob_hash
from node.clock import LoopClock
from node.tasks import spawn
from ponas.v1 import pool_service_pb2 as pb
from pool.link.blobs import chunks
from pool.link.channel import Channel
from pool.records.floods import Flood
from tests.virtual_time import virtual_time

MODEL = b"model"


class ScriptedLink:
    """Receives what is put into `incoming`; what is sent is lost."""

    remote = "miner"
    outbound = False

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[pb.MineRequest] = asyncio.Queue()
        self.closed_for = ""

    async def send(self, message: pb.MineResponse) -> None:
        pass

    async def receive(self) -> pb.MineRequest:
        return await self.incoming.get()

    async def close(self, reason: str) -> None:
        self.closed_for = reason


@virtual_time
async def test_a_blob_that_comes_in_the_step_in_which_its_time_is_up_is_late() -> None:
    link = ScriptedLink()
    clock = LoopClock(asyncio.get_running_loop())
    channel = Channel(link, pb.MineResponse, lambda _: None, clock)
    running = spawn(channel.run(lambda _: None), name="channel")
    (chunk,) = chunks(blob_hash(MODEL), MODEL)
    late = pb.MineRequest(blob_chunk=chunk)
    fetching = spawn(channel.fetch(chunk.hash, len(MODEL), 1_000), name="fetch")
    await asyncio.sleep(0)

    # The chunk is taken before who waits for it hears that it may wait no longer.
    link.incoming.put_nowait(late)
    fetching.cancel()
    with suppress(asyncio.CancelledError):
        await fetching
    await asyncio.sleep(0)

    assert not running.done()
    assert not channel.has_ended
    link.incoming.put_nowait(late)
    assert await running == link.closed_for == Flood.CHUNKS
