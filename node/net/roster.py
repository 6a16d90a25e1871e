"""The connected peers, and who may become one."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from node.net.addresses import Reach, checked_address, group_of, host_of, reach_of
from node.net.link import PeerLink
from node.net.protocol import Refusal, Refused
from node.net.session import Session

# Peers that dialled us, and how many of them may come from one network (/16). Those that this
# node dials come beside them: strangers can't take their places.
MAX_INBOUND = 64
MAX_INBOUND_OF_NETWORK = 16
# Who has not proved a key yet has a place beside these, for ten seconds. A machine nearby, where
# a whole test network may run, takes at most half.
MAX_GREETING = 64
MAX_GREETING_OF_NETWORK = 8


class Roster:
    """Sessions by the keys that the peers proved.

    Args:
        own_key: public key of this node.
        given: addresses that the operator gave; who is met there is trusted.
    """

    def __init__(self, own_key: bytes, given: Sequence[str]) -> None:
        self._own_key = own_key
        self._given = frozenset(given)
        self._sessions: dict[bytes, Session] = {}
        # The keys last met at the given addresses.
        self._key_at: dict[str, bytes] = {}
        # Those that dialled us and have not proved a key yet, by network.
        self._greeting = Counter[str]()

    def all(self) -> tuple[Session, ...]:
        """Every session, in the order in which they began."""
        return tuple(self._sessions.values())

    def of_key(self, public_key: bytes) -> Session | None:
        """A peer by its key."""
        return self._sessions.get(public_key)

    def at(self, address: str) -> Session | None:
        """The peer that is known to live at an address."""
        if address in self._key_at:
            return self._sessions.get(self._key_at[address])
        return next((each for each in self.all() if each.address == address), None)

    def addresses(self) -> list[str]:
        """Where the connected peers take connections themselves, as IP:PORT."""
        found = []
        for session in self.all():
            with suppress(ValueError):
                found.append(checked_address(session.address or ""))
        return found

    def is_trusted(self, session: Session) -> bool:
        """Whether the operator asked for this peer."""
        return session.public_key in self._key_at.values()

    def is_given(self, address: str) -> bool:
        """Whether the operator gave this address."""
        return address in self._given

    @contextmanager
    def greeting(self, link: PeerLink) -> Iterator[None]:
        """Give a link a place while its greeting lasts.

        Raises:
            Refused: there is none for it.
        """
        if link.outbound:
            yield
            return
        is_far = reach_of(link.remote) is Reach.WORLD
        group = group_of(link.remote) if is_far else host_of(link.remote)
        limit = MAX_GREETING_OF_NETWORK if is_far else MAX_GREETING // 2
        if self._greeting[group] >= limit or self._greeting.total() >= MAX_GREETING:
            detail = f"{self._greeting[group]} of {group} are about to greet"
            raise Refused(Refusal.TOO_MANY_PEERS, detail)
        self._greeting[group] += 1
        try:
            yield
        finally:
            self._greeting[group] -= 1
            if not self._greeting[group]:
                del self._greeting[group]

    def admit(
        self, link: PeerLink, public_key: bytes, make_session: Callable[[], Session]
    ) -> Session:
        """Enter a peer that proved its key.

        Raises:
            Refused: it is connected already by the link to keep, or there is no place for it.
        """
        if link.outbound and self.is_given(link.remote):
            self._key_at[link.remote] = public_key
        rival = self._sessions.get(public_key)
        if rival is not None and not rival.ended.is_set():
            # Of two links both ends must keep the same one: the one that the lower key dialled.
            keep_outbound = self._own_key < public_key
            if rival.link.outbound == link.outbound or link.outbound != keep_outbound:
                raise Refused(Refusal.DUPLICATE_CONNECTION, "this peer is connected already")
            rival.end(Refusal.DUPLICATE_CONNECTION)
        elif not link.outbound:
            self._check_place(link)
        session = self._sessions[public_key] = make_session()
        return session

    def leave(self, session: Session) -> None:
        """Strike a session off, unless another one of the peer took its place."""
        if self._sessions.get(session.public_key) is session:
            del self._sessions[session.public_key]

    def _check_place(self, link: PeerLink) -> None:
        inbound = [each for each in self.all() if not each.link.outbound]
        if len(inbound) >= MAX_INBOUND:
            raise Refused(Refusal.TOO_MANY_PEERS, f"serves {MAX_INBOUND} peers already")
        if reach_of(link.remote) is not Reach.WORLD:
            return
        group = group_of(link.remote)
        num_neighbours = sum(group_of(each.link.remote) == group for each in inbound)
        if num_neighbours >= MAX_INBOUND_OF_NETWORK:
            detail = f"serves {MAX_INBOUND_OF_NETWORK} peers of {group} already"
            raise Refused(Refusal.TOO_MANY_PEERS, detail)
