"""Building one's own block out of what a node holds, by the rules that others judge it by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from heapq import heapify, heappop, heappush
from typing import TypeVar

from node.chain.block import Header
from node.chain.codec import encode
from node.chain.context import RoundContext
from node.chain.draft import Draft
from node.chain.envelope import Signed
from node.chain.errors import InvalidBlock
from node.chain.hashing import blob_hash
from node.chain.messages import (
    MAX_BODY_BYTES,
    MAX_VOTES,
    Body,
    Transaction,
    Vote,
)
from node.chain.state import State, compute_root
from node.chain.transactions import apply_transaction, compute_fee_rate, transaction_size
from node.chain.transition import state_after
from node.chain.votes import child_ancestors, include_vote
from node.chain.work import MAX_WORK, work_of

H = TypeVar("H", bound=Header)
Votes = tuple[Signed[Vote], ...]
Transactions = tuple[Signed[Transaction], ...]
FIELD_OVERHEAD_BYTES = 4
"""Tag and length of an envelope inside a body, at most."""


def select_votes(
    context: RoundContext, parent: State, parent_id: bytes, votes: Iterable[Signed[Vote]]
) -> Votes:
    """Votes that a child of `parent` may include, ascending by id; the newest if too many."""
    ancestors, eras = child_ancestors(parent, parent_id), parent.eras.enter(context.round)
    chosen: list[Signed[Vote]] = []
    for vote in sorted(votes, key=lambda v: (-v.message.round, v.id)):
        try:
            ancestors = include_vote(eras, ancestors, vote)
        except InvalidBlock:
            continue
        chosen.append(vote)
    return tuple(sorted(chosen[:MAX_VOTES], key=lambda v: v.id))


def select_transactions(
    context: RoundContext,
    parent: State,
    transactions: Iterable[Signed[Transaction]],
    budget_bytes: int,
) -> Transactions:
    """Transactions that stand one after the other on `parent`, within a byte budget and MAX_WORK.

    Each signer's go by their nonces, the signers by the fee that their next one offers a byte.
    """
    draft, chosen = Draft(parent, context.round), list[Signed[Transaction]]()
    budget_work = MAX_WORK
    queues = _queues(parent, transactions)
    nexts = [_precedence(queue[-1]) for queue in queues.values()]
    heapify(nexts)
    while nexts:
        queue = queues[heappop(nexts)[-1]]
        signed = queue.pop()
        size = transaction_size(signed) + FIELD_OVERHEAD_BYTES
        work = work_of(signed.message)
        if size > budget_bytes or work > budget_work:
            continue
        try:
            apply_transaction(draft, context, signed)
        except InvalidBlock:
            # Nor do those behind it, which have higher nonces.
            continue
        budget_bytes -= size
        budget_work -= work
        chosen.append(signed)
        if queue:
            heappush(nexts, _precedence(queue[-1]))
    return tuple(chosen)


def _queues(
    parent: State, transactions: Iterable[Signed[Transaction]]
) -> dict[bytes, list[Signed[Transaction]]]:
    """What each signer still has to bring in, the next one last."""
    queues: dict[bytes, list[Signed[Transaction]]] = {}
    for signed in sorted(transactions, key=lambda t: t.message.nonce, reverse=True):
        if signed.message.nonce >= parent.account(signed.signer).nonce:
            queues.setdefault(signed.signer, []).append(signed)
    return queues


def _precedence(signed: Signed[Transaction]) -> tuple[int, bytes, bytes]:
    return -compute_fee_rate(signed), signed.id, signed.signer


def complete(
    context: RoundContext,
    parent: State,
    draft: H,
    signer: bytes,
    body: Body,
    votes: Iterable[Signed[Vote]],
    transactions: Iterable[Signed[Transaction]],
) -> tuple[H, bytes]:
    """Return the header to sign and the exact body bytes.

    `draft` has every field but `body_hash` and `state_root`, `body` the lists and
    payouts; votes and transactions are chosen here out of all that the node holds.
    """
    chosen_votes = select_votes(context, parent, draft.parent, votes)
    body = replace(body, votes=tuple(vote.envelope for vote in chosen_votes))
    budget_bytes = MAX_BODY_BYTES - len(encode(body))
    chosen = select_transactions(context, parent, transactions, budget_bytes)
    body = replace(body, transactions=tuple(signed.envelope for signed in chosen))
    state = state_after(context, parent, draft, signer, body, chosen_votes, chosen)
    body_bytes = encode(body)
    header = replace(draft, body_hash=blob_hash(body_bytes), state_root=compute_root(state))
    return header, body_bytes
