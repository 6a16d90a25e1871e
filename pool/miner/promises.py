"""What a miner has promised: in a round it commits on its own or holds a pool's lease, never both.

Who accepts a lease and commits alone takes the pool's work to a block of its own; pools answer
with a ban (design 5). A miner with a unit, which may fail over to mining solo, must not slip into
that by accident, not even by a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from node.chain.hashing import u64
from node.chain.messages import Lease
from node.store.base import Change, Put, Store, Table

_LEASED_UNTIL = b"lease"
_ALONE_UNTIL = b"alone"


class Promises:
    """The last round under a lease and the last that this node mines alone, kept in `store`.

    `write` brings changes to the store in time: long before a round's commitment is due.
    """

    def __init__(self, store: Store, write: Callable[[Sequence[Change]], None]) -> None:
        self._write = write
        self._leased_until = int.from_bytes(store.get(Table.SIGNED, _LEASED_UNTIL) or b"", "big")
        self._alone_until = int.from_bytes(store.get(Table.SIGNED, _ALONE_UNTIL) or b"", "big")

    def may_accept(self, lease: Lease) -> bool:
        """Whether this node does not commit on its own in a round of the lease."""
        return lease.round > self._alone_until

    def accept(self, lease: Lease) -> None:
        """Promise to commit nothing until the last round of a lease is over.

        Raises ValueError if `may_accept` forbids it.
        """
        if not self.may_accept(lease):
            raise ValueError(f"this node commits on its own in round {self._alone_until}")
        if lease.last_round > self._leased_until:
            self._leased_until = lease.last_round
            self._write([Put(Table.SIGNED, _LEASED_UNTIL, u64(self._leased_until))])

    def commit_alone(self, round_number: int) -> bool:
        """Set out to commit in a round; False if a lease forbids it."""
        if round_number <= self._leased_until:
            return False
        self._alone_until = round_number
        self._write([Put(Table.SIGNED, _ALONE_UNTIL, u64(round_number))])
        return True
