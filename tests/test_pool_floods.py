"""Who sends more than anybody can mean is left, and sent away when it does so again."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import repeat

import pytest
from structlog.testing import capture_logs

from node.net.link import LinkClosed
from ponas.v1 import pool_service_pb2 as pb
from ponas.v1.types_pb2 import BlobChunk
from pool.link.blobs import chunks
from pool.link.channel import REQUESTS_A_MINUTE, REQUESTS_AT_ONCE
from pool.link.wire import report_to_wire
from pool.manager.results import BLOB_TIMEOUT_MS
from pool.manager.session import DUPLICATES_AT_ONCE, MESSAGES_AT_ONCE
from pool.records import events
from pool.records.floods import Flood
from pool.records.refusals import Refusal
from pool.rules.bans import FLOOD_POINTS
from tests.hand_pool import HandPool, miner_of
from tests.pool_world import PoolWorld, public
from tests.scripted import ScriptedExecutor
from tests.test_pool_manager import RawMiner, trained
from tests.virtual_time import virtual_time

CHUNK = BlobChunk(hash=bytes(32), total=9, data=b"unasked")
REQUEST = pb.BlobRequest(hash=bytes(32))


def heartbeats(_: pb.Assignment) -> Iterator[pb.MineRequest]:
    return repeat(pb.MineRequest(heartbeat=pb.Heartbeat()), 2 * MESSAGES_AT_ONCE)


def requests(_: pb.Assignment) -> Iterator[pb.MineRequest]:
    return repeat(pb.MineRequest(blob_request=REQUEST), REQUESTS_AT_ONCE + 50)


def unasked(_: pb.Assignment) -> Iterator[pb.MineRequest]:
    return repeat(pb.MineRequest(blob_chunk=CHUNK), 1)


def duplicates(order: pb.Assignment) -> Iterator[pb.MineRequest]:
    # No claim of a best, which would be looked into.
    report = trained(order, 1)[0].but(correct=0)
    result = pb.MineRequest(result=report_to_wire(report))
    return repeat(result, 1 + DUPLICATES_AT_ONCE + 50)


Floods = Callable[[pb.Assignment], Iterator[pb.MineRequest]]


async def flood(world: PoolWorld, name: str, floods: Floods) -> str:
    """Connect, send all of it and read the answers; returns why the link ended."""
    miner = await RawMiner(world, name).connect()
    messages = floods(await miner.expect("assignment"))

    async def send() -> None:
        with suppress(LinkClosed):
            for message in messages:
                await miner.link.send(message)

    world.spawn(send(), "flood")
    async with asyncio.timeout(60):
        return await miner.closed()


@pytest.mark.parametrize(
    ("floods", "what"),
    [
        (heartbeats, Flood.MESSAGES),
        (requests, Flood.REQUESTS),
        (unasked, Flood.CHUNKS),
        (duplicates, Flood.DUPLICATES),
    ],
    ids=list(Flood),
)
def test_a_flood_ends_the_link_and_two_of_them_ban(floods: Floods, what: Flood) -> None:
    @virtual_time
    async def run() -> None:
        world = PoolWorld()
        world.start_round()
        honest = await RawMiner(world, "s").connect()

        assert await flood(world, "mal", floods) == what
        await world.pass_ms(100)
        (flooded,) = [e for e in world.history() if isinstance(e, events.Flooded)]
        assert (flooded.miner, flooded.what) == (public("mal"), what)
        assert world.manager.state.miners[public("mal")].conduct.points == FLOOD_POINTS

        again = await flood(world, "mal", floods)
        await world.pass_ms(100)
        assert again == what
        assert [e.miner for e in world.history() if isinstance(e, events.Banned)] == [public("mal")]
        await honest.send(trained(await honest.expect("assignment"), 1)[0].but(correct=0))
        assert (await honest.expect("acknowledgement")).acceptance == pb.ACCEPTANCE_ACCEPTED
        await world.close()

    run()


@virtual_time
async def test_requests_within_the_allowance_are_answered() -> None:
    world = PoolWorld()
    world.start_round()
    miner = await RawMiner(world, "s").connect()

    async def ask(times: int) -> None:
        for _ in range(times):
            await miner.link.send(pb.MineRequest(blob_request=REQUEST))
            await miner.expect("blob_chunk")

    await ask(REQUESTS_AT_ONCE)
    await world.pass_ms(1_000)
    await ask(REQUESTS_A_MINUTE // 60)
    await world.close()


@virtual_time
async def test_a_blob_that_comes_too_late_is_no_flood_but_twice_is() -> None:
    world = PoolWorld()
    world.start_round()
    miner = await RawMiner(world, "s").connect()
    report, model = trained(await miner.expect("assignment"), 300)
    await miner.send(report)
    request = await miner.expect("blob_request")
    await world.pass_ms(BLOB_TIMEOUT_MS + 100)
    (late,) = [pb.MineRequest(blob_chunk=chunk) for chunk in chunks(request.hash, model)]
    await miner.link.send(late)
    await world.pass_ms(100)

    state = world.manager.state.miners[public("s")]
    assert state.connected
    assert dict(state.refused) == {Refusal.MODEL_MISSING: 1}
    await miner.link.send(late)
    assert await miner.closed() == Flood.CHUNKS
    await world.close()


@virtual_time
async def test_what_is_left_of_one_blob_does_not_spoil_the_next() -> None:
    world = PoolWorld()
    world.start_round()
    miner = await RawMiner(world, "s").connect()
    order = await miner.expect("assignment")
    first, model = trained(order, 300)
    await miner.send(first)
    await miner.expect("blob_request")
    await world.pass_ms(BLOB_TIMEOUT_MS + 100)
    second, better = trained(order, 310, 1)
    await miner.send(second)
    request = await miner.expect("blob_request")
    for hash_, blob in ((first.model_hash, model), (request.hash, better)):
        for chunk in chunks(hash_, blob):
            await miner.link.send(pb.MineRequest(blob_chunk=chunk))
    await world.pass_ms(1_000)

    best = world.manager.best()
    assert best is not None
    assert best.correct == 310
    await world.close()


@virtual_time
async def test_a_pool_that_sends_what_its_miner_has_not_asked_for_is_left() -> None:
    world = PoolWorld()
    pool = HandPool(world, "a")
    pool.orders = [pb.MineResponse(blob_chunk=CHUNK)]
    miner = miner_of(world, [pool], ScriptedExecutor(world.clock))
    world.spawn(miner.run(), "miner")
    await world.pass_ms(200)

    assert f"not connected to the pool: {Flood.CHUNKS}" in miner.status.activity
    await world.close()


@virtual_time
async def test_a_pool_that_asks_too_often_is_left() -> None:
    world = PoolWorld()
    pool = HandPool(world, "a")
    miner = miner_of(world, [pool], ScriptedExecutor(world.clock))
    world.spawn(miner.run(), "miner")
    await world.pass_ms(200)
    with capture_logs() as logs, suppress(LinkClosed):
        for _ in range(REQUESTS_AT_ONCE + 50):
            await pool.send(pb.MineResponse(blob_request=REQUEST))
        await world.pass_ms(200)

    reasons = [log["reason"] for log in logs if log["event"] == "not_mining"]
    assert f"not connected to the pool: {Flood.REQUESTS}" in reasons[0]
    await world.close()
