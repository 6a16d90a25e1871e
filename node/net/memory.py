"""A network inside one process, for simulations and for solo mining.

Delays come from the random numbers given and pass on the clock given, so that a run repeats
exactly. Messages travel as bytes and are parsed anew: nothing is shared between two nodes.

A link is an ordered stream, as TCP makes it: no message overtakes another one, and one that is
lost ends the link with all that is under way. Objects still come twice and out of order, by
different links.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic

from google.protobuf.message import DecodeError

from node.clock import Clock
from node.net.link import (
    MALFORMED,
    MAX_MESSAGE_BYTES,
    In,
    LinkClosed,
    Malformed,
    MinerLink,
    OnMiner,
    OnPeer,
    Out,
    PeerLink,
    Unreachable,
)
from node.tasks import TaskOwner
from ponas.v1.peer_service_pb2 import PeerMessage
from ponas.v1.pool_service_pb2 import MineRequest, MineResponse

# Messages under way one way; a sender waits at this many, as at a full transport window.
_WINDOW = 64

LOST = "a message was lost"

Carry = Callable[[str, str, int], int | None]
"""Milliseconds that a message takes from one host to another, by its size in bytes; None if it
is lost."""

_Inbox = deque[tuple[int, bytes]]


def between(rng: random.Random, least_ms: int, most_ms: int) -> Carry:
    """A network that loses nothing, with delays drawn evenly from an inclusive range."""
    return lambda _sender, _receiver, _size: rng.randint(least_ms, most_ms)


def at_once(_sender: str, _receiver: str, _size: int) -> int:
    """A network that takes no time."""
    return 0


class _Signal:
    """Wakes all who wait, so that they look again at what they wait for."""

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    async def wait(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class _Connection:
    """What the two ends share: what is under way each way, and whether the connection lives."""

    def __init__(self, dialler: str, listener: str, clock: Clock, carry: Carry) -> None:
        self.dialler = dialler
        self.listener = listener
        self.clock = clock
        self.carry = carry
        # (time of arrival in ms, bytes), towards the dialler and towards the listener.
        self.to_dialler: _Inbox = deque()
        self.to_listener: _Inbox = deque()
        self.changed = _Signal()
        self.closed: str | None = None

    @property
    def hosts(self) -> frozenset[str]:
        return frozenset((self.dialler, self.listener))

    def close(self, reason: str) -> None:
        if self.closed is None:
            self.closed = reason
            self.changed.wake()

    def cut(self, reason: str) -> None:
        """End it as a broken cable does: what is under way is lost."""
        self.to_dialler.clear()
        self.to_listener.clear()
        self.close(reason)


class MemoryLink(Generic[Out, In]):
    """One end of a connection in memory; see `Link`."""

    def __init__(
        self, connection: _Connection, inbound: type[In], *, remote: str, outbound: bool
    ) -> None:
        self.remote = remote
        self.outbound = outbound
        self._connection = connection
        self._inbound = inbound
        ways = (connection.to_dialler, connection.to_listener)
        self._inbox, self._target = ways if outbound else ways[::-1]

    async def send(self, message: Out) -> None:
        data = message.SerializeToString(deterministic=True)
        connection = self._connection
        if len(data) > MAX_MESSAGE_BYTES:
            connection.close(f"message of {len(data)} bytes exceeds {MAX_MESSAGE_BYTES}")
        while connection.closed is None and len(self._target) >= _WINDOW:
            await connection.changed.wait()
        if connection.closed is not None:
            raise LinkClosed(connection.closed)
        ends = (connection.dialler, connection.listener)
        sender, receiver = ends if self.outbound else ends[::-1]
        delay_ms = connection.carry(sender, receiver, len(data))
        if delay_ms is None:
            connection.cut(LOST)
            raise LinkClosed(LOST)
        self._target.append((connection.clock.now_ms() + delay_ms, data))
        connection.changed.wake()

    async def receive(self) -> In:
        data = await self._next()
        try:
            return self._inbound.FromString(data)
        except DecodeError as error:
            await self.close(MALFORMED)
            raise Malformed(MALFORMED) from error

    async def close(self, reason: str) -> None:
        self._inbox.clear()
        self._connection.close(reason)

    async def _next(self) -> bytes:
        connection = self._connection
        while True:
            if self._inbox:
                # Only the first is looked at: a message never overtakes one sent before it.
                arrival_ms, data = self._inbox[0]
                if arrival_ms <= connection.clock.now_ms():
                    self._inbox.popleft()
                    connection.changed.wake()
                    return data
                await connection.clock.sleep_until(arrival_ms)
            elif connection.closed is not None:
                raise LinkClosed(connection.closed)
            else:
                await connection.changed.wait()


@dataclass(frozen=True)
class _Listener:
    on_peer: OnPeer
    on_miner: OnMiner | None


class MemoryNetwork:
    """Hosts that listen under addresses, and the connections between them.

    Args:
        clock: on which delays pass.
        carry: says how long each message takes and which are lost.
    """

    def __init__(self, clock: Clock, carry: Carry) -> None:
        self._clock = clock
        self._carry = carry
        self._listeners: dict[str, _Listener] = {}
        self._cuts: set[frozenset[str]] = set()
        self._connections: list[_Connection] = []
        self._tasks = TaskOwner()

    def listen(self, address: str, on_peer: OnPeer, on_miner: OnMiner | None = None) -> None:
        """Serve peers, and miners if `on_miner` is given, under `address`.

        Raises:
            ValueError: somebody listens there already.
        """
        if address in self._listeners:
            raise ValueError(f"{address} is in use")
        self._listeners[address] = _Listener(on_peer, on_miner)

    def transport(self, address: str) -> "MemoryTransport":
        """The transport of the host at `address`, from where it dials."""
        return MemoryTransport(self, address)

    def cut(self, a: str, b: str) -> None:
        """Break what joins two hosts, and let nothing join them until `heal`."""
        pair = frozenset((a, b))
        self._cuts.add(pair)
        self._break(lambda connection: connection.hosts == pair, "the network is cut")

    def heal(self) -> None:
        """Undo every cut; links that broke stay broken, their owners dial again."""
        self._cuts.clear()

    def stop(self, address: str) -> None:
        """Let a host vanish as by a crash: it listens no more and its links break."""
        self._listeners.pop(address, None)
        self._break(lambda connection: address in connection.hosts, f"{address} went away")

    async def close(self) -> None:
        """Break all links and wait for the listeners' coroutines to end."""
        self._listeners.clear()
        self._break(lambda _: True, "the network was closed")
        await self._tasks.close()

    async def connect_peer(self, host: str, address: str) -> PeerLink:
        """Open a peer link from `host` to `address`; see `Transport.dial_peer`."""
        listener = self._reach(host, address)
        connection = self._connect(host, address)
        theirs = MemoryLink[PeerMessage, PeerMessage](
            connection, PeerMessage, remote=host, outbound=False
        )
        self._serve(listener.on_peer, theirs)
        return MemoryLink(connection, PeerMessage, remote=address, outbound=True)

    async def connect_pool(self, host: str, address: str) -> MinerLink:
        """Open a link from the miner at `host` to the pool at `address`."""
        listener = self._reach(host, address)
        if listener.on_miner is None:
            raise Unreachable(address, "it does not offer a pool")
        connection = self._connect(host, address)
        theirs = MemoryLink[MineResponse, MineRequest](
            connection, MineRequest, remote=host, outbound=False
        )
        self._serve(listener.on_miner, theirs)
        return MemoryLink(connection, MineResponse, remote=address, outbound=True)

    def _reach(self, host: str, address: str) -> _Listener:
        if frozenset((host, address)) in self._cuts:
            raise Unreachable(address, "the network is cut")
        if address not in self._listeners:
            raise Unreachable(address, "nobody listens there")
        return self._listeners[address]

    def _connect(self, host: str, address: str) -> _Connection:
        connection = _Connection(host, address, self._clock, self._carry)
        self._connections = [old for old in self._connections if old.closed is None]
        self._connections.append(connection)
        return connection

    def _serve(
        self,
        service: Callable[[MemoryLink[Out, In]], Awaitable[object]],
        link: MemoryLink[Out, In],
    ) -> None:
        async def run() -> None:
            try:
                await service(link)
            finally:
                await link.close("the service ended")

        self._tasks.spawn(run(), name=f"serve {link.remote}")

    def _break(self, is_hit: Callable[[_Connection], bool], reason: str) -> None:
        for connection in self._connections:
            if is_hit(connection):
                connection.cut(reason)


class MemoryTransport:
    """Dials within a `MemoryNetwork`; see `Transport`."""

    def __init__(self, network: MemoryNetwork, host: str) -> None:
        self._network = network
        self._host = host

    async def dial_peer(self, address: str) -> PeerLink:
        return await self._network.connect_peer(self._host, address)

    async def dial_pool(self, address: str) -> MinerLink:
        return await self._network.connect_pool(self._host, address)
