"""Votes inside bodies: which may be included, and what they justify on that chain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from node.chain.envelope import Signed
from node.chain.eras import Eras, mark
from node.chain.errors import InvalidBlock, Reason
from node.chain.hashing import blake
from node.chain.messages import Vote
from node.chain.state import VOTE_WINDOW, Ancestor, Checkpoint, State

Ancestors = tuple[Ancestor, ...]


def child_ancestors(parent: State, parent_id: bytes) -> Ancestors:
    """The blocks for which a child of `parent` may include votes, oldest first.

    Genesis is none of them: it needs no votes, and round 0 must not earn any.
    """
    if parent.round == 0:
        return ()
    nearest = Ancestor(Checkpoint(parent.round, parent_id), parent.justified)
    return (*parent.ancestors, nearest)[-VOTE_WINDOW:]


def include_vote(eras: Eras, ancestors: Ancestors, vote: Signed[Vote]) -> Ancestors:
    """Return the ancestors with the vote noted. Raises InvalidBlock."""
    message = vote.message
    # 1. The voter attests in the era of its target.
    place = eras.seats_at(message.round).places.get(vote.signer)
    if place is None:
        raise InvalidBlock(Reason.NOT_ATTESTER, f"{vote.signer.hex()[:8]} does not attest")
    # 2. The target is a recent ancestor of the block, at the round the vote is for.
    target = Checkpoint(message.round, message.target)
    index = next((i for i, ancestor in enumerate(ancestors) if ancestor.block == target), None)
    if index is None:
        raise InvalidBlock(Reason.VOTE_TARGET, "the target is no recent ancestor at that round")
    ancestor = ancestors[index]
    # 3. The source is the checkpoint justified in the target's state.
    if (message.source_round, message.source) != ancestor.source:
        raise InvalidBlock(Reason.VOTE_SOURCE, "the source is not the target's justified block")
    # 4. The attester's vote for that round is not on this chain yet.
    voters = mark(ancestor.voters, place)
    if voters == ancestor.voters:
        raise InvalidBlock(Reason.VOTE_REPEATED, "this attester's vote is on the chain already")
    noted = replace(ancestor, voters=voters)
    return (*ancestors[:index], noted, *ancestors[index + 1 :])


def highest_justified(eras: Eras, justified: Checkpoint, ancestors: Ancestors) -> Checkpoint:
    """Highest checkpoint that the votes on the chain justify, at least the one before.

    The source of every included vote is justified on this chain by rule 3, so a
    quorum for a target is all that it takes.
    """
    reached = (
        ancestor.block
        for ancestor in ancestors
        if ancestor.block.round > justified.round
        and (seats := eras.seats_at(ancestor.block.round)).is_quorum(seats.marked(ancestor.voters))
    )
    return max((justified, *reached))


def compute_logits_digest(voter: bytes, logits_hash: bytes) -> bytes:
    """What a vote says of its target's model; empty where there is none to count.

    Bound to the voter and stated before the block that names the hash, so that it can't
    be copied from others (consensus D7).
    """
    return blake("ponas/logits", voter, logits_hash) if logits_hash else b""


def paid_voters(
    eras: Eras,
    votes: Iterable[Signed[Vote]],
    parent_id: bytes,
    logits_hash: bytes,
) -> Counter[bytes]:
    """Weight of the included votes by attester, as far as they earn a reward.

    A vote for the parent must show that its voter counted: its digest has to be that of
    `logits_hash`, which the block states of its parent's model.
    """
    voters = Counter[bytes]()
    for vote in votes:
        digest = compute_logits_digest(vote.signer, logits_hash)
        if vote.message.target != parent_id or vote.message.logits_digest == digest:
            voters[vote.signer] += eras.seats_at(vote.message.round).weights[vote.signer]
    return voters
