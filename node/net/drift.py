"""How far this node's clock is from those of its peers, and whether it may sign.

Rounds start on each node's own clock. One that is far off lists too early or too late, so beyond
a two-hundredth of a round it signs nothing (consensus G4). Only peers that this node chose to
dial are asked: those who dial in are chosen by whoever wants to be asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

MIN_PEERS = 4
"""Peers whose clocks must be known before they are believed."""
_ROUNDS_PART = 200


@dataclass(frozen=True)
class Sample:
    """One question for the time: the clocks' difference at its middle, ms, and how long it took."""

    offset_ms: int
    round_trip_ms: int

    @property
    def certain_offset_ms(self) -> int:
        """The part of the offset that no asymmetry of the two ways can explain."""
        doubt_ms = -(-self.round_trip_ms // 2)
        certain_ms = max(0, abs(self.offset_ms) - doubt_ms)
        return certain_ms if self.offset_ms > 0 else -certain_ms


@dataclass(frozen=True)
class ClockVerdict:
    """`offset_ms` is the peers' clocks minus this one's, None while too few are known.

    `reason` says why this node must not sign, or is empty.
    """

    offset_ms: int | None
    reason: str


def take_sample(asked_ms: int, answered_ms: int, their_clock_ms: int) -> Sample:
    """A sample from this node's clock when it asked and was answered, and the peer's between."""
    return Sample(their_clock_ms - (asked_ms + answered_ms) // 2, answered_ms - asked_ms)


def best_of(samples: Sequence[Sample]) -> Sample:
    """The sample to go by: that of the shortest round trip, the newest of equals (RFC 5905, 10)."""
    return min(reversed(samples), key=lambda sample: sample.round_trip_ms)


def judge_clock(offsets_ms: Sequence[int], round_ms: int) -> ClockVerdict:
    """Whether a node may sign whose dialled peers' clocks differ from its own by `offsets_ms`."""
    if len(offsets_ms) < MIN_PEERS:
        return ClockVerdict(None, "")
    offset_ms = round(median(offsets_ms))
    tolerance_ms = round_ms // _ROUNDS_PART
    if abs(offset_ms) <= tolerance_ms:
        return ClockVerdict(offset_ms, "")
    side = "behind" if offset_ms > 0 else "ahead of"
    return ClockVerdict(
        offset_ms,
        f"this machine's clock is {abs(offset_ms)} ms {side} those of {len(offsets_ms)} peers, "
        f"and {tolerance_ms} ms are allowed; set it by NTP",
    )
