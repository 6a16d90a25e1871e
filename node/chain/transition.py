"""From one state to the next by a block."""

from __future__ import annotations

from collections.abc import Sequence

from node.chain.block import Block, Header
from node.chain.context import RoundContext, next_beacon
from node.chain.draft import Draft
from node.chain.envelope import Signed
from node.chain.erachange import change_era
from node.chain.errors import InvalidBlock, Reason, Rejected
from node.chain.lists import is_ascending
from node.chain.messages import Body, Claim, Fallback, Transaction, Vote
from node.chain.published.play import (
    close_expired,
    note_holders,
    reserve_next,
    settle_shards,
)
from node.chain.rewards import compute_rewards, current_subsidy
from node.chain.sealing import note_chains, settle_seals
from node.chain.state import State, compute_root
from node.chain.transactions import apply_transaction
from node.chain.validity import DesignRules, check_claim, check_fallback, check_searchable
from node.chain.votes import child_ancestors, highest_justified, include_vote, paid_voters


def apply_block(context: RoundContext, parent: State, block: Block, designs: DesignRules) -> State:
    """Judge a block by every objective rule and return the state after it.

    `parent` is the state of the block with id `block.parent`, `context` that of the
    block's round on this chain. Raises InvalidBlock.
    """
    if context.round != block.round:
        raise ValueError(f"the context is of round {context.round}, the block of {block.round}")
    try:
        return _apply(context, parent, block, designs)
    except InvalidBlock:
        raise
    except Rejected as error:
        raise InvalidBlock(error.reason, error.detail) from error


def _apply(context: RoundContext, parent: State, block: Block, designs: DesignRules) -> State:
    header = block.header.message
    # 1. Rounds rise along a chain; they are its time.
    if header.round <= parent.round:
        raise InvalidBlock(
            Reason.ROUND_NOT_RISING, f"round {header.round} on a parent of {parent.round}"
        )
    # 2. The header stands with this body.
    match header:
        case Claim():
            check_claim(context, header, block.header.signer, block.body, designs)
        case Fallback():
            check_fallback(context, header, block.header.signer, block.body)
    # 3. Votes have one order.
    if not is_ascending([vote.id for vote in block.votes]):
        raise InvalidBlock(Reason.VOTE_ORDER, "votes must ascend by id, each once")
    # 4. Published tasks are ones that can be searched.
    for transaction in block.transactions:
        check_searchable(transaction, designs)
    # 5. Transactions and votes stand, and lead to the state that the header names.
    state = state_after(
        context, parent, header, block.header.signer, block.body, block.votes, block.transactions
    )
    if compute_root(state) != header.state_root:
        raise InvalidBlock(Reason.STATE_ROOT, "the header names another state")
    return state


def state_after(
    context: RoundContext,
    parent: State,
    header: Header,
    signer: bytes,
    body: Body,
    votes: tuple[Signed[Vote], ...],
    transactions: tuple[Signed[Transaction], ...],
) -> State:
    """State that a header and its opened body lead to; leaves the header's hashes unread.

    In this order: transactions, votes, seals, fees, rewards, the queue of tasks, change of era, end
    of poor accounts. Raises InvalidBlock if a transaction or a vote does not stand.
    """
    draft = Draft(parent, header.round)
    for transaction in transactions:
        apply_transaction(draft, context, transaction)
    ancestors = child_ancestors(parent, header.parent)
    for vote in votes:
        ancestors = include_vote(draft.eras, ancestors, vote)
        draft.eras = draft.eras.note_vote(vote.signer)
    settle_seals(draft, context, header)
    note_chains(draft, votes)
    justified = highest_justified(draft.eras, parent.justified, ancestors)
    note_holders(draft, context, votes)
    draft.pay_fees(signer)
    voters = paid_voters(draft.eras, votes, header.parent, body.parent_logits_hash)
    settle_shards(draft, header, signer, body, voters)
    secrets: Sequence[bytes] = ()
    if isinstance(header, Claim) and context.paid is None:
        secrets = header.secrets
        subsidy = current_subsidy(context.network, header.round, draft.issued)
        for address, amount in compute_rewards(subsidy, signer, body.payouts, voters).items():
            draft.issue(address, amount)
    close_expired(draft, context.network.parameters.tasks.lifetime_rounds)
    reserve_next(draft, context, current_subsidy(context.network, header.round, draft.issued))
    change_era(draft, parent.eras, context.network.parameters.max_weight)
    draft.sweep(context.network.parameters.account_deposit)
    return draft.finish(
        round=header.round,
        height=parent.height + 1,
        beacon=next_beacon(parent.beacon, header.round, secrets),
        justified=justified,
        ancestors=ancestors,
    )
