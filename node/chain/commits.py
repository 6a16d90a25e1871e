"""Commitments: what a producer binds itself to, and which of them attesters list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from node.chain.codec import encode
from node.chain.context import RoundContext
from node.chain.envelope import Signed, object_id
from node.chain.errors import Reason, Rejected
from node.chain.hashing import MAX_INT, blake, u64
from node.chain.merkle import MerkleTree, plant, verify_leaf
from node.chain.messages import MAX_PAYOUT_LINES, Claim, Commit, Kind, PayoutLine


def compute_commitment(
    network_id: bytes,
    round_number: int,
    instance: bytes,
    producer: bytes,
    unit: int,
    genotype: bytes,
    model_hash: bytes,
    payout_root: bytes,
    salt: bytes,
) -> bytes:
    """Hash of all that may not change once the test set is open (consensus B7)."""
    return blake(
        "ponas/commitment",
        network_id,
        u64(round_number),
        instance,
        producer,
        u64(unit),
        genotype,
        model_hash,
        payout_root,
        salt,
    )


def compute_payout_root(lines: Sequence[PayoutLine]) -> bytes:
    """Merkle root over the payout lines in their order, so that one line can be proved alone."""
    return payout_tree(lines).root


def payout_tree(lines: Sequence[PayoutLine]) -> MerkleTree:
    """The tree under the payout root; its proofs have at most MAX_PROOF_HASHES hashes."""
    return plant(_payout_leaf(line) for line in lines)


def proves_payout(
    root: bytes, line: PayoutLine, index: int, lines: int, path: Sequence[bytes]
) -> bool:
    """Whether `line` is number `index` of so many lines under a payout root."""
    if lines > MAX_PAYOUT_LINES or line.weight > MAX_INT:
        return False
    return verify_leaf(root, _payout_leaf(line), index, lines, path)


def _payout_leaf(line: PayoutLine) -> bytes:
    return blake("ponas/payout", line.address, u64(line.weight))


def commit_of(context: RoundContext, claim: Claim, producer: bytes) -> Commit:
    """The Commit that a producer must have sent for this claim to count."""
    commitment = compute_commitment(
        context.network.id,
        claim.round,
        context.instance(producer, claim.unit),
        producer,
        claim.unit,
        claim.genotype,
        claim.model_hash,
        claim.payout_root,
        claim.salt,
    )
    return Commit(claim.round, claim.unit, commitment)


def commit_id(network_id: bytes, producer: bytes, commit: Commit) -> bytes:
    """Id of the envelope in which the producer sends the commit."""
    return object_id(network_id, Kind.COMMIT, producer, encode(commit))


def check_commit(context: RoundContext, commit: Signed[Commit]) -> None:
    """Whether an attester may list it. Raises Rejected: WRONG_ROUND or NO_UNIT."""
    if commit.message.round != context.round:
        raise Rejected(Reason.WRONG_ROUND, f"a commit for round {commit.message.round}")
    check_unit(context, commit.signer, commit.message.unit)


def check_unit(context: RoundContext, producer: bytes, unit: int) -> None:
    """Raise Rejected(NO_UNIT) unless the producer holds the unit in this round."""
    if unit >= context.units(producer):
        raise Rejected(Reason.NO_UNIT, f"{producer.hex()[:8]} holds no unit {unit}")


def choose_listed(context: RoundContext, commits: Iterable[Signed[Commit]]) -> tuple[bytes, ...]:
    """Ids for an attester's List: the K lowest tickets, ascending by id.

    The caller passes the first Commit it got of each (producer, unit).
    """
    by_ticket = sorted(
        commits, key=lambda c: context.draw("ponas/ticket", c.signer, u64(c.message.unit))
    )
    return tuple(sorted(c.id for c in by_ticket[: context.network.parameters.max_commits]))
