"""What a node asks of a connected peer from time to time: its clock and head, and other nodes."""

from collections.abc import Callable, Iterable, Sequence

from node.clock import Clock
from node.net.addressbook import AddressBook
from node.net.addresses import checked_address, may_hear_of
from node.net.link import LinkClosed
from node.net.protocol import (
    ADDRESSES_EVERY_MS,
    ADDRESSES_TIMEOUT_S,
    MAX_ADDRESSES,
    PING_EVERY_MS,
    PING_TIMEOUT_S,
    Refusal,
    Refused,
)
from node.net.session import Session
from ponas.v1.peer_service_pb2 import Addresses, GetAddresses, PeerMessage, Ping, Pong


async def tend(
    session: Session, book: AddressBook, clock: Clock, rules: Callable[[], Sequence[int]]
) -> None:
    """Ask a peer for the time, and for other nodes if this node dialled it, until its link ends.

    It ends with a peer that plays by other rules of the chain than `rules`, as `Introduction` has
    them: one of the two has missed an upgrade.

    Raises:
        Refused: the peer answered wrongly.
    """
    addresses_due_ms = clock.now_ms()
    try:
        while not session.ended.is_set():
            if await _ping(session, clock) not in rules():
                session.end(Refusal.WRONG_RULES)
                return
            # A peer that dialled us was chosen by itself, and so would be those it tells of.
            if session.link.outbound and clock.now_ms() >= addresses_due_ms:
                addresses_due_ms = clock.now_ms() + ADDRESSES_EVERY_MS
                await _ask_addresses(session, book)
            await clock.sleep_until(clock.now_ms() + PING_EVERY_MS)
    except TimeoutError:
        session.end(Refusal.TOO_SLOW)
    except LinkClosed:
        # Whoever runs the session hears of that too.
        pass


async def _ping(session: Session, clock: Clock) -> int:
    """The version of the chain's rules that the peer plays by."""
    asked_ms = clock.now_ms()
    answer = await session.ask(PeerMessage(ping=Ping()), PING_TIMEOUT_S)
    if not answer.HasField("pong"):
        raise Refused(Refusal.UNASKED, "answered a ping with something else")
    session.note_clock(asked_ms, answer.pong.clock_ms)
    session.head_round = answer.pong.head_round
    return answer.pong.rules_version


async def _ask_addresses(session: Session, book: AddressBook) -> None:
    answer = await session.ask(PeerMessage(get_addresses=GetAddresses()), ADDRESSES_TIMEOUT_S)
    if not answer.HasField("addresses"):
        raise Refused(Refusal.UNASKED, "answered with something other than addresses")
    texts = answer.addresses.addresses
    if len(texts) > MAX_ADDRESSES:
        raise Refused(Refusal.OVERSIZED, f"sent more than {MAX_ADDRESSES} addresses")
    try:
        addresses = [checked_address(text) for text in texts]
    except ValueError as error:
        raise Refused(Refusal.BAD_ADDRESS, str(error)) from error
    for address in addresses:
        if may_hear_of(session.link.remote, address):
            book.add(address, session.link.remote)


def serve_pong(clock: Clock, head_round: int, rules_version: int) -> PeerMessage:
    """Answer a ping."""
    clock_ms = max(0, clock.now_ms())
    return PeerMessage(
        pong=Pong(clock_ms=clock_ms, head_round=head_round, rules_version=rules_version)
    )


def serve_addresses(session: Session, book: AddressBook, connected: Iterable[str]) -> PeerMessage:
    """Some nodes that a peer may be told of, itself left out."""
    sample = book.sample(session.link.remote, MAX_ADDRESSES, connected)
    others = (address for address in sample if address != session.address)
    return PeerMessage(addresses=Addresses(addresses=others))
