"""What follows from the books: pages of the share log, audits' ends, commitments."""

from __future__ import annotations

from collections.abc import Iterable

from pool.proofs.sharelog import Held, Terms
from pool.records import events
from pool.records.books import with_page_closed
from pool.records.state import Audit, PoolState
from pool.rules.audits import Fault

OVERDUE = "the miner has let the time for its answer pass, whenever it was connected"

LEASE_BROKEN = "lease-broken"
"""Why work is forfeited by who commits on its own under a lease (consensus F1)."""


def decide_page(
    pool: PoolState,
    manager: bytes,
    now_ms: int,
    terms: Terms | None = None,
    held: tuple[Held, ...] = (),
) -> tuple[events.PageClosed, bytes]:
    """Close the open page of the share log; the event and the bytes to be kept.

    Raises ValueError when no round has started.
    """
    if pool.round is None:
        raise ValueError("no round has started")
    number = pool.round.task.round
    hash_, data, _ = with_page_closed(pool.books, manager, number, terms, held)
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


def decide_overdue(
    pool: PoolState, overdue: Iterable[bytes], now_ms: int
) -> tuple[events.WorkForfeited, ...]:
    """Not to answer an audit in time is to fail it; `overdue` are such miners.

    Whoever of them has no audit waiting any more is left out.
    """
    late = [pool.audits[miner].audit for miner in overdue if miner in pool.audits]
    return tuple(decide_fault(audit, Fault.OVERDUE, OVERDUE, now_ms) for audit in late)
