"""The seam between protocol and transport: an ordered, bounded, two-way stream of messages.

    LinkClosed            the link has ended; says why
      Malformed           ... because the other side sent bytes that are no message
    Unreachable           no link came about

Both transports obey the same contract, which tests/contracts/link.py holds them to.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from ponas.v1.peer_service_pb2 import PeerMessage
from ponas.v1.pool_service_pb2 import MineRequest, MineResponse

# The largest message of any service, serialised.
MAX_MESSAGE_BYTES = 4 * 1024 * 1024

# Why a link is closed whose other side sent bytes that don't parse.
MALFORMED = "malformed message"

Out = TypeVar("Out", bound=Message)
In = TypeVar("In", bound=Message)
Out_contra = TypeVar("Out_contra", bound=Message, contravariant=True)
In_co = TypeVar("In_co", bound=Message, covariant=True)


class LinkClosed(Exception):
    """The link has ended, by either side or by the network; `reason` is a sentence for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Malformed(LinkClosed):
    """The other side sent bytes that don't parse, so the link was closed."""


class Unreachable(Exception):
    """Nobody answered at an address; `reason` is a sentence for people."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"{address} can't be reached: {reason}")
        self.address = address
        self.reason = reason


class Link(Protocol[Out_contra, In_co]):
    """One end of a stream. Messages arrive whole, in the order sent, or not at all.

    One task sends and one receives at a time. Cancelling either may end the link.
    """

    @property
    def remote(self) -> str:
        """Address of the other end, for people; an inbound one is no address to dial."""
        ...

    @property
    def outbound(self) -> bool:
        """Whether this end dialled."""
        ...

    async def send(self, message: Out_contra) -> None:
        """Hand over a message; waits while the other side is slower than we are.

        Raises:
            LinkClosed: the link has ended, or the message exceeds `MAX_MESSAGE_BYTES`, which
                ends it.
        """
        ...

    async def receive(self) -> In_co:
        """Wait for the next message.

        Raises:
            LinkClosed: the link has ended and nothing is left to receive.
        """
        ...

    async def close(self, reason: str) -> None:
        """End the link, both ways; what is under way may be lost. Closing twice does nothing.

        The other side is told the reason as far as the transport can carry it.
        """
        ...


PeerLink = Link[PeerMessage, PeerMessage]
# Named after the end that holds it.
MinerLink = Link[MineRequest, MineResponse]
ManagerLink = Link[MineResponse, MineRequest]

# What a server does with a link somebody opened; the link ends when it returns.
OnPeer = Callable[[PeerLink], Awaitable[object]]
OnMiner = Callable[[ManagerLink], Awaitable[object]]


class Transport(Protocol):
    """Opens links. Both methods raise `Unreachable` if nobody answers."""

    async def dial_peer(self, address: str) -> PeerLink:
        """Open a link to the peer service at `address` (HOST:PORT)."""
        ...

    async def dial_pool(self, address: str) -> MinerLink:
        """Open a link to the pool service at `address` (HOST:PORT)."""
        ...
