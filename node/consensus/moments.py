"""When a producer acts in the train phase: the last moments that are still safe, as measured."""

from __future__ import annotations

from collections.abc import Sequence

FLOOR_MS = 750
"""A commit of some hundred bytes crosses three hops of half the planet and back in this time."""

MARGIN = 2
"""A commit is planned for as if this node were so many times slower than its slowest of late."""

MOST_PART = 4
"""At most a quarter of a phase is given to slowness; a node that needs more is overloaded."""

CONFIRM_PART = 32
"""The last part of a phase before the commit in which no more results count, so that the last of
them can be confirmed."""

SAMPLES = 256
"""Newest delays that are looked at."""


def slowest(delays_ms: Sequence[int]) -> int:
    """The 99th percentile of delays in ms, by nearest rank; 0 for none."""
    if not delays_ms:
        return 0
    return sorted(delays_ms)[-(-99 * len(delays_ms) // 100) - 1]


def commit_lead_ms(delays_ms: Sequence[int], phase_ms: int) -> int:
    """How long before the end of a train phase of `phase_ms` the commit has to leave.

    `delays_ms` are by how much this node was late of late: its event loop when it meant to wake up,
    and its disk when a promise had to be synced. Attesters list what has reached them at the end of
    the phase, so a commit late by a millisecond is lost with the whole round.
    """
    most = phase_ms // MOST_PART
    return min(most, max(min(FLOOR_MS, phase_ms // 20), MARGIN * slowest(delays_ms)))


def train_end_lead_ms(delays_ms: Sequence[int], phase_ms: int) -> int:
    """How long before the end of a train phase results stop counting."""
    return commit_lead_ms(delays_ms, phase_ms) + phase_ms // CONFIRM_PART
