"""Places for calls: each service has its own, and no host takes all of a service's.

Else who leaves calls open, or does not read what they answer, shuts everybody out of the server.
"""

import asyncio
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

import grpc

from node.net.addresses import Reach, reach_of, subscriber_of

_MAKERS: Mapping[tuple[bool, bool], tuple[str, Callable[..., Any]]] = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}
"""By whether requests and responses are streams: where a handler has its method, and its maker."""


class Room(NamedTuple):
    """How many calls of a service may go on at once, and how many of them of one host.

    A host of this machine or site may have half of them: a whole test network, or a proxy.
    """

    calls: int
    of_host: int

    def limit_for(self, remote: str) -> int:
        """Calls of a host that may go on at once."""
        if reach_of(remote) is Reach.WORLD:
            return self.of_host
        return max(self.of_host, self.calls // 2)


class Rooms(grpc.aio.ServerInterceptor):
    """Refuses a call with RESOURCE_EXHAUSTED if its service, or its host there, has no place left.

    `rooms` are by the full names of the services.
    """

    def __init__(self, rooms: Mapping[str, Room]) -> None:
        self._rooms = {service: _Occupied(room) for service, room in rooms.items()}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        room = self._rooms.get(handler_call_details.method.split("/")[1])
        if handler is None or room is None:
            return handler
        name, make = _MAKERS[handler.request_streaming, handler.response_streaming]
        return make(
            room.guard(getattr(handler, name)),
            handler.request_deserializer,
            handler.response_serializer,
        )


class _Occupied:
    """The places of one service that are taken."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._num_calls = 0
        self._of_host = Counter[str]()

    def guard(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """A method of the service that begins once it has a place."""

        async def answer(request: object, context: Any) -> Any:
            await self._enter(context)
            return await method(request, context)

        async def stream(request: object, context: Any) -> AsyncIterator[Any]:
            await self._enter(context)
            async for each in method(request, context):
                yield each

        return stream if inspect.isasyncgenfunction(method) else answer

    async def _enter(self, context: Any) -> None:
        remote = readable(context.peer())
        host, limit = subscriber_of(remote), self._room.limit_for(remote)
        if self._num_calls >= self._room.calls or self._of_host[host] >= limit:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls are open")
        self._num_calls += 1
        self._of_host[host] += 1
        # The task of the call lasts until the answer is sent, which who does not read delays.
        if (task := asyncio.current_task()) is not None:
            task.add_done_callback(lambda _: self._leave(host))

    def _leave(self, host: str) -> None:
        self._num_calls -= 1
        self._of_host[host] -= 1
        if not self._of_host[host]:
            del self._of_host[host]


def readable(peer: str) -> str:
    """HOST:PORT of gRPC's `ipv4:127.0.0.1:5000` or `ipv6:%5B::1%5D:5000`."""
    return unquote(peer.partition(":")[2])
