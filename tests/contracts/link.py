"""What every transport promises, as scenarios run against each of them by test_net_link.py."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import pytest

from node.net.link import (
    MAX_MESSAGE_BYTES,
    LinkClosed,
    OnMiner,
    OnPeer,
    PeerLink,
    Transport,
    Unreachable,
)
from ponas.v1.peer_service_pb2 import GetHeaders, PeerMessage
from ponas.v1.pool_service_pb2 import Challenge, Heartbeat, MineRequest, MineResponse
from ponas.v1.types_pb2 import BlobChunk


@dataclass(frozen=True)
class Place:
    """A transport, the address of a server behind it, and one where nobody listens."""

    transport: Transport
    address: str
    nowhere: str


@dataclass(frozen=True)
class Backend:
    """A transport under test: how to run a scenario, and how to open a place for it."""

    name: str
    run: Callable[[Coroutine[Any, Any, None]], None]
    open: Callable[[OnPeer, OnMiner | None], AbstractAsyncContextManager[Place]]


Scenario = Callable[[Backend], Coroutine[Any, Any, None]]


def numbered(number: int) -> PeerMessage:
    return PeerMessage(get_headers=GetHeaders(limit=number))


def sized(num_bytes: int) -> PeerMessage:
    return PeerMessage(blob_chunk=BlobChunk(data=bytes(num_bytes)))


async def with_pair(
    backend: Backend, scenario: Callable[[PeerLink, PeerLink], Awaitable[None]]
) -> None:
    """Runs `scenario(dialling end, serving end)`; the server keeps its end open meanwhile."""
    served: asyncio.Future[PeerLink] = asyncio.get_running_loop().create_future()
    is_over = asyncio.Event()

    async def on_peer(link: PeerLink) -> None:
        served.set_result(link)
        await is_over.wait()

    async with backend.open(on_peer, None) as place:
        dialled = await place.transport.dial_peer(place.address)
        await scenario(dialled, await served)
        is_over.set()
        await dialled.close("the test is over")


async def keeps_order_both_ways(backend: Backend) -> None:
    async def scenario(dialled: PeerLink, served: PeerLink) -> None:
        for number in range(1, 40):
            await dialled.send(numbered(number))
            await served.send(numbered(1000 + number))
        for number in range(1, 40):
            assert (await served.receive()).get_headers.limit == number
            assert (await dialled.receive()).get_headers.limit == 1000 + number
        assert dialled.outbound
        assert not served.outbound

    await with_pair(backend, scenario)


async def sender_waits_for_a_slow_receiver(backend: Backend) -> None:
    num_messages, sent = 400, 0

    async def scenario(dialled: PeerLink, served: PeerLink) -> None:
        async def pump() -> None:
            nonlocal sent
            for _ in range(num_messages):
                await dialled.send(sized(256 * 1024))
                sent += 1

        pumping = asyncio.ensure_future(pump())
        # Nobody receives: whatever the transport buffers, it must stop far below 100 MiB.
        await asyncio.wait({pumping}, timeout=1.0)
        assert 0 < sent < num_messages / 2
        for _ in range(num_messages):
            await served.receive()
        await pumping

    await with_pair(backend, scenario)


async def dialler_closes(backend: Backend) -> None:
    async def scenario(dialled: PeerLink, served: PeerLink) -> None:
        receiving = asyncio.ensure_future(dialled.receive())
        await asyncio.sleep(0)
        await dialled.close("had enough")
        with pytest.raises(LinkClosed, match="had enough"):
            await receiving
        with pytest.raises(LinkClosed, match="had enough"):
            await dialled.send(numbered(1))
        with pytest.raises(LinkClosed):
            await served.receive()
        await dialled.close("twice")

    await with_pair(backend, scenario)


async def server_closes_and_says_why(backend: Backend) -> None:
    async def scenario(dialled: PeerLink, served: PeerLink) -> None:
        receiving = asyncio.ensure_future(served.receive())
        await asyncio.sleep(0)
        await served.close("wrong network")
        for link in (dialled, served):
            with pytest.raises(LinkClosed, match="wrong network"):
                await link.receive()
        with pytest.raises(LinkClosed):
            await receiving
        with pytest.raises(LinkClosed):
            await served.send(numbered(1))

    await with_pair(backend, scenario)


async def link_ends_with_the_service(backend: Backend) -> None:
    async def on_peer(link: PeerLink) -> None:
        await link.receive()

    async with backend.open(on_peer, None) as place:
        link = await place.transport.dial_peer(place.address)
        await link.send(numbered(1))
        with pytest.raises(LinkClosed, match="the service ended"):
            await link.receive()
        await link.close("the test is over")


async def oversized_message_closes(backend: Backend) -> None:
    async def scenario(dialled: PeerLink, served: PeerLink) -> None:
        with pytest.raises(LinkClosed, match="exceeds"):
            await dialled.send(sized(MAX_MESSAGE_BYTES + 1))
        with pytest.raises(LinkClosed):
            await served.receive()

    await with_pair(backend, scenario)


async def cancelled_task_stays_cancelled(backend: Backend) -> None:
    async def scenario(dialled: PeerLink, served: PeerLink) -> None:
        for link in (dialled, served):
            receiving = asyncio.ensure_future(link.receive())
            await asyncio.sleep(0)
            receiving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await receiving

    await with_pair(backend, scenario)


async def nobody_at_the_address(backend: Backend) -> None:
    async def on_peer(link: PeerLink) -> None:
        await link.receive()

    async with backend.open(on_peer, None) as place:
        with pytest.raises(Unreachable, match="can't be reached"):
            await place.transport.dial_peer(place.nowhere)
        with pytest.raises(Unreachable, match="can't be reached"):
            await place.transport.dial_pool(place.nowhere)


async def pool_speaks_its_own_messages(backend: Backend) -> None:
    async def on_peer(link: PeerLink) -> None:
        await link.receive()

    async def on_miner(link: Any) -> None:
        await link.send(MineResponse(challenge=Challenge(nonce=b"n" * 32)))
        assert (await link.receive()).WhichOneof("content") == "heartbeat"
        await link.close("well mined")

    async with backend.open(on_peer, on_miner) as place:
        link = await place.transport.dial_pool(place.address)
        assert (await link.receive()).challenge.nonce == b"n" * 32
        await link.send(MineRequest(heartbeat=Heartbeat()))
        with pytest.raises(LinkClosed, match="well mined"):
            await link.receive()
        await link.close("the test is over")


async def node_without_pool_says_so(backend: Backend) -> None:
    async def on_peer(link: PeerLink) -> None:
        await link.receive()

    async with backend.open(on_peer, None) as place:

        async def ask() -> None:
            link = await place.transport.dial_pool(place.address)
            await link.receive()

        with pytest.raises((Unreachable, LinkClosed), match="offer"):
            await ask()


SCENARIOS: tuple[Scenario, ...] = (
    keeps_order_both_ways,
    sender_waits_for_a_slow_receiver,
    dialler_closes,
    server_closes_and_says_why,
    link_ends_with_the_service,
    oversized_message_closes,
    cancelled_task_stays_cancelled,
    nobody_at_the_address,
    pool_speaks_its_own_messages,
    node_without_pool_says_so,
)
