"""The real network: dialling over gRPC, and one server for peers, miners, queries and health."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from node.errors import ListenError
from node.net.grpc_link import (
    MANAGER,
    MINER,
    OPTIONS,
    PEER_DIALLER,
    PEER_METHOD,
    PEER_SERVER,
    POOL_METHOD,
    Codec,
    DialledStream,
    GrpcLink,
    ServedStream,
    is_cancelled,
)
from node.net.grpc_rooms import Room, Rooms, readable
from node.net.link import In, MinerLink, OnMiner, OnPeer, Out, PeerLink, Unreachable
from node.net.roster import (
    MAX_GREETING,
    MAX_GREETING_OF_NETWORK,
    MAX_INBOUND,
    MAX_INBOUND_OF_NETWORK,
)
from node.tasks import TaskOwner
from ponas.v1.query_service_pb2_grpc import (
    QueryServiceServicer,
    add_QueryServiceServicer_to_server,
)

_QUERY_SERVICE = "ponas.v1.QueryService"

MAX_MINERS = 12_000
"""Miners that a node with a pool serves at once, if need be all of one site; `ponas bench manager`
measures 10,000."""

# Beside the peers of the roster and those that greet, those that are refused and hear why.
_MAX_PEERS = MAX_INBOUND + 2 * MAX_GREETING
# Peers and miners come from far, and those who own their links see to it that they leave.
_PEERS = Room(
    _MAX_PEERS,
    of_host=MAX_INBOUND_OF_NETWORK + MAX_GREETING_OF_NETWORK,
    of_world=_MAX_PEERS,
)
_MINERS = Room(MAX_MINERS, of_host=MAX_MINERS, of_world=MAX_MINERS)
_QUERIES = Room(64, of_host=8, of_world=32)
# Who watches a service's health does so for good.
_HEALTH = Room(64, of_host=8, of_world=32)
_REFLECTION = Room(16, of_host=4, of_world=8)
# The rooms bound what is served; this bounds what one connection leaves behind of refused calls.
_MAX_CALLS_OF_CONNECTION = 64


class GrpcTransport:
    """Dials peers and pools over gRPC; see `Transport`."""

    def __init__(self, connect_timeout_s: float = 10.0) -> None:
        self._connect_timeout_s = connect_timeout_s

    async def dial_peer(self, address: str) -> PeerLink:
        return await self._dial(address, PEER_METHOD, PEER_DIALLER)

    async def dial_pool(self, address: str) -> MinerLink:
        return await self._dial(address, POOL_METHOD, MINER)

    async def _dial(
        self, address: str, method: tuple[str, str], codec: Codec[Out, In]
    ) -> GrpcLink[Out, In]:
        # A pool of its own makes every dial a fresh attempt; the shared one would answer from
        # the back-off of the last.
        options = (*OPTIONS, ("grpc.use_local_subchannel_pool", 1))
        channel = grpc.aio.insecure_channel(address, options=options)
        call: Any = channel.stream_stream("/" + "/".join(method))()
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await call.wait_for_connection()
        except grpc.aio.AioRpcError as error:
            if is_cancelled():
                await channel.close()
                raise asyncio.CancelledError from error
            # Any other status is the answer of somebody there; the link will tell it.
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                await channel.close()
                raise Unreachable(address, error.details() or error.code().name) from error
        except TimeoutError:
            await channel.close()
            raise Unreachable(address, f"no answer in {self._connect_timeout_s:g} s") from None
        return GrpcLink(DialledStream(channel, call), codec, remote=address, outbound=True)


class GrpcServer:
    """One listening address with every service of a node, health and reflection.

    Args:
        queries: answers the query service.
        on_peer: owns a peer's link until it returns.
        on_miner: owns a miner's link until it returns; None for a node that runs no pool.
    """

    def __init__(
        self, queries: QueryServiceServicer, on_peer: OnPeer, on_miner: OnMiner | None = None
    ) -> None:
        rooms = {
            PEER_METHOD[0]: _PEERS,
            _QUERY_SERVICE: _QUERIES,
            health.SERVICE_NAME: _HEALTH,
            reflection.SERVICE_NAME: _REFLECTION,
        }
        if on_miner is not None:
            rooms[POOL_METHOD[0]] = _MINERS
        # Without SO_REUSEPORT a second node on the port fails instead of taking half the calls.
        self._server = grpc.aio.server(
            interceptors=[Rooms(rooms)],
            options=(
                *OPTIONS,
                ("grpc.so_reuseport", 0),
                ("grpc.max_concurrent_streams", _MAX_CALLS_OF_CONNECTION),
            ),
        )
        self._links = TaskOwner()
        self._health = health.aio.HealthServicer()
        self._services = [PEER_METHOD[0], _QUERY_SERVICE]
        self._add_stream(PEER_METHOD, PEER_SERVER, on_peer)
        if on_miner is not None:
            self._services.append(POOL_METHOD[0])
            self._add_stream(POOL_METHOD, MANAGER, on_miner)
        add_QueryServiceServicer_to_server(queries, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )

    async def start(self, address: str) -> str:
        """Listen on `address` (HOST:PORT, port 0 for a free one).

        Returns:
            The address with the port that was bound.

        Raises:
            ListenError: the port is in use, or the host is not this machine's.
        """
        host = address.rpartition(":")[0]
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise ListenError(
                f"can't listen on {address}: the port is in use or the address not this machine's"
            ) from error
        await self._server.start()
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)
        return f"{host}:{port}"

    async def stop(self, grace_s: float = 2.0) -> None:
        """Take no new call, tell health watchers, give calls `grace_s` to end, then cut them."""
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._links.close()
        await self._server.stop(grace_s)

    async def _set_health(self, status: Any) -> None:
        # The empty name stands for the server as a whole.
        for service in ("", *self._services):
            await self._health.set(service, status)

    def _add_stream(
        self,
        method: tuple[str, str],
        codec: Codec[Out, In],
        serve: Callable[[GrpcLink[Out, In]], Awaitable[object]],
    ) -> None:
        async def handle(_requests: object, context: Any) -> None:
            remote = readable(context.peer())
            link = GrpcLink(ServedStream(context), codec, remote=remote, outbound=False)
            # In a task of its own: gRPC cancels the method when the other side goes away, but
            # the owner of the link shall hear of that as of any closed link.
            task = self._links.spawn(_own(serve, link), name=f"serve {remote}")
            await asyncio.shield(task)

        service, name = method
        handlers: dict[str, Any] = {name: grpc.stream_stream_rpc_method_handler(handle)}
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, handlers),)
        )


async def _own(
    serve: Callable[[GrpcLink[Out, In]], Awaitable[object]], link: GrpcLink[Out, In]
) -> None:
    try:
        await serve(link)
    finally:
        await link.close("the service ended")
