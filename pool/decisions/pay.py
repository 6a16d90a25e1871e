"""What follows from the books: pages of the share log, audits' ends, commitments."""

from __future__ import annotations

from pool.proofs.sharelog import Terms
from pool.records import events
from pool.records.books import with_page_closed
from pool.records.state import Audit, PoolState
from pool.rules.audits import Fault

AUDIT_ROUNDS = 1
"""Rounds after its own in which a share's miner may still show up for an audit. Then not coming is
no answer, else leaving would be the way out of audits."""


def decide_page(
    pool: PoolState, manager: bytes, now_ms: int, terms: Terms | None = None
) -> tuple[events.PageClosed, bytes]:
    """Close the open page of the share log; the event and the bytes to be kept.

    Raises ValueError when no round has started.
    """
    if pool.round is None:
        raise ValueError("no round has started")
    number = pool.round.task.round
    hash_, data, _ = with_page_closed(pool.books, manager, number, terms)
    return events.PageClosed(now_ms, number, hash_), data


def decide_fault(audit: Audit, fault: Fault, detail: str, now_ms: int) -> events.WorkForfeited:
    """A share has failed its audit."""
    return events.WorkForfeited(now_ms, audit.miner, fault, detail)


def decide_missing(
    pool: PoolState, round_number: int, now_ms: int
) -> tuple[events.WorkForfeited, ...]:
    """Forfeit for those that have not shown up for an audit for too long, at a round's start."""
    overdue = {
        audit.miner: audit
        for audit in pool.audits.values()
        if audit.round + AUDIT_ROUNDS < round_number and not _is_here(pool, audit.miner)
    }
    detail = f"the miner has not come back within {AUDIT_ROUNDS} rounds"
    return tuple(
        decide_fault(overdue[miner], Fault.MODEL_MISSING, detail, now_ms)
        for miner in sorted(overdue)
    )


def _is_here(pool: PoolState, key: bytes) -> bool:
    miner = pool.miners.get(key)
    return miner is not None and miner.connected
