"""The other nodes that a node has heard of (new) or met (tried), kept so that nobody can crowd out
the rest.

As Bitcoin's address manager since Heilman et al., "Eclipse Attacks on Bitcoin's Peer-to-Peer
Network", USENIX Security 2015: every address has one place, drawn by a secret hash of its network
and, while it is new, of the network that told of it. Whoever holds one network reaches few places.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from node.chain.hashing import blake, u64
from node.net.addresses import group_of, may_hear_of

_NEW_BUCKETS, _TRIED_BUCKETS, _SLOTS = 64, 16, 16
MAX_ADDRESSES = (_NEW_BUCKETS + _TRIED_BUCKETS) * _SLOTS
"""What a book holds at most."""
# Buckets that one network reaches: by telling of addresses, and by being met.
_BUCKETS_OF_SOURCE, _BUCKETS_OF_GROUP = 8, 2
# Failed attempts in a row after which an address is forgotten.
_PATIENCE_NEW, _PATIENCE_TRIED = 3, 10

_Place = tuple[bool, int, int]


@dataclass(frozen=True)
class Known:
    """An address, the network that told of it, and how dialling it went last."""

    address: str
    source: str
    is_tried: bool = False
    failures: int = 0


class AddressBook:
    """Addresses by their places.

    Args:
        rng: draws the secret and the choices; unpredictable on a real network.
        known: what an earlier run knew.
    """

    def __init__(self, rng: random.Random, known: Sequence[Known] = ()) -> None:
        self._rng = rng
        self._secret = rng.randbytes(32)
        self._known: dict[str, Known] = {}
        self._places: dict[_Place, str] = {}
        for each in known:
            self._put(each)

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, address: str) -> bool:
        return address in self._known

    def known(self) -> tuple[Known, ...]:
        """Everything in the book."""
        return tuple(self._known.values())

    def add(self, address: str, told_by: str) -> bool:
        """Note an address that a peer at `told_by` told of; False if there is no place for it."""
        if address in self._known:
            return False
        return self._put(Known(address, group_of(told_by)))

    def met(self, address: str) -> None:
        """Note that a node answered at an address; who held the place becomes new again."""
        known = self._known.get(address, Known(address, group_of(address)))
        self._remove(address)
        known = replace(known, is_tried=True, failures=0)
        if (before := self._places.get(self._place(known))) is not None:
            demoted = replace(self._known[before], is_tried=False)
            self._remove(before)
            self._put(demoted)
        self._put(known)

    def failed(self, address: str) -> None:
        """Note that nobody of this network answered; often enough, and it is forgotten."""
        known = self._known.get(address)
        if known is None:
            return
        known = replace(known, failures=known.failures + 1)
        self._known[address] = known
        if known.failures >= (_PATIENCE_TRIED if known.is_tried else _PATIENCE_NEW):
            self._remove(address)

    def choose(self, may: Callable[[str], bool], *, only_new: bool = False) -> str | None:
        """A random address to dial among those that `may` be; new and tried ones in turn by lot."""
        prefers_tried = not only_new and self._rng.random() < 0.5
        for is_tried in (False,) if only_new else (prefers_tried, not prefers_tried):
            fitting = [
                known.address
                for known in self._known.values()
                if known.is_tried is is_tried and may(known.address)
            ]
            if fitting:
                return self._rng.choice(fitting)
        return None

    def sample(self, listener: str, size: int, connected: Iterable[str] = ()) -> list[str]:
        """Up to `size` random addresses that a peer at `listener` may be told.

        They are those of nodes met and of peers that are `connected`.
        """
        met = (known.address for known in self._known.values() if known.is_tried)
        # In a fixed order, so that a simulation repeats.
        candidates = dict.fromkeys((*met, *connected))
        fitting = [address for address in candidates if may_hear_of(listener, address)]
        return self._rng.sample(fitting, min(size, len(fitting)))

    def _put(self, known: Known) -> bool:
        place = self._place(known)
        holder = self._places.get(place)
        if holder is not None:
            # What answers keeps its place against what is only heard of.
            if not self._known[holder].failures:
                return False
            self._remove(holder)
        self._places[place] = known.address
        self._known[known.address] = known
        return True

    def _remove(self, address: str) -> None:
        if (known := self._known.pop(address, None)) is not None:
            del self._places[self._place(known)]

    def _place(self, known: Known) -> _Place:
        group, address = group_of(known.address).encode(), known.address.encode()
        if known.is_tried:
            lane = self._draw(_BUCKETS_OF_GROUP, b"lane", group, address)
            bucket = self._draw(_TRIED_BUCKETS, b"tried", group, u64(lane))
        else:
            source = known.source.encode()
            lane = self._draw(_BUCKETS_OF_SOURCE, b"lane", source, group)
            bucket = self._draw(_NEW_BUCKETS, b"new", source, u64(lane))
        return known.is_tried, bucket, self._draw(_SLOTS, b"slot", u64(bucket), address)

    def _draw(self, size: int, *fields: bytes) -> int:
        return int.from_bytes(blake("ponas/address", self._secret, *fields)[:8], "big") % size
