"""Building one's own block out of what a node holds, by the rules that others judge it by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from node.chain.block import Header
from node.chain.codec import encode
from node.chain.context import RoundContext
from node.chain.envelope import Signed
from node.chain.errors import InvalidBlock
from node.chain.hashing import blob_hash
from node.chain.ledger import apply_transfer
from node.chain.messages import MAX_BODY_BYTES, MAX_TRANSACTIONS, MAX_VOTES, Body, Transfer, Vote
from node.chain.state import State, compute_root
from node.chain.transition import state_after
from node.chain.votes import child_ancestors, include_vote

H = TypeVar("H", bound=Header)
Votes = tuple[Signed[Vote], ...]
Transfers = tuple[Signed[Transfer], ...]
FIELD_OVERHEAD_BYTES = 4
"""Tag and length of an envelope inside a body, at most."""


def select_votes(
    context: RoundContext, parent: State, parent_id: bytes, votes: Iterable[Signed[Vote]]
) -> Votes:
    """Votes that a child of `parent` may include, ascending by id; the newest if too many."""
    ancestors = child_ancestors(parent, parent_id)
    chosen: list[Signed[Vote]] = []
    for vote in sorted(votes, key=lambda v: (-v.message.round, v.id)):
        try:
            ancestors = include_vote(context, ancestors, vote)
        except InvalidBlock:
            continue
        chosen.append(vote)
    return tuple(sorted(chosen[:MAX_VOTES], key=lambda v: v.id))


def select_transfers(
    parent: State, transfers: Iterable[Signed[Transfer]], budget_bytes: int
) -> Transfers:
    """Transfers that stand one after the other on `parent`, within a byte budget."""
    accounts = dict(parent.accounts)
    chosen: list[Signed[Transfer]] = []
    for transfer in sorted(transfers, key=lambda t: t.message.nonce):
        size = len(encode(transfer.envelope)) + FIELD_OVERHEAD_BYTES
        if size > budget_bytes or len(chosen) == MAX_TRANSACTIONS:
            break
        try:
            apply_transfer(accounts, transfer)
        except InvalidBlock:
            continue
        budget_bytes -= size
        chosen.append(transfer)
    return tuple(chosen)


def complete(
    context: RoundContext,
    parent: State,
    draft: H,
    signer: bytes,
    body: Body,
    votes: Iterable[Signed[Vote]],
    transfers: Iterable[Signed[Transfer]],
) -> tuple[H, bytes]:
    """Return the header to sign and the exact body bytes.

    `draft` has every field but `body_hash` and `state_root`, `body` the lists and
    payouts; votes and transfers are chosen here out of all that the node holds.
    """
    chosen_votes = select_votes(context, parent, draft.parent, votes)
    body = replace(body, votes=tuple(vote.envelope for vote in chosen_votes))
    budget_bytes = MAX_BODY_BYTES - len(encode(body))
    chosen = select_transfers(parent, transfers, budget_bytes)
    body = replace(body, transactions=tuple(transfer.envelope for transfer in chosen))
    state = state_after(context, parent, draft, signer, body, chosen_votes, chosen)
    body_bytes = encode(body)
    header = replace(draft, body_hash=blob_hash(body_bytes), state_root=compute_root(state))
    return header, body_bytes
