"""Strong or weak (paper section 3.2.2): as declared, measured, and corrected by delivery.

A strong miner is one that finishes a lease's least budget in the phase; a weak one that held a
lease would waste a subspace (section 4.3.2). A miner is strong again only with room to spare, so
that one at the limit is not moved to and fro with each round.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from pool.records.strengths import Strength
from pool.rules.delivery import MIN_BUDGET, Delivery

STRONG_AGAIN = 1.25
"""A miner treated as weak must be expected to deliver so many times the least budget."""

EVIDENCE_RESULTS = 0.9 * MIN_BUDGET
"""Results, faded ones included, that say enough to retype a miner; or else a whole phase does."""


class Cause(StrEnum):
    """Why a miner is treated as it is."""

    DECLARED = "declared"
    UNMEASURED = "unmeasured"
    DELIVERS = "delivers"
    TOO_SLOW = "too-slow"
    NOT_YET_FAST_ENOUGH = "not-yet-fast-enough"
    SILENT = "silent"


class Typing(msgspec.Struct, frozen=True):
    """How a miner is treated, `WEAK` or `STRONG`.

    `reason` is for the miner, in words; empty while it is treated as it declared.
    """

    strength: Strength
    cause: Cause
    reason: str


def resolve_strength(
    declared: Strength, current: Strength, delivery: Delivery, remaining_ms: int, phase_ms: int
) -> Typing:
    """How to treat a miner that has been treated as `current` until now.

    `auto` is strong when it is expected to deliver MIN_BUDGET in the rest of the phase. A miner
    that declared itself strong is measured by the whole phase instead: joining late is no fault of
    its own. `weak` is believed. Until there is evidence, nobody's type changes, and `auto` starts
    as strong, which is how it gets measured. Raises ValueError for an empty phase.
    """
    if phase_ms < 1:
        raise ValueError(f"a phase takes at least 1 ms, not {phase_ms}")
    if declared is Strength.WEAK:
        return Typing(Strength.WEAK, Cause.DECLARED, "")
    was_weak, is_declared_strong = current is Strength.WEAK, declared is Strength.STRONG
    if delivery.results < EVIDENCE_RESULTS and delivery.measured_ms < phase_ms:
        if was_weak:
            return Typing(Strength.WEAK, Cause.UNMEASURED, "not measured anew, so it stays weak")
        reason = "" if is_declared_strong else "not measured yet, so it explores and is measured"
        return Typing(Strength.STRONG, Cause.UNMEASURED, reason)
    horizon_ms = phase_ms if is_declared_strong else max(0, remaining_ms)
    expected = delivery.episodes_in(horizon_ms)
    needed = MIN_BUDGET * (STRONG_AGAIN if was_weak else 1)
    measured = (
        f"{delivery.results:.1f} candidates took {delivery.measured_ms:.0f} ms, "
        f"which makes {expected:.1f} in {horizon_ms} ms"
    )
    if expected >= needed:
        if is_declared_strong:
            return Typing(Strength.STRONG, Cause.DECLARED, "")
        reason = f"{measured}; a strong miner delivers {needed:g}"
        return Typing(Strength.STRONG, Cause.DELIVERS, reason)
    cause = Cause.NOT_YET_FAST_ENOUGH if expected >= MIN_BUDGET else Cause.TOO_SLOW
    return Typing(Strength.WEAK, cause, f"{measured}; a strong miner delivers {needed:g}")
