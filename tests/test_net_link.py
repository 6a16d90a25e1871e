"""Both transports under the contract of links, and what is special about each."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from node.clock import LoopClock
from node.net.grpc_transport import GrpcServer, GrpcTransport
from node.net.link import LinkClosed, OnMiner, OnPeer, PeerLink, Unreachable
from node.net.memory import MemoryNetwork, between
from node.query import QueryServicer
from tests.contracts.link import SCENARIOS, Backend, Place, Scenario, numbered
from tests.fixed_views import FixedViews
from tests.virtual_time import run_virtual, virtual_time


@asynccontextmanager
async def open_memory(on_peer: OnPeer, on_miner: OnMiner | None) -> AsyncIterator[Place]:
    clock = LoopClock(asyncio.get_running_loop())
    network = MemoryNetwork(clock, between(random.Random(7), 1, 90))
    network.listen("server", on_peer, on_miner)
    yield Place(network.transport("client"), "server", "nowhere")
    await network.close()


@asynccontextmanager
async def open_grpc(on_peer: OnPeer, on_miner: OnMiner | None) -> AsyncIterator[Place]:
    server = GrpcServer(QueryServicer(FixedViews()), on_peer, on_miner)
    address = await server.start("127.0.0.1:0")
    # A port that was bound and given back: nobody listens there.
    gone = GrpcServer(QueryServicer(FixedViews()), on_peer)
    nowhere = await gone.start("127.0.0.1:0")
    await gone.stop(0)
    yield Place(GrpcTransport(), address, nowhere)
    await server.stop(0)


BACKENDS = (
    Backend("memory", run_virtual, open_memory),
    Backend("grpc", asyncio.run, open_grpc),
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_contract(backend: Backend, scenario: Scenario) -> None:
    backend.run(scenario(backend))


async def _arrivals(seed: int) -> list[int]:
    """Times in ms at which twenty messages arrive that were sent at once."""
    clock = LoopClock(asyncio.get_running_loop())
    network = MemoryNetwork(clock, between(random.Random(seed), 1, 500))
    times: list[int] = []

    async def on_peer(link: PeerLink) -> None:
        for _ in range(20):
            await link.receive()
            times.append(clock.now_ms())

    network.listen("server", on_peer)
    link = await network.transport("client").dial_peer("server")
    for number in range(20):
        await link.send(numbered(number))
    with pytest.raises(LinkClosed):
        await link.receive()
    await network.close()
    return times


def test_memory_delays_follow_from_the_seed() -> None:
    first = run_virtual(_arrivals(1))
    assert first == run_virtual(_arrivals(1))
    assert first != run_virtual(_arrivals(2))
    assert first == sorted(first)
    assert 1 <= first[0] <= 500


@virtual_time
async def test_memory_cut_breaks_links_until_healed() -> None:
    clock = LoopClock(asyncio.get_running_loop())
    network = MemoryNetwork(clock, between(random.Random(7), 10, 10))

    async def on_peer(link: PeerLink) -> None:
        while True:
            await link.receive()

    network.listen("a", on_peer)
    network.listen("b", on_peer)
    to_a = await network.transport("c").dial_peer("a")
    to_b = await network.transport("c").dial_peer("b")
    network.cut("c", "a")
    with pytest.raises(LinkClosed, match="cut"):
        await to_a.receive()
    await to_b.send(numbered(1))
    with pytest.raises(Unreachable, match="cut"):
        await network.transport("c").dial_peer("a")
    network.heal()
    again = await network.transport("c").dial_peer("a")
    await again.send(numbered(1))
    network.stop("b")
    with pytest.raises(LinkClosed, match="went away"):
        await to_b.receive()
    await network.close()
