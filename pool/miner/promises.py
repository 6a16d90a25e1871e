"""What a miner has promised: in a round it commits on its own or holds a pool's lease, never both.

Who accepts a lease and commits alone shows the pool's work to a block of its own; pools answer
with a ban (design 5). A miner with a unit, which may fail over to mining solo, must not slip into
that by accident.
"""

from __future__ import annotations

from node.chain.messages import Lease
from pool.link.leases import MAX_LEASE_ROUNDS


class Promises:
    """Rounds under leases, and rounds in which this node set out to commit on its own."""

    def __init__(self) -> None:
        self._leased: set[int] = set()
        self._own: set[int] = set()

    def is_leased(self, round_number: int) -> bool:
        """Whether a lease forbids this node a commitment of its own in the round."""
        return round_number in self._leased

    def may_accept(self, lease: Lease) -> bool:
        """Whether no round of the lease is one in which this node commits on its own."""
        return self._own.isdisjoint(_rounds(lease))

    def accept(self, lease: Lease) -> None:
        """Promise to commit nothing in the rounds of a lease. Raises ValueError for a lie."""
        if not self.may_accept(lease):
            raise ValueError(f"this node commits on its own in a round from {lease.round} on")
        recent = {known for known in self._leased if known >= lease.round - MAX_LEASE_ROUNDS}
        self._leased = recent | set(_rounds(lease))

    def commit_alone(self, round_number: int) -> bool:
        """Set out to commit in a round, if no lease forbids it."""
        if self.is_leased(round_number):
            return False
        self._own = {round_number}
        return True


def _rounds(lease: Lease) -> range:
    return range(lease.round, lease.last_round + 1)
