"""What follows from the books: pages of the share log, audits' ends, commitments."""

from __future__ import annotations

from pool.proofs.sharelog import Terms
from pool.records import events
from pool.records.books import with_page_closed
from pool.records.state import Audit, PoolState
from pool.rules.audits import Fault

LEASE_BROKEN = "lease-broken"
"""Why work is forfeited by who commits on its own under a lease (consensus F1)."""

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


def decide_defection(
    pool: PoolState, miner: bytes, round_number: int, commitment: bytes, now_ms: int
) -> events.WorkForfeited | None:
    """A key has committed a model of its own: a broken promise if it holds a lease of that round.

    `commitment` is the encoded envelope that shows it; with the lease and its acceptance anybody
    can see the same.
    """
    known = pool.miners.get(miner)
    leases = () if known is None else known.leases
    broken = [kept for kept in leases if kept.last_round == round_number]
    if not broken:
        return None
    detail = f"the miner has committed a model of its own in round {round_number}"
    evidence = (broken[-1].lease, broken[-1].acceptance, commitment)
    return events.WorkForfeited(now_ms, miner, LEASE_BROKEN, detail, evidence)


def decide_fault(audit: Audit, fault: Fault, detail: str, now_ms: int) -> events.WorkForfeited:
    """A share has failed its audit."""
    return events.WorkForfeited(now_ms, audit.miner, fault, detail)


def decide_missing(
    pool: PoolState, round_number: int, now_ms: int
) -> tuple[events.WorkForfeited, ...]:
    """Forfeit for those that have not shown up for an audit for too long, at a round's start."""
    overdue = {
        miner: pending.audit
        for miner, pending in pool.audits.items()
        if pending.round + AUDIT_ROUNDS < round_number and not _is_here(pool, miner)
    }
    detail = f"the miner has not come back within {AUDIT_ROUNDS} rounds"
    return tuple(
        decide_fault(overdue[miner], Fault.MODEL_MISSING, detail, now_ms)
        for miner in sorted(overdue)
    )


def _is_here(pool: PoolState, key: bytes) -> bool:
    miner = pool.miners.get(key)
    return miner is not None and miner.connected
