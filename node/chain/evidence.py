"""Does what somebody signed prove an offence? Pure, and apart from any chain (consensus H).

What depends on the chain is judged where evidence is applied: whether it comes in time, whether a
bond is there, whether the offence was punished before, and whether a claim is false.
"""

from __future__ import annotations

from collections.abc import Sequence

from node.chain.envelope import Signed
from node.chain.errors import Reason, Rejected
from node.chain.finality import link_of, slashable
from node.chain.messages import Claim, Commit, Lease, LeaseAcceptance, List, Payload, Vote
from node.chain.offence import Offence, Proven

LEASE_ROUNDS = 1
"""Rounds after its own for which breaking a lease costs a unit; longer promises are the pool's."""


def prove(shown: Sequence[Signed[Payload]]) -> Proven:
    """The offence that signed objects show: two of a kind, a Claim, or a lease and what broke it.

    A Claim alone is proof only if it does not stand, which is the caller's to check.
    Raises Rejected(NO_OFFENCE).
    """
    match [signed.message for signed in shown]:
        case [Claim() as claim]:
            return Proven(Offence.FALSE_CLAIM, shown[0].signer, claim.round)
        case [List() as first, List() as second]:
            _check_pair(shown, first.round, second.round)
            return Proven(Offence.DOUBLE_LIST, shown[0].signer, first.round)
        case [Claim() as one, Claim() as other]:
            _check_pair(shown, one.round, other.round)
            return Proven(Offence.DOUBLE_CLAIM, shown[0].signer, one.round)
        case [Vote() as earlier, Vote() as later]:
            return _prove_votes(shown, earlier, later)
        case [Lease() as lease, LeaseAcceptance() as acceptance, Commit() as commit]:
            return _prove_broken_lease(shown, lease, acceptance, commit)
    raise Rejected(Reason.NO_OFFENCE, "nobody is forbidden to sign these objects")


def _check_pair(shown: Sequence[Signed[Payload]], first_round: int, second_round: int) -> None:
    """Two different objects of one kind, by one signer, for one round."""
    if shown[0].signer != shown[1].signer:
        raise Rejected(Reason.NO_OFFENCE, "the objects are of two signers")
    if shown[0].id >= shown[1].id:
        # One order, so that there is one transaction for one offence.
        raise Rejected(Reason.NO_OFFENCE, "the objects must differ and ascend by id")
    if first_round != second_round:
        raise Rejected(Reason.NO_OFFENCE, "the objects are of two rounds")


def _prove_votes(shown: Sequence[Signed[Payload]], first: Vote, second: Vote) -> Proven:
    """Two links that contradict each other; for a surround the round is that of the outer one."""
    if shown[0].signer != shown[1].signer:
        raise Rejected(Reason.NO_OFFENCE, "the votes are of two signers")
    if shown[0].id >= shown[1].id:
        raise Rejected(Reason.NO_OFFENCE, "the votes must differ and ascend by id")
    offence = slashable(link_of(first), link_of(second))
    if offence is None:
        raise Rejected(Reason.NO_OFFENCE, "an honest attester may sign both votes")
    return Proven(offence, shown[0].signer, max(first.round, second.round))


def _prove_broken_lease(
    shown: Sequence[Signed[Payload]], lease: Lease, acceptance: LeaseAcceptance, commit: Commit
) -> Proven:
    """A miner's own commitment in a round in which it had promised to make none (consensus F1)."""
    granted, accepted, committed = shown
    if acceptance.lease != granted.id:
        raise Rejected(Reason.NO_OFFENCE, "another lease was accepted")
    if not lease.miner == accepted.signer == committed.signer:
        raise Rejected(Reason.NO_OFFENCE, "who committed did not accept the lease")
    last_round = min(lease.last_round, lease.round + LEASE_ROUNDS)
    if not lease.round <= commit.round <= last_round:
        raise Rejected(Reason.NO_OFFENCE, f"the lease says nothing of round {commit.round}")
    return Proven(Offence.BROKEN_LEASE, committed.signer, commit.round)
