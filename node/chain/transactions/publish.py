"""Publishing a task, and what its publisher may do with it afterwards."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from node.chain.context import RoundContext
from node.chain.draft import Draft
from node.chain.envelope import Signed
from node.chain.errors import InvalidBlock, Reason
from node.chain.movements import MovementKind
from node.chain.published.difficulty import compute_difficulty_ms, score
from node.chain.published.play import close_task
from node.chain.published.queue import place_fee, who_yields
from node.chain.published.record import MAX_TASKS, TaskRecord
from node.chain.published.rules import check_terms
from node.chain.published.terms import Cancel, Publish, Rebond
from node.chain.rewards import current_subsidy


def apply(draft: Draft, context: RoundContext, signed: Signed[Publish]) -> None:
    """Queue a task and lock its rewards; a worse one may lose its place.

    Raises InvalidBlock: those of the terms, TASK_PUBLISHER, TASK_QUEUE, BALANCE.
    """
    terms, publisher, limits = signed.message, signed.signer, context.network.parameters.tasks
    # 1. The terms are ones that the network takes.
    subsidy = current_subsidy(context.network, draft.round, draft.issued)
    check_terms(terms, limits, subsidy)
    # 2. The publisher has no other task.
    if any(record.publisher == publisher for record in draft.tasks.values()):
        raise InvalidBlock(Reason.TASK_PUBLISHER, "a publisher has one task at a time")
    # 3. The queue has a place, or one that is worth less leaves it.
    difficulty_ms = compute_difficulty_ms(terms, limits)
    place = _take_place(draft, context, score(difficulty_ms, terms.reward))
    # 4. The publisher holds the rewards, and the fees for the place and what all have to keep.
    burnt = place_fee(subsidy) + limits.publish_fee(terms.data_bytes)
    draft.debit(publisher, terms.escrow + burnt)
    draft.burn(burnt)
    draft.note(MovementKind.PUBLISH_FEE, publisher, burnt)
    record = TaskRecord(publisher, terms, difficulty_ms, queued_round=draft.round, place=place)
    draft.tasks = draft.tasks.set(signed.id, record)


def _take_place(draft: Draft, context: RoundContext, newcomer: Fraction) -> int:
    """A bit of votes for a task of this score. Raises InvalidBlock(TASK_QUEUE)."""
    if len(draft.tasks) >= MAX_TASKS:
        yields = who_yields(draft.tasks.items(), newcomer, draft.round, context.is_quorum)
        if yields is None:
            raise InvalidBlock(Reason.TASK_QUEUE, f"{MAX_TASKS} tasks wait that pay as well")
        close_task(draft, yields)
    taken = {record.place for record in draft.tasks.values()}
    return next(place for place in range(MAX_TASKS) if place not in taken)


def apply_cancel(draft: Draft, context: RoundContext, signed: Signed[Cancel]) -> None:
    """Take a task out of the queue. Raises InvalidBlock: TASK_UNKNOWN."""
    _own_task(draft, signed)
    close_task(draft, signed.message.task)


def apply_rebond(draft: Draft, context: RoundContext, signed: Signed[Rebond]) -> None:
    """Deposit a reward, so that a suspended task is mined again; it is given back at the task's
    end and burnt if a key is withheld again. Raises InvalidBlock: TASK_UNKNOWN, TASK_SUSPENDED,
    BALANCE."""
    record = _own_task(draft, signed)
    if not record.suspended:
        raise InvalidBlock(Reason.TASK_SUSPENDED, "the task is not suspended")
    draft.debit(signed.signer, record.terms.reward)
    draft.note(MovementKind.TASK_BOND, signed.signer, record.terms.reward)
    bonded = replace(record, suspended=0, bond=record.terms.reward)
    draft.tasks = draft.tasks.set(signed.message.task, bonded)


def _own_task(draft: Draft, signed: Signed[Cancel] | Signed[Rebond]) -> TaskRecord:
    record = draft.tasks.get(signed.message.task)
    if record is None or record.publisher != signed.signer or record.closed:
        raise InvalidBlock(Reason.TASK_UNKNOWN, "the signer has no such task in the queue")
    return record
