"""One end of a pool connection, over a link that hands on what it is told to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from node.chain.hashing import blob_hash
from node.clock import LoopClock
from node.tasks import spawn
from ponas.v1 import pool_service_pb2 as pb
from pool.link.blobs import CHUNK_BYTES, BlobError, chunks
from pool.link.channel import Channel
from pool.records.floods import Flood
from tests.virtual_time import virtual_time

MODEL = b"model"
STATE = bytes(CHUNK_BYTES) + b"state"
MINUTES_MS = 300_000


class ScriptedLink:
    """Receives what is put into `incoming`; `asked` keeps the hashes that were asked for."""

    remote = "miner"
    outbound = False

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[pb.MineRequest] = asyncio.Queue()
        self.asked: list[bytes] = []
        self.closed_for = ""

    async def send(self, message: pb.MineResponse) -> None:
        self.asked.append(message.blob_request.hash)

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


ManagersEnd = Channel[pb.MineResponse, pb.MineRequest]
Fetching = tuple[ScriptedLink, ManagersEnd, asyncio.Task[bytes]]


@asynccontextmanager
async def fetching_a_state() -> AsyncIterator[Fetching]:
    """A link on which a state is asked for that takes minutes to make."""
    link = ScriptedLink()
    clock = LoopClock(asyncio.get_running_loop())
    channel: ManagersEnd = Channel(link, pb.MineResponse, lambda _: None, clock)
    running = spawn(channel.run(lambda _: None), name="channel")
    state = spawn(channel.fetch(blob_hash(STATE), len(STATE), MINUTES_MS), name="state")
    await asyncio.sleep(1)
    yield link, channel, state
    channel.end("the test is over")
    await running


def put(link: ScriptedLink, *blobs: bytes) -> None:
    """The chunks of blobs, one of each in turn."""
    of_each = [list(chunks(blob_hash(blob), blob)) for blob in blobs]
    while any(of_each):
        for waiting in filter(None, of_each):
            link.incoming.put_nowait(pb.MineRequest(blob_chunk=waiting.pop(0)))


@virtual_time
async def test_a_blob_comes_while_another_is_being_made() -> None:
    async with fetching_a_state() as (link, channel, state):
        model = spawn(channel.fetch(blob_hash(MODEL), len(MODEL), 1_000), name="model")
        await asyncio.sleep(0)
        put(link, MODEL)
        assert await model == MODEL
        assert not state.done()
        put(link, STATE)
        assert await state == STATE
        assert not channel.has_ended


@virtual_time
async def test_two_blobs_may_come_in_turns_and_a_third_waits() -> None:
    async with fetching_a_state() as (link, channel, state):
        other = STATE + b"!"
        rest = [
            spawn(channel.fetch(blob_hash(blob), len(blob), 1_000), name="more")
            for blob in (other, MODEL)
        ]
        await asyncio.sleep(0.9)
        assert link.asked == [blob_hash(STATE), blob_hash(other)]
        put(link, STATE, other)
        assert (await state, await rest[0]) == (STATE, other)
        await asyncio.sleep(0.9)
        put(link, MODEL)
        assert await rest[1] == MODEL


@virtual_time
async def test_who_names_one_blob_twice_has_no_more_time_for_it() -> None:
    async with fetching_a_state() as (link, channel, state):
        for _ in range(2):
            with pytest.raises(BlobError, match="within 1000 ms"):
                await channel.fetch(blob_hash(STATE), len(MODEL), 1_000)
        assert link.asked == [blob_hash(STATE)]
        again = spawn(channel.fetch(blob_hash(STATE), len(STATE), 1_000), name="again")
        await asyncio.sleep(0)
        put(link, STATE)
        assert await state == STATE
        await asyncio.sleep(0.5)
        assert len(link.asked) == 2, "the second is asked for when the first is here"
        put(link, STATE)
        assert await again == STATE


@virtual_time
async def test_the_end_of_a_link_ends_all_that_is_on_its_way() -> None:
    async with fetching_a_state() as (_, channel, state):
        blobs = (MODEL, STATE, b"more")
        rest = [
            spawn(channel.fetch(blob_hash(blob), len(blob), 1_000), name="more") for blob in blobs
        ]
        await asyncio.sleep(0)
        channel.end("it breaks")
        for fetching in (state, *rest):
            with pytest.raises(BlobError, match="the link ended: it breaks"):
                await fetching
