"""From one state to the next by a block."""

from __future__ import annotations

from collections.abc import Sequence

from node.chain.block import Block, Header, check_signatures
from node.chain.context import RoundContext, next_beacon
from node.chain.draft import Draft
from node.chain.envelope import Signed
from node.chain.erachange import change_era
from node.chain.errors import InvalidBlock, Reason, as_invalid_block
from node.chain.lists import is_ascending
from node.chain.messages import Body, Claim, Fallback, Transaction, Vote
from node.chain.params import RULES_VERSION, version_at
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
from node.chain.units import charge_units
from node.chain.validity import (
    DesignRules,
    check_claim,
    check_fallback,
    check_searchable,
    check_winner,
)
from node.chain.votes import child_ancestors, highest_justified, include_vote, paid_voters


def apply_block(context: RoundContext, parent: State, block: Block, designs: DesignRules) -> State:
    """Judge a block by every objective rule and return the state after it.

    `parent` is the state of the block with id `block.parent`, `context` that of the
    block's round on this chain. Raises InvalidBlock.
    """
    with as_invalid_block():
        _check_header(context, parent, block)
        _check_designs(context, block, designs)
        return _follow(context, parent, block)


def follow_block(context: RoundContext, parent: State, block: Block) -> State:
    """The state after a block that a quorum vouches for, by all rules but those of `check_block`.

    Arguments are those of `apply_block`. Raises InvalidBlock.
    """
    with as_invalid_block():
        _check_header(context, parent, block)
        return _follow(context, parent, block)


def check_block(context: RoundContext, block: Block, designs: DesignRules) -> None:
    """Judge a block that was followed by what was left: signatures, lists and designs.

    Raises InvalidBlock.
    """
    with as_invalid_block():
        check_signatures(block, context.network.id)
        _check_designs(context, block, designs)


def _check_header(context: RoundContext, parent: State, block: Block) -> None:
    if context.round != block.round:
        raise ValueError(f"the context is of round {context.round}, the block of {block.round}")
    # 1. Rounds rise along a chain; they are its time.
    if block.round <= parent.round:
        raise InvalidBlock(
            Reason.ROUND_NOT_RISING, f"round {block.round} on a parent of {parent.round}"
        )
    # 2. This release knows the rules of the round.
    version = version_at(context.network.parameters, block.round)
    if version > RULES_VERSION:
        raise InvalidBlock(Reason.UNKNOWN_RULES, f"round {block.round} is of version {version}")
    # 3. The header stands with this body.
    match block.header.message:
        case Claim() as claim:
            check_claim(context, claim, block.header.signer, block.body)
        case Fallback() as fallback:
            check_fallback(context, fallback, block.header.signer, block.body)


def _check_designs(context: RoundContext, block: Block, designs: DesignRules) -> None:
    # 4. The design of a winner is allowed, and its commitment was listed in time.
    claim = block.header.message
    if isinstance(claim, Claim):
        check_winner(context, claim, block.header.signer, block.body, designs)
    # 5. Published tasks are ones that can be searched.
    for transaction in block.transactions:
        check_searchable(transaction, designs)


def _follow(context: RoundContext, parent: State, block: Block) -> State:
    # 6. Votes have one order.
    if not is_ascending([vote.id for vote in block.votes]):
        raise InvalidBlock(Reason.VOTE_ORDER, "votes must ascend by id, each once")
    # 7. Transactions and votes stand, and lead to the state that the header names.
    header = block.header.message
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

    In this order: transactions, votes, seals, rewards, fees, the queue of tasks, change of era, end
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
    voters = paid_voters(draft.eras, votes, header.parent, body.parent_logits_hash)
    settle_shards(draft, header, signer, body, voters)
    secrets: Sequence[bytes] = ()
    if isinstance(header, Claim) and context.paid is None:
        secrets = header.secrets
        subsidy = current_subsidy(context.network, header.round, draft.issued)
        for address, amount in compute_rewards(subsidy, signer, body.payouts, voters).items():
            draft.issue(address, amount)
    charge_units(draft, context.network.parameters, body.units)
    draft.pay_fees(signer)
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
