"""Lists of commitments: folded into a block's body, and what they certify."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from node.chain.codec import encode
from node.chain.context import RoundContext
from node.chain.envelope import Signed, open_as
from node.chain.errors import InvalidBlock, Reason, Rejected
from node.chain.messages import Body, Envelope, Kind, List, ListProof


def check_list(context: RoundContext, signed: Signed[List]) -> None:
    """Whether a List may count in the round.

    Raises Rejected: WRONG_ROUND, NOT_ATTESTER, LIST_ORDER or LIST_TOO_LONG.
    """
    if signed.message.round != context.round:
        raise Rejected(Reason.WRONG_ROUND, f"a list for round {signed.message.round}")
    if signed.signer not in context.weights:
        raise Rejected(Reason.NOT_ATTESTER, f"{signed.signer.hex()[:8]} does not attest")
    if not is_ascending(signed.message.ids):
        raise Rejected(Reason.LIST_ORDER, "ids must ascend, each once")
    if len(signed.message.ids) > context.network.parameters.max_commits:
        raise Rejected(Reason.LIST_TOO_LONG, f"{len(signed.message.ids)} ids in one list")


def certified(context: RoundContext, lists: Iterable[Signed[List]]) -> frozenset[bytes]:
    """Ids that a quorum listed."""
    listers: dict[bytes, set[bytes]] = {}
    for signed in lists:
        for commit_id in signed.message.ids:
            listers.setdefault(commit_id, set()).add(signed.signer)
    return frozenset(i for i, attesters in listers.items() if context.is_quorum(attesters))


def fold(lists: Iterable[Signed[List]]) -> tuple[tuple[bytes, ...], tuple[ListProof, ...]]:
    """Return the `commit_ids` and `lists` of a body; one list an attester, the last one given."""
    by_attester = {signed.signer: signed for signed in lists}
    commit_ids = tuple(sorted({i for s in by_attester.values() for i in s.message.ids}))
    place = {commit_id: index for index, commit_id in enumerate(commit_ids)}
    proofs = []
    for attester, signed in sorted(by_attester.items()):
        bits = sum(1 << place[commit_id] for commit_id in signed.message.ids)
        bitmap = bits.to_bytes(_bitmap_bytes(commit_ids), "little")
        proofs.append(ListProof(attester, bitmap, signed.envelope.signature))
    return commit_ids, tuple(proofs)


def unfold(context: RoundContext, body: Body) -> tuple[Signed[List], ...]:
    """Rebuild and check the Lists of a body. Raises Rejected."""
    ids = body.commit_ids
    # 1. Ids and proofs have one order, so that a set of lists has one folded form.
    if not is_ascending(ids):
        raise InvalidBlock(Reason.COMMIT_IDS_ORDER, "commit ids must ascend, each once")
    if not is_ascending([proof.attester for proof in body.lists]):
        raise InvalidBlock(Reason.PROOF_ORDER, "list proofs must ascend by attester, each once")
    # 2. Each proof is the signed List of an attester of this round.
    lists = tuple(_unfold_proof(context, ids, proof) for proof in body.lists)
    for signed in lists:
        check_list(context, signed)
    # 3. No id is there that nobody listed.
    if len(set().union(*(signed.message.ids for signed in lists))) < len(ids):
        raise InvalidBlock(Reason.COMMIT_IDS_UNUSED, "a commit id is in no list")
    return lists


def _unfold_proof(
    context: RoundContext, commit_ids: Sequence[bytes], proof: ListProof
) -> Signed[List]:
    bits = int.from_bytes(proof.bitmap, "little")
    if len(proof.bitmap) != _bitmap_bytes(commit_ids) or bits >> len(commit_ids):
        raise InvalidBlock(Reason.PROOF_BITMAP, "a bitmap must have one bit for each commit id")
    payload = encode(List(context.round, marked_ids(commit_ids, proof.bitmap)))
    envelope = Envelope(Kind.LIST, payload, proof.attester, proof.signature)
    return open_as(List, envelope, context.network.id)


def marked_ids(commit_ids: Sequence[bytes], bitmap: bytes) -> tuple[bytes, ...]:
    """The ids that an attester's bitmap names."""
    bits = int.from_bytes(bitmap, "little")
    return tuple(commit_id for index, commit_id in enumerate(commit_ids) if bits >> index & 1)


def _bitmap_bytes(commit_ids: Sequence[bytes]) -> int:
    return (len(commit_ids) + 7) // 8


def is_ascending(values: Sequence[bytes]) -> bool:
    """Strictly, so each value is there once."""
    return all(before < after for before, after in pairwise(values))
