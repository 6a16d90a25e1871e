"""What peers' offences add up to: points that fade, and when a peer is dropped or banned.

Pure. Keys are free to make, so the same points are kept for a peer's host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType

from node.chain.errors import InvalidBlock, Reason, Rejected
from node.net.protocol import Refusal, Refused

HALF_LIFE_MS = 600_000
"""In this time points lose half of their weight."""
DROP_AT = 50
"""Points at which the link ends; the peer may come back, with its points."""
BAN_AT = 100
"""Points at which nothing more is heard of the peer for `BAN_MS`."""
BAN_MS = 3_600_000

# Whether these rules hold does not depend on what the checker has seen, and honest nodes check
# them before they pass anything on.
_PLAIN_TO_SEE = frozenset(
    {
        Reason.UNKNOWN_KIND,
        Reason.WRONG_KIND,
        Reason.NOT_CANONICAL,
        Reason.BAD_KEY,
        Reason.BAD_SIGNATURE,
        Refusal.WRONG_HASH,
        Refusal.BROKEN_HEADERS,
        Refusal.BAD_PROOF,
        Refusal.FALSE_SNAPSHOT,
    }
)
# No peer that keeps to the protocol does these, but a faulty one may.
_AGAINST_PROTOCOL = frozenset(
    {
        Refusal.MALFORMED,
        Refusal.OVERSIZED,
        Refusal.UNASKED,
        Refusal.TOO_MANY_REQUESTS,
        Refusal.BAD_ADDRESS,
    }
)


class Verdict(IntEnum):
    """What is to become of a peer, from mild to severe."""

    KEEP = 0
    DROP = 1
    BAN = 2


@dataclass(frozen=True)
class Conduct:
    """Points of a peer as of `at_ms`, and what they were given for."""

    points: float = 0.0
    at_ms: int = 0
    offences: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


def points_for(error: Refused | Rejected) -> int:
    """What an offence weighs."""
    if isinstance(error, InvalidBlock) or error.reason in _PLAIN_TO_SEE:
        return 20
    if error.reason in _AGAINST_PROTOCOL:
        return 10
    # Other rules of the chain may look broken to a node that sees another head, say while a peer
    # spends what this node has not heard of; how many of those there may be a session limits.
    return 2 if isinstance(error, Refused) else 0


def score(conduct: Conduct, now_ms: int) -> float:
    """What is left of the points."""
    # A clock that was set back must not make points grow.
    passed_ms = max(0, now_ms - conduct.at_ms)
    return float(conduct.points * 0.5 ** (passed_ms / HALF_LIFE_MS))


def blame(conduct: Conduct, error: Refused | Rejected, now_ms: int) -> Conduct:
    """The conduct after one more offence."""
    offences = dict(conduct.offences)
    offences[error.reason] = offences.get(error.reason, 0) + 1
    points = score(conduct, now_ms) + points_for(error)
    return Conduct(points, now_ms, MappingProxyType(offences))


def judge(conduct: Conduct, now_ms: int) -> Verdict:
    """What the points call for now."""
    points = score(conduct, now_ms)
    if points >= BAN_AT:
        return Verdict.BAN
    return Verdict.DROP if points >= DROP_AT else Verdict.KEEP
