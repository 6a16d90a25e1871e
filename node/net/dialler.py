"""Whom a node dials: given addresses, others that fill its outbound places, and feelers."""

import random
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import structlog

from node.clock import Clock
from node.net.addressbook import AddressBook
from node.net.addresses import group_of
from node.net.limits import backoff_ms
from node.net.link import PeerLink, Transport, Unreachable
from node.net.protocol import Refusal
from node.net.session import Session
from node.tasks import TaskOwner

OUTBOUND_TARGET = 8
"""Peers that a node dials, those at given addresses among them."""
FEELER_EVERY_MS = 120_000
"""How often a new address is tried for no other reason than to see whether somebody is there."""
# Between two attempts to fill a place, and to find somebody for one when nobody is known.
_DIAL_EVERY_MS = 500
_LOOK_EVERY_MS = 10_000
# An address that failed is left alone this long.
_REST_MS = 60_000

_log = structlog.get_logger("peers")


class Host(Protocol):
    """What dialling needs of the node."""

    def sessions(self) -> Collection[Session]:
        """The connected peers."""
        ...

    def session_at(self, address: str) -> Session | None:
        """The peer that is known to live at an address, if it is connected."""
        ...

    def is_banned(self, address: str) -> bool:
        """Whether an address is not to be dialled."""
        ...

    async def serve(self, link: PeerLink) -> Refusal | None:
        """Talk to a peer until its link ends; says why it was not let in."""
        ...

    async def meet(self, link: PeerLink) -> Refusal | None:
        """Greet a peer and hang up; says what was wrong."""
        ...


class Dialler:
    """Keeps a node connected.

    Args:
        given: HOST:PORT of peers to stay connected to.
        discovers: whether to dial others too.
        anchors: addresses to dial before others are chosen: peers of an earlier run, so that
            whoever fills the book while a node is down does not get all of its places.
        book: where others are chosen from.
    """

    def __init__(
        self,
        host: Host,
        *,
        given: Sequence[str],
        discovers: bool,
        anchors: Sequence[str],
        book: AddressBook,
        transport: Transport,
        clock: Clock,
        rng: random.Random,
        tasks: TaskOwner,
    ) -> None:
        self._host = host
        self._given = tuple(dict.fromkeys(given))
        self._discovers = discovers
        self._anchors = deque(anchors)
        self._book = book
        self._transport = transport
        self._clock = clock
        self._rng = rng
        self._tasks = tasks
        self._own: set[str] = set()
        # When an address was dialled last, and those that fill a place or are about to.
        self._dialled_ms: dict[str, int] = {}
        self._placed: set[str] = set()

    async def run(self) -> None:
        """Dial until cancelled; the given addresses go on being dialled in tasks of their own."""
        for address in self._given:
            self._tasks.spawn(self._keep_connected(address), name=f"dial {address}")
        if not self._discovers:
            return
        self._tasks.spawn(self._feel(), name="feelers")
        while True:
            choice = self._next() if self._has_room() else None
            if choice is not None:
                self._tasks.spawn(self._connect(choice), name=f"dial {choice}")
            pause_ms = _LOOK_EVERY_MS if choice is None else _DIAL_EVERY_MS
            await self._clock.sleep_until(self._clock.now_ms() + pause_ms)

    def _has_room(self) -> bool:
        return len(self._outbound()) < OUTBOUND_TARGET

    def _outbound(self) -> set[str]:
        """Addresses of the peers dialled, and of those about to be peers."""
        sessions = self._host.sessions()
        return self._placed | {each.link.remote for each in sessions if each.link.outbound}

    def _next(self) -> str | None:
        may = self._rule()
        while self._anchors:
            if may(self._anchors[0]):
                return self._anchors.popleft()
            self._anchors.popleft()
        return self._book.choose(may)

    def _rule(self) -> Callable[[str], bool]:
        """What may be dialled now: no two places for one network (/16)."""
        taken = {group_of(address) for address in self._outbound()}
        now_ms = self._clock.now_ms()
        self._dialled_ms = {
            address: at_ms
            for address, at_ms in self._dialled_ms.items()
            if abs(now_ms - at_ms) < _REST_MS
        }
        left_out = {*self._given, *self._own, *self._dialled_ms}

        def may(address: str) -> bool:
            return (
                address not in left_out
                and group_of(address) not in taken
                and self._host.session_at(address) is None
                and not self._host.is_banned(address)
            )

        return may

    async def _connect(self, address: str) -> None:
        self._placed.add(address)
        try:
            if (link := await self._dial(address)) is not None:
                self._learn(address, await self._host.serve(link))
        finally:
            self._placed.discard(address)

    async def _feel(self) -> None:
        while True:
            await self._clock.sleep_until(self._clock.now_ms() + FEELER_EVERY_MS)
            address = self._book.choose(self._rule(), only_new=True)
            if address is not None and (link := await self._dial(address)) is not None:
                self._learn(address, await self._host.meet(link))

    async def _dial(self, address: str) -> PeerLink | None:
        self._dialled_ms[address] = self._clock.now_ms()
        try:
            return await self._transport.dial_peer(address)
        except Unreachable as error:
            _log.debug("peer_unreachable", address=address, reason=error.reason)
            # While nobody can be reached it is this node that is off line.
            if self._host.sessions():
                self._book.failed(address)
            return None

    def _learn(self, address: str, refusal: Refusal | None) -> None:
        if refusal is Refusal.OWN_IDENTITY:
            self._own.add(address)
        if refusal is None or refusal is Refusal.DUPLICATE_CONNECTION:
            return
        self._book.failed(address)

    async def _keep_connected(self, address: str) -> None:
        attempt = 0
        while True:
            # The peer may have dialled us; then this address is looked after already.
            if connected := self._host.session_at(address):
                await connected.ended.wait()
            try:
                link = await self._transport.dial_peer(address)
            except Unreachable as error:
                _log.warning("peer_unreachable", address=address, reason=error.reason)
                attempt += 1
            else:
                refusal = await self._host.serve(link)
                if refusal is Refusal.OWN_IDENTITY:
                    return
                attempt = 0 if refusal in (None, Refusal.DUPLICATE_CONNECTION) else attempt + 1
            await self._clock.sleep_until(self._clock.now_ms() + backoff_ms(attempt, self._rng))
