"""Audits and pay of a simulated pool: events like the real manager's, for the same books.

The pool wins every round in which it has a best. Audits happen at once: how long they wait for the
manager's evaluation capacity is not simulated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pool.decisions.pay import decide_fault
from pool.records import events
from pool.records.books import compute_lines
from pool.records.state import Audit, PoolState
from pool.rules.audits import AuditKind, Fault
from pool.simulation.miners import Claim

MANAGER = bytes(32)
"""Payout address of the manager, which takes no fee."""

# What counting a model shows; other faults show only when an epoch is repeated.
_SEEN_BY_COUNT = (Fault.MODEL_MISSING, Fault.MODEL_FORMAT, Fault.COUNT_DIFFERS)


@dataclass(slots=True)
class Book:
    """How often a miner was audited, and lost its work."""

    audits: int = 0
    forfeits: int = 0


def settle(audit: Audit, claim: Claim, now_ms: int) -> events.ShareAudited | events.WorkForfeited:
    """How the audit of a claim ends."""
    fault = claim.fault
    is_shown = audit.kind is AuditKind.RETRAIN or fault in _SEEN_BY_COUNT
    if fault is not None and is_shown:
        return decide_fault(audit, fault, "", now_ms)
    return events.ShareAudited(now_ms, audit, True, "")


def weights_of(pool: PoolState, number: int, finder: bytes) -> Mapping[bytes, int]:
    """What the block of a round pays, by address: in this simulation the key of the miner."""
    lines = compute_lines(pool.books, number, finder, MANAGER, 0)
    return {line.address: line.weight for line in lines}
