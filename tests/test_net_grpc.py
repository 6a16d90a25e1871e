"""What only the real network can get wrong: ports, hostile bytes, health, an orderly end."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from node.chain.hashing import blob_hash
from node.clock import SystemClock
from node.errors import ExitCode, ListenError
from node.net.grpc_link import PEER_DIALLER, GrpcLink
from node.net.grpc_rooms import Room, Rooms
from node.net.grpc_transport import GrpcServer, GrpcTransport
from node.net.link import MAX_MESSAGE_BYTES, LinkClosed, Malformed, PeerLink, Unreachable
from node.net.peers import PeerNet
from node.net.protocol import CHUNK_BYTES
from node.query import QueryServicer
from node.store.memory import MemoryStore
from node.store.writer import InlineWriter
from ponas.v1.peer_service_pb2 import ExchangeRequest, PeerMessage
from ponas.v1.query_service_pb2 import GetStatusRequest
from ponas.v1.query_service_pb2_grpc import QueryServiceStub
from ponas.v1.types_pb2 import BlobChunk
from tests.fixed_views import FixedViews
from tests.peer_world import NETWORK, ScriptedHandler, envelope, key_of

EXCHANGE = "/ponas.v1.PeerService/Exchange"
GET_STATUS = "/ponas.v1.QueryService/GetStatus"
# How long a test waits for what must happen at once.
SOON_S = 10.0


async def _no_peer(link: PeerLink) -> None:
    await link.close("not here")


@asynccontextmanager
async def serving(
    on_peer: Callable[[PeerLink], Awaitable[object]], address: str = "127.0.0.1:0"
) -> AsyncIterator[tuple[GrpcServer, str]]:
    server = GrpcServer(QueryServicer(FixedViews()), on_peer)
    try:
        yield server, await server.start(address)
    finally:
        await server.stop(0)


def in_real_time(scenario: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(SOON_S):
            await scenario()

    asyncio.run(run())


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_free_port_is_chosen_and_told(host: str) -> None:
    async def scenario() -> None:
        async with serving(_no_peer, f"{host}:0") as (_, address):
            assert address.startswith(f"{host}:")
            assert int(address.rpartition(":")[2]) > 0
            link = await GrpcTransport().dial_peer(address)
            with pytest.raises(LinkClosed, match="not here"):
                await link.receive()

    in_real_time(scenario)


@pytest.mark.parametrize("taken", ["port", "host"])
def test_address_that_cannot_be_had(taken: str) -> None:
    async def scenario() -> None:
        async with serving(_no_peer) as (_, address):
            second = GrpcServer(QueryServicer(FixedViews()), _no_peer)
            wanted = address if taken == "port" else "192.0.2.1:0"
            with pytest.raises(ListenError, match=f"can't listen on {wanted}") as failed:
                await second.start(wanted)
            assert failed.value.exit_code is ExitCode.LISTEN
            await second.stop(0)

    in_real_time(scenario)


@asynccontextmanager
async def raw_call(address: str) -> AsyncIterator[Any]:
    """A client that keeps no rule of ours, not even on sizes."""
    options = (("grpc.max_send_message_length", -1),)
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        yield channel.stream_stream(EXCHANGE)()


async def _outcome(data: bytes) -> tuple[LinkClosed, grpc.StatusCode]:
    """What the server's link says of bytes sent to it, and the status the sender gets."""
    seen: asyncio.Future[LinkClosed] = asyncio.get_running_loop().create_future()

    async def on_peer(link: PeerLink) -> None:
        try:
            await link.receive()
        except LinkClosed as closed:
            seen.set_result(closed)

    async with serving(on_peer) as (_, address), raw_call(address) as call:
        await call.write(data)
        closed = await seen
        return closed, await call.code()


def test_bytes_that_are_no_message_end_the_link() -> None:
    async def scenario() -> None:
        closed, code = await _outcome(b"\xff\xff\xff")
        assert isinstance(closed, Malformed)
        assert code is grpc.StatusCode.ABORTED

    in_real_time(scenario)


def test_oversized_message_ends_the_link_and_the_sender_hears_why() -> None:
    async def scenario() -> None:
        chunk = BlobChunk(data=bytes(MAX_MESSAGE_BYTES))
        message = ExchangeRequest(message=PeerMessage(blob_chunk=chunk))
        _, code = await _outcome(message.SerializeToString())
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED

    in_real_time(scenario)


def test_server_lets_go_of_a_peer_that_does_not_read() -> None:
    closed = asyncio.Event()

    async def on_peer(link: PeerLink) -> None:
        filling = asyncio.ensure_future(fill(link))
        await asyncio.wait({filling}, timeout=0.3)
        await link.close("too slow")
        with pytest.raises(LinkClosed):
            await filling
        closed.set()

    async def fill(link: PeerLink) -> None:
        while True:
            await link.send(PeerMessage(blob_chunk=BlobChunk(data=bytes(CHUNK_BYTES))))

    async def scenario() -> None:
        async with serving(on_peer) as (_, address), raw_call(address) as call:
            await call.write(b"")
            await closed.wait()

    in_real_time(scenario)


def test_address_that_speaks_no_grpc_is_unreachable() -> None:
    async def scenario() -> None:
        async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unreachable):
            await GrpcTransport().dial_peer(f"127.0.0.1:{port}")
        server.close()

    in_real_time(scenario)


def test_address_that_never_answers_is_given_up() -> None:
    async def scenario() -> None:
        async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(SOON_S)

        server = await asyncio.start_server(hold, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unreachable, match=r"no answer in 0\.2 s"):
            await GrpcTransport(connect_timeout_s=0.2).dial_peer(f"127.0.0.1:{port}")
        server.close()

    in_real_time(scenario)


def test_health_watchers_hear_of_the_stop() -> None:
    async def scenario() -> None:
        server = GrpcServer(QueryServicer(FixedViews()), _no_peer)
        address = await server.start("127.0.0.1:0")
        async with grpc.aio.insecure_channel(address) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest(service="ponas.v1.QueryService")
            watch = stub.Watch(request)
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            stopping = asyncio.ensure_future(server.stop())
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            watch.cancel()
            await stopping

    in_real_time(scenario)


def test_idle_calls_of_one_host_shut_nobody_out() -> None:
    """Calls to one service take no place of another, and end where half of its places are taken."""

    async def watch(stub: Any) -> Any:
        call = stub.Watch(health_pb2.HealthCheckRequest())
        await call.read()
        return call

    async def scenario() -> None:
        async with (
            serving(_no_peer) as (_, address),
            grpc.aio.insecure_channel(address) as channel,
        ):
            health: Any = health_pb2_grpc.HealthStub(channel)
            watches = [await watch(health) for _ in range(32)]
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await watch(health)
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            queries: Any = QueryServiceStub(channel)
            assert (await queries.GetStatus(GetStatusRequest())).ByteSize() > 0
            link = await GrpcTransport().dial_peer(address)
            with pytest.raises(LinkClosed, match="not here"):
                await link.receive()
            # A place is free again once the call that had it has ended.
            watches.pop().cancel()
            while len(watches) < 32:
                with suppress(grpc.aio.AioRpcError):
                    watches.append(await watch(health))
            for call in watches:
                call.cancel()

    in_real_time(scenario)


def test_calls_that_never_make_their_request_take_places() -> None:
    async def scenario() -> None:
        async with (
            serving(_no_peer) as (_, address),
            grpc.aio.insecure_channel(address) as channel,
        ):
            calls: list[Any] = [channel.stream_stream(GET_STATUS)() for _ in range(33)]
            ends = [asyncio.ensure_future(call.code()) for call in calls]
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            assert [end.result() for end in done] == [grpc.StatusCode.RESOURCE_EXHAUSTED]
            for call in calls:
                call.cancel()
            await asyncio.wait(ends)

    in_real_time(scenario)


def test_a_call_without_a_request_hears_so() -> None:
    async def scenario() -> None:
        async with (
            serving(_no_peer) as (_, address),
            grpc.aio.insecure_channel(address) as channel,
        ):
            call: Any = channel.stream_stream(GET_STATUS)()
            await call.done_writing()
            assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert await call.details() == "the call has no request"

    in_real_time(scenario)


class StuckCaller:
    """A caller whose request never comes, and whom nothing reaches."""

    def __init__(self, peer: str = "ipv4:8.8.8.8:5000") -> None:
        self._peer = peer
        self.aborted = list[grpc.StatusCode]()
        self.is_dealt_with = asyncio.Event()

    def peer(self) -> str:
        return self._peer

    async def read(self) -> None:
        self.is_dealt_with.set()
        await asyncio.Event().wait()

    async def abort(self, code: grpc.StatusCode, _: str) -> None:
        self.aborted.append(code)
        self.is_dealt_with.set()
        await asyncio.Event().wait()


async def _served(rooms: Rooms, handler: Any) -> Callable[[StuckCaller], asyncio.Task[None]]:
    """Starts a call of a method behind its room."""

    async def continuation(_: object) -> Any:
        return handler

    details: Any = SimpleNamespace(method="/service/method")
    guarded = await rooms.intercept_service(continuation, details)
    return lambda caller: asyncio.ensure_future(guarded.stream_stream(None, caller))


def test_a_call_ends_also_if_its_goodbye_is_never_sent() -> None:
    async def idle(_request: object, _context: object) -> None: ...

    async def scenario() -> None:
        rooms = Rooms({"service": Room(0, of_host=0, of_world=0)})
        call = await _served(rooms, grpc.stream_stream_rpc_method_handler(idle))
        refused = call(caller := StuckCaller())
        await asyncio.wait({refused})
        assert refused.cancelled()
        assert caller.aborted == [grpc.StatusCode.RESOURCE_EXHAUSTED]

    in_real_time(scenario)


@pytest.mark.parametrize(
    "make", [grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler]
)
def test_a_call_whose_request_does_not_come_loses_its_place(make: Any) -> None:
    async def idle(_request: object, _context: object) -> None: ...

    async def scenario() -> None:
        rooms = Rooms({"service": Room(1, of_host=1, of_world=1)}, answer_s=0.0)
        call = await _served(rooms, make(idle))
        for _ in range(2):
            late = call(caller := StuckCaller())
            await asyncio.wait({late})
            assert caller.aborted == [grpc.StatusCode.DEADLINE_EXCEEDED]

    in_real_time(scenario)


def test_an_answer_that_is_not_read_keeps_its_place() -> None:
    """gRPC keeps it as well: else whoever asks again and again would fill the memory."""

    async def answer(_request: object, _context: object) -> bytes:
        return b"long"

    class Deaf(StuckCaller):
        async def read(self) -> None: ...

        async def write(self, _: bytes) -> None:
            await asyncio.Event().wait()

    async def scenario() -> None:
        rooms = Rooms({"service": Room(1, of_host=1, of_world=1)}, answer_s=0.1)
        call = await _served(rooms, grpc.unary_unary_rpc_method_handler(answer))
        done, _ = await asyncio.wait({call(Deaf())}, timeout=0.5)
        assert not done

    in_real_time(scenario)


def test_who_watches_keeps_its_place() -> None:
    async def watch(_request: object, _context: object) -> None:
        await asyncio.Event().wait()

    class Watcher(StuckCaller):
        async def read(self) -> None: ...

    async def scenario() -> None:
        rooms = Rooms({"service": Room(1, of_host=1, of_world=1)}, answer_s=0.1)
        call = await _served(rooms, grpc.unary_stream_rpc_method_handler(watch))
        done, _ = await asyncio.wait({call(Watcher())}, timeout=0.5)
        assert not done

    in_real_time(scenario)


def test_far_hosts_leave_places_to_those_nearby() -> None:
    async def stay(_request: object, context: StuckCaller) -> None:
        await context.read()

    async def scenario() -> None:
        rooms = Rooms({"service": Room(4, of_host=1, of_world=2)})
        call = await _served(rooms, grpc.stream_stream_rpc_method_handler(stay))

        async def enters(peer: str) -> asyncio.Task[None] | None:
            task = call(caller := StuckCaller(peer))
            await caller.is_dealt_with.wait()
            return None if caller.aborted else task

        first = await enters("ipv4:8.8.8.8:5000")
        assert first
        assert await enters("ipv6:%5B2a00:1450:4001::1%5D:5000")
        assert await enters("ipv4:9.9.9.9:5000") is None
        assert await enters("ipv4:127.0.0.1:5000")
        first.cancel()
        await asyncio.wait({first})
        assert await enters("ipv4:9.9.9.9:5000")

    in_real_time(scenario)


def test_a_far_host_has_fewer_places_than_one_nearby() -> None:
    room = Room(64, of_host=8, of_world=64)
    assert room.limit_for("8.8.8.8:5000") == 8
    assert room.limit_for("127.0.0.1:5000") == 32
    assert Room(64, of_host=64, of_world=64).limit_for("127.0.0.1:5000") == 64


def test_stop_ends_open_links() -> None:
    async def scenario() -> None:
        async def on_peer(link: PeerLink) -> None:
            await link.receive()

        server = GrpcServer(QueryServicer(FixedViews()), on_peer)
        link = await GrpcTransport().dial_peer(await server.start("127.0.0.1:0"))
        await link.send(PeerMessage())
        await server.stop()
        with pytest.raises(LinkClosed):
            await link.receive()

    in_real_time(scenario)


def _node(name: str, addresses: tuple[str, ...] = ()) -> tuple[PeerNet, ScriptedHandler]:
    handler, store = ScriptedHandler(), MemoryStore()
    net = PeerNet(
        network_id=NETWORK,
        key=key_of(name),
        handler=handler,
        transport=GrpcTransport(),
        clock=SystemClock(),
        rng=random.Random(name),
        store=store,
        writer=InlineWriter(store),
        addresses=addresses,
    )
    return net, handler


def test_two_nodes_gossip_sync_and_move_blobs_both_ways() -> None:
    async def scenario() -> None:
        a, a_handler = _node("a")
        blob = random.Random(1).randbytes(CHUNK_BYTES + 99)
        a_handler.blobs[blob_hash(blob)] = blob
        async with serving(a.accept) as (_, address):
            b, b_handler = _node("b", (address,))
            b_handler.blobs[blob_hash(b"small")] = b"small"
            heard = asyncio.Event()
            b_handler.on_gossip = _noting(heard, b_handler)  # type: ignore[method-assign]
            running = asyncio.ensure_future(b.run())
            a.broadcast(envelope(1))
            await heard.wait()
            assert b_handler.heard == [envelope(1)]
            assert await b.fetch(blob_hash(blob), len(blob)) == blob
            assert await a.fetch(blob_hash(b"small"), 5) == b"small"
            assert [peer.address for peer in b.peers()] == [address]
            await b.close()
            await running
            await a.close()
            assert not a.refused + b.refused

    in_real_time(scenario)


def _noting(event: asyncio.Event, handler: ScriptedHandler) -> Any:
    judge = handler.on_gossip

    def on_gossip(received: Any) -> Any:
        event.set()
        return judge(received)

    return on_gossip


class BreaksOffWhenCancelled:
    """A call that ends by itself at the very moment in which somebody gives it up."""

    async def read(self) -> bytes:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise asyncio.InvalidStateError("RPC already finished") from None
        return b""

    async def write(self, data: bytes) -> None: ...

    async def end(self, reason: str) -> None: ...

    async def why_ended(self) -> str:
        return "it broke off"


async def test_a_cancelled_task_ends_also_if_its_call_breaks_off_meanwhile() -> None:
    link = GrpcLink(BreaksOffWhenCancelled(), PEER_DIALLER, remote="b", outbound=True)
    receiving = asyncio.ensure_future(link.receive())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving
