"""Places for calls: each service has its own, and queries from far leave some to those nearby.

Else who leaves calls open, or does not read what they answer, shuts everybody out of the server.
"""

import asyncio
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, NoReturn, cast
from urllib.parse import unquote

import grpc

from node.net.addresses import Reach, reach_of, subscriber_of

# Who does not read does not read a goodbye either; then the call ends without it.
_GOODBYE_S = 0.1


class Room(NamedTuple):
    """How many calls of a service may go on at once, of one host, and of all far ones together.

    A host of this machine or site may have half of them: a whole test network, or a proxy.
    """

    calls: int
    of_host: int
    of_world: int

    def limit_for(self, remote: str) -> int:
        """Calls of a host that may go on at once."""
        if reach_of(remote) is Reach.WORLD:
            return self.of_host
        return max(self.of_host, self.calls // 2)


class Rooms(grpc.aio.ServerInterceptor):
    """Refuses a call with RESOURCE_EXHAUSTED if its service, or its host there, has no place left.

    Args:
        rooms: by the full names of the services.
        answer_s: how long a call of one request and one answer may take until that is sent.
    """

    def __init__(self, rooms: Mapping[str, Room], answer_s: float = 30.0) -> None:
        self._answer_s = answer_s
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
        return grpc.stream_stream_rpc_method_handler(
            room.guard(_streaming(handler, self._answer_s)),
            handler.request_deserializer,
            handler.response_serializer,
        )


class _Occupied:
    """The places of one service that are taken."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._num_calls = 0
        self._of_host = Counter[str]()
        self._num_far = 0

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
        host, is_far = subscriber_of(remote), reach_of(remote) is Reach.WORLD
        if self._is_full(host, self._room.limit_for(remote), is_far):
            await _end(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls are open")
        self._num_calls += 1
        self._of_host[host] += 1
        self._num_far += is_far
        # The task of the call lasts until the answer is sent, which who does not read delays.
        if (task := asyncio.current_task()) is not None:
            task.add_done_callback(lambda _: self._leave(host, is_far))

    def _is_full(self, host: str, limit: int, is_far: bool) -> bool:
        return (
            self._num_calls >= self._room.calls
            or self._of_host[host] >= limit
            or (is_far and self._num_far >= self._room.of_world)
        )

    def _leave(self, host: str, is_far: bool) -> None:
        self._num_calls -= 1
        self._num_far -= is_far
        self._of_host[host] -= 1
        if not self._of_host[host]:
            del self._of_host[host]


def _streaming(handler: Any, answer_s: float) -> Callable[..., Any]:
    """A handler's method as one of streams, which looks the same from outside.

    Before a method of one request gRPC waits without end for it, when nobody has counted the call
    yet.
    """
    if handler.request_streaming:
        return cast("Callable[..., Any]", handler.stream_stream)

    async def answer(_requests: object, context: Any) -> None:
        try:
            async with asyncio.timeout(answer_s) as limit:
                request = await context.read()
                if request is grpc.aio.EOF:
                    await _end(context, grpc.StatusCode.INVALID_ARGUMENT, "the call has no request")
                if handler.response_streaming:
                    # Who watches something does so for good.
                    limit.reschedule(None)
                    await handler.unary_stream(request, context)
                else:
                    response = await handler.unary_unary(request, context)
                    # gRPC keeps what is not read, so its place stays taken.
                    limit.reschedule(None)
                    await context.write(response)
        except TimeoutError:
            reason = f"the call took more than {answer_s:g} s"
            await _end(context, grpc.StatusCode.DEADLINE_EXCEEDED, reason)

    return answer


async def _end(context: Any, code: grpc.StatusCode, reason: str) -> NoReturn:
    # `abort` raises by design.
    with suppress(grpc.aio.BaseError, TimeoutError):
        async with asyncio.timeout(_GOODBYE_S):
            await context.abort(code, reason)
    raise asyncio.CancelledError


def readable(peer: str) -> str:
    """HOST:PORT of gRPC's `ipv4:127.0.0.1:5000` or `ipv6:%5B::1%5D:5000`."""
    return unquote(peer.partition(":")[2])
