"""Links over a gRPC stream: what the dialling and the serving end have in common, and apart.

gRPC parses nothing here; the link does, so that bytes that are no message are told from a lost
connection.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, Protocol, cast

import grpc
from google.protobuf.message import DecodeError

from node.net.link import MALFORMED, MAX_MESSAGE_BYTES, In, LinkClosed, Malformed, Out
from ponas.v1.peer_service_pb2 import ExchangeRequest, ExchangeResponse, PeerMessage
from ponas.v1.pool_service_pb2 import MineRequest, MineResponse

# A connection that went silent is noticed within KEEPALIVE + its time-out; pings must be allowed
# on both ends, or one end hangs up on the other for asking too often.
_KEEPALIVE_MS = 20_000
_KEEPALIVE_TIMEOUT_MS = 10_000
OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", _KEEPALIVE_MS // 2),
    # Pings that a busy machine held back arrive together, and are no attack.
    ("grpc.http2.max_ping_strikes", 0),
    # A proxy for web pages is no way to a peer.
    ("grpc.enable_http_proxy", 0),
)

# Somebody who doesn't read doesn't read the goodbye either; then this end lets go without it.
_GOODBYE_S = 2.0

_BROKEN = (grpc.RpcError, grpc.aio.BaseError, asyncio.InvalidStateError)


def is_cancelled() -> bool:
    """Whether the running task was told to end, which gRPC may hide behind an error of its own."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


@dataclass(frozen=True)
class Codec(Generic[Out, In]):
    """How the messages of one end of a service travel; `decode` raises `DecodeError`."""

    encode: Callable[[Out], bytes]
    decode: Callable[[bytes], In]


PEER_METHOD = ("ponas.v1.PeerService", "Exchange")
POOL_METHOD = ("ponas.v1.PoolService", "Mine")

PEER_DIALLER = Codec[PeerMessage, PeerMessage](
    lambda message: ExchangeRequest(message=message).SerializeToString(),
    lambda data: ExchangeResponse.FromString(data).message,
)
PEER_SERVER = Codec[PeerMessage, PeerMessage](
    lambda message: ExchangeResponse(message=message).SerializeToString(),
    lambda data: ExchangeRequest.FromString(data).message,
)
MINER = Codec[MineRequest, MineResponse](MineRequest.SerializeToString, MineResponse.FromString)
MANAGER = Codec[MineResponse, MineRequest](MineResponse.SerializeToString, MineRequest.FromString)


class Stream(Protocol):
    """One end of a gRPC stream of bytes."""

    async def read(self) -> Any:
        """Next message as bytes, or `grpc.aio.EOF`."""
        ...

    async def write(self, data: bytes) -> None: ...

    async def end(self, reason: str) -> None:
        """End it both ways, telling the other side the reason where gRPC can."""
        ...

    async def why_ended(self) -> str:
        """Sentence on why an ended stream ended."""
        ...


class GrpcLink(Generic[Out, In]):
    """A `Link` over a gRPC stream."""

    def __init__(
        self, stream: Stream, codec: Codec[Out, In], *, remote: str, outbound: bool
    ) -> None:
        self.remote = remote
        self.outbound = outbound
        self._stream = stream
        self._codec = codec
        self._closed: str | None = None
        self._under_way: set[asyncio.Future[Any]] = set()

    async def send(self, message: Out) -> None:
        data = self._codec.encode(message)
        if len(data) > MAX_MESSAGE_BYTES:
            await self.close(f"message of {len(data)} bytes exceeds {MAX_MESSAGE_BYTES}")
        await self._while_open(self._stream.write(data))

    async def receive(self) -> In:
        data = await self._while_open(self._stream.read())
        if data is grpc.aio.EOF:
            raise LinkClosed(await self._reason())
        try:
            return self._codec.decode(cast(bytes, data))
        except DecodeError as error:
            await self.close(MALFORMED)
            raise Malformed(MALFORMED) from error

    async def close(self, reason: str) -> None:
        if self._closed is None:
            self._closed = reason
            await self._stream.end(reason)
            # A write to somebody who doesn't read would wait for ever.
            for operation in self._under_way:
                operation.cancel()

    async def _while_open(self, operation: Coroutine[Any, Any, Any]) -> Any:
        task = asyncio.ensure_future(operation)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            return await task
        except (*_BROKEN, asyncio.CancelledError) as error:
            # A call that was cancelled shows this way too, and one that breaks off at the moment
            # in which its caller is cancelled shows the other: a cancelled task stays cancelled.
            if is_cancelled():
                raise asyncio.CancelledError from error
            raise LinkClosed(await self._reason()) from error

    async def _reason(self) -> str:
        return self._closed or await self._stream.why_ended()


class DialledStream:
    """The client end; owns the channel."""

    def __init__(self, channel: grpc.aio.Channel, call: Any) -> None:
        self._channel = channel
        self._call = call

    async def read(self) -> Any:
        return await self._call.read()

    async def write(self, data: bytes) -> None:
        await self._call.write(data)

    async def end(self, reason: str) -> None:
        self._call.cancel()
        await self._channel.close()

    async def why_ended(self) -> str:
        code, details = await self._call.code(), await self._call.details()
        # Whoever made the call gives up the channel too; nobody else will.
        await self._channel.close()
        if code is grpc.StatusCode.UNIMPLEMENTED:
            return "the other end does not offer this service"
        return details or "the other end closed the link"


class ServedStream:
    """The server end, alive for as long as the method that serves it."""

    def __init__(self, context: Any) -> None:
        self._context = context

    async def read(self) -> Any:
        return await self._context.read()

    async def write(self, data: bytes) -> None:
        await self._context.write(data)

    async def end(self, reason: str) -> None:
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await self._context.abort(grpc.StatusCode.ABORTED, reason)
        except (*_BROKEN, TimeoutError):
            # `abort` raises by design; and a link that is gone already needs no goodbye.
            pass

    async def why_ended(self) -> str:
        return "the other end closed the link"
