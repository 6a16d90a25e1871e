"""A round that is played for a published task: what its block must hold, and where the money goes.

Consensus C3 to C6 and H. The functions that change a draft are called for every block, in the order
in which they stand here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from node.chain.context import RoundContext
from node.chain.draft import Draft
from node.chain.envelope import Signed
from node.chain.errors import InvalidBlock, Reason, Rejected
from node.chain.messages import Body, Claim, Fallback, List, Vote
from node.chain.movements import MovementKind
from node.chain.published.escrow import Settlement, settle_open, settle_withheld, settle_won
from node.chain.published.queue import LEAD_ROUNDS, choose, note_holder
from node.chain.published.record import Entry, Incumbent, PaidShard, Reservation
from node.chain.published.sealing import hash_key
from node.chain.published.terms import Key


def check_key(context: RoundContext, signed: Signed[Key]) -> None:
    """Whether a Key opens the shard of the round. Raises Rejected: WRONG_ROUND, NOT_KEY_HOLDER,
    KEY."""
    if signed.message.round != context.round:
        raise Rejected(Reason.WRONG_ROUND, f"a key of round {signed.message.round}")
    paid = context.paid
    if paid is None or signed.signer not in paid.terms.key_holders:
        raise Rejected(Reason.NOT_KEY_HOLDER, "the signer holds no key of the round")
    message = signed.message
    opens = hash_key(message.key) == paid.sealed.key
    if not opens or (message.task, message.shard) != (paid.task_id, paid.shard):
        raise Rejected(Reason.KEY, "this is not the key of the shard of the round")


def check_paid_claim(paid: PaidShard, claim: Claim) -> None:
    """Whether a claim opens the shard and beats what has won before. Raises InvalidBlock.

    That the incumbent counts as stated is for those who count (`COUNT_DIFFERS`).
    """
    # 1. The claim carries the key of the shard.
    if [hash_key(secret) for secret in claim.secrets] != [paid.sealed.key]:
        raise InvalidBlock(Reason.SECRETS, "the claim does not carry the key of the shard")
    # 2. From the second win on, the model before is to be beaten on the new shard.
    incumbent = paid.record.incumbent
    if incumbent is None and claim.incumbent_correct:
        raise InvalidBlock(Reason.INCUMBENT, "no model has won this task before")
    if claim.correct < claim.incumbent_correct + paid.margin:
        raise InvalidBlock(
            Reason.INCUMBENT,
            f"{claim.correct} correct, {paid.margin} more than {claim.incumbent_correct} are due",
        )


def check_withheld(
    context: RoundContext, paid: PaidShard, fallback: Fallback, lists: Sequence[Signed[List]]
) -> None:
    """Whether a fallback may name the key as missing, or names nothing. Raises Rejected.

    That the key is missing is for voters to judge, each by what it held in time.
    """
    # 1. Nothing but the key can be missing.
    if fallback.missing != (paid.sealed.key,):
        raise InvalidBlock(Reason.MISSING, "this is not the hash of the key of the shard")
    # 2. The key was due, as lists of a quorum were out.
    if not context.is_quorum({signed.signer for signed in lists}):
        raise InvalidBlock(Reason.MISSING_UNPROVED, "without lists of a quorum no key is due")


def note_holders(draft: Draft, context: RoundContext, votes: Iterable[Signed[Vote]]) -> None:
    """Note whose votes say that they hold which tasks' data."""
    voters = [vote for vote in votes if vote.message.tasks_held]
    for task_id, before in _tasks(draft) if voters else ():
        record = before
        for vote in voters:
            record = note_holder(record, vote.message, vote.signer, context.weights)
        if record != before:
            draft.tasks = draft.tasks.set(task_id, record)


def settle_shards(
    draft: Draft,
    header: Claim | Fallback,
    signer: bytes,
    body: Body,
    voters: Mapping[bytes, int],
) -> None:
    """Deal with the rewards of all shards whose round has come.

    `voters` as in `rewards.compute_rewards`. A round without a block may have opened its shard too.
    """
    for task_id, record in _tasks(draft):
        for reservation in record.reserved:
            if reservation.round == header.round:
                _settle_own(draft, task_id, reservation, header, signer, body, voters)
            elif reservation.round < header.round:
                _settle(
                    draft, task_id, reservation, settle_open(record.terms.reward, record.publisher)
                )


def close_expired(draft: Draft, lifetime_rounds: int) -> None:
    """Give up tasks that were queued too long ago."""
    for task_id, record in _tasks(draft):
        if not record.closed and record.queued_round + lifetime_rounds <= draft.round:
            close_task(draft, task_id)


def close_task(draft: Draft, task_id: bytes) -> None:
    """Give back what is not reserved; what is stays until it is settled."""
    record = draft.tasks[task_id]
    left = record.unreserved * record.terms.reward
    draft.give(MovementKind.REFUNDED, record.publisher, left)
    draft.tasks = draft.tasks.set(task_id, replace(record, closed=1))
    _drop_if_done(draft, task_id)


def reserve_next(draft: Draft, context: RoundContext, subsidy: int) -> None:
    """Reserve the shard of the round after the next, if a task is to be mined then."""
    round_number = draft.round + LEAD_ROUNDS
    task_id = choose(_tasks(draft), round_number, subsidy, context.is_quorum)
    if task_id is not None:
        draft.tasks = draft.tasks.set(task_id, draft.tasks[task_id].reserve(round_number))


def _tasks(draft: Draft) -> Sequence[Entry]:
    return tuple(draft.tasks.items())


def _settle_own(
    draft: Draft,
    task_id: bytes,
    reservation: Reservation,
    header: Claim | Fallback,
    signer: bytes,
    body: Body,
    voters: Mapping[bytes, int],
) -> None:
    """Settle the shard of the block's own round by how the round went."""
    record = draft.tasks[task_id]
    reward, publisher = record.terms.reward, record.publisher
    if isinstance(header, Claim):
        winner = Incumbent(header.genotype, header.model_hash)
        draft.tasks = draft.tasks.set(task_id, replace(record, incumbents=(winner,)))
        settlement = settle_won(reward, signer, body.payouts, voters)
    elif header.missing:
        draft.burn(record.bond)
        draft.tasks = draft.tasks.set(task_id, replace(record, bond=0, suspended=1))
        settlement = settle_withheld(reward, publisher, [unit.producer for unit in body.units])
    else:
        settlement = settle_open(reward, publisher)
    _settle(draft, task_id, reservation, settlement)


def _settle(draft: Draft, task_id: bytes, reservation: Reservation, settlement: Settlement) -> None:
    for address, amount in settlement.paid.items():
        if settlement.kind is None:
            draft.credit(address, amount)
        else:
            draft.give(settlement.kind, address, amount)
    draft.burn(settlement.burnt)
    draft.tasks = draft.tasks.set(task_id, draft.tasks[task_id].settle(reservation))
    _drop_if_done(draft, task_id)


def _drop_if_done(draft: Draft, task_id: bytes) -> None:
    """Forget a task that has nothing left, and give its bond back."""
    record = draft.tasks[task_id]
    if not record.unreserved and not record.reserved:
        draft.give(MovementKind.REFUNDED, record.publisher, record.bond)
        draft.tasks = draft.tasks.delete(task_id)
