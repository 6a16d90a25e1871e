"""Leases as both sides read them: which subspace is meant, and whether a manager's word fits it.

A lease is the manager's promise of a subspace, or of the space in which its best is improved, and
the miner's to commit nothing on its own meanwhile. Both are signed, so that each can show what the
other has said.
"""

from __future__ import annotations

from nacl.signing import SigningKey

from nas.designs.space import Space
from node.chain.envelope import Signed, open_as, sign
from node.chain.errors import Rejected
from node.chain.hashing import blake, u64
from node.chain.messages import Envelope, Lease, LeaseAcceptance
from pool.link.orders import Order

MAX_LEASE_ROUNDS = 16
"""Rounds after its own for which a miner promises to commit nothing; a lease asks for no more."""


class LeaseError(ValueError):
    """A lease that does not fit what it was sent with; one sentence that says why."""


def subspace_hash(space: Space) -> bytes:
    """H over the ranges of a subspace, layer by layer in the order of the paper's tables."""
    ranges = [values for layer in space.ranges for values in layer]
    fields = [b"".join(u64(value) for value in values) for values in ranges]
    return blake("ponas/subspace", u64(space.layers), *fields)


def open_lease(
    order: Order, manager: bytes, miner: bytes, network_id: bytes
) -> Signed[Lease] | None:
    """Check the lease of an order against the order; None if there is none, and no promise.

    `manager` and `miner` are the keys at the two ends of the link. Raises LeaseError with the rule
    that the lease breaks.
    """
    if order.lease is None:
        return None
    # 1. It is a lease with a valid signature.
    try:
        signed = open_as(Lease, order.lease, network_id)
    except Rejected as error:
        raise LeaseError(f"the lease can't be read: {error}") from error
    lease = signed.message
    # 2. The manager of this connection gives it, to this miner.
    if signed.signer != manager:
        raise LeaseError("the lease is signed by another manager")
    if lease.miner != miner:
        raise LeaseError("the lease is another miner's")
    # 3. It is for this assignment, round and work.
    if (lease.assignment, lease.round) != (order.id, order.round):
        raise LeaseError(
            f"the lease is for assignment {lease.assignment} of round {lease.round}, "
            f"not {order.id} of round {order.round}"
        )
    if lease.subspace_hash != subspace_hash(order.work.space):
        raise LeaseError("the lease is for another subspace")
    if lease.search_seed != order.work.seed:
        raise LeaseError("the lease is for another search seed")
    # 4. The miner's promise begins with the round and ends in foreseeable time.
    if not 0 <= lease.last_round - lease.round <= MAX_LEASE_ROUNDS:
        raise LeaseError(
            f"a lease of round {lease.round} can't hold until round {lease.last_round}"
        )
    return signed


def accept_lease(lease: Signed[Lease], key: SigningKey, network_id: bytes) -> Envelope:
    """The miner's signed acceptance of a lease."""
    return sign(LeaseAcceptance(lease.id), key, network_id).envelope
