"""When a miner has to wait, and when it is sent away: faults add points, which fade with time.

Points belong to a key. Whoever takes a new key starts anew, but also without a streak: all its
shares are audited (`pool.rules.audits`).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pool.records.refusals import Refusal

POINTS: Mapping[Refusal, int] = {
    # A miner sends again what it saw no answer to, which after a lost link is a lot at once.
    Refusal.DUPLICATE: 0,
    # What an unlucky connection can bring about.
    Refusal.UNKNOWN_ASSIGNMENT: 1,
    Refusal.OUT_OF_ORDER: 1,
    # What a miner of another version might do; ours never does.
    Refusal.LEASE_NOT_ACCEPTED: 5,
    Refusal.SIZE: 5,
    Refusal.UNTRAINED_COUNT: 5,
    Refusal.EPOCHS: 5,
    Refusal.HASHES: 5,
    Refusal.STATES: 5,
    Refusal.PRECISION: 5,
    Refusal.MODEL_MISSING: 10,
    Refusal.GENOTYPE: 10,
    Refusal.OUTSIDE_SUBSPACE: 10,
    Refusal.OTHER_VARIANT: 10,
    Refusal.TRAINING_SEED: 10,
    # What is no accident.
    Refusal.COUNT_ABOVE_SIZE: 25,
    Refusal.MODEL_FORMAT: 25,
    Refusal.MODEL_TOO_WIDE: 25,
    Refusal.COUNT_DIFFERS: 50,
}
"""Points of a refused result."""

FLOOD_POINTS = 60
"""Points of a link that ended by a flood, of whatever: the second within two minutes bans."""

BAN_POINTS = 100
"""Points at which a miner is banned. A failed audit and a broken lease are worth all of them, but
an audit whose answer is overdue none: not to be there proves no lie."""

FADE_MS = 6_000
"""A point fades in this time, so that a miner with one faulty result in a minute stays."""

VISITS_A_MINUTE = 10
"""Registrations of one key in a minute before it is turned away; a miner's waits double long
before that."""

FIRST_BAN_MS = 600_000
LONGEST_BAN_MS = 86_400_000
"""Each ban of a key is twice as long as the one before."""

_MINUTE_MS = 60_000


class Conduct(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How a key has behaved: points at `points_ms`, registrations counted from `visits_ms` on."""

    points: int = 0
    points_ms: int = 0
    visits: int = 0
    visits_ms: int = 0
    bans: int = 0
    banned_until_ms: int = 0


def faded(conduct: Conduct, now_ms: int) -> int:
    """Points that are left; a clock that went back fades none."""
    return max(0, conduct.points - max(0, now_ms - conduct.points_ms) // FADE_MS)


def with_points(conduct: Conduct, points: int, now_ms: int) -> Conduct:
    """The conduct after a fault."""
    return msgspec.structs.replace(
        conduct, points=faded(conduct, now_ms) + points, points_ms=now_ms
    )


def with_visit(conduct: Conduct, now_ms: int) -> Conduct:
    """The conduct after a registration, whatever came of it."""
    if not 0 <= now_ms - conduct.visits_ms < _MINUTE_MS:
        return msgspec.structs.replace(conduct, visits=1, visits_ms=now_ms)
    return msgspec.structs.replace(conduct, visits=conduct.visits + 1)


def with_ban(conduct: Conduct, until_ms: int) -> Conduct:
    """The conduct after a ban: points start anew, the next ban is longer."""
    return msgspec.structs.replace(
        conduct, points=0, bans=conduct.bans + 1, banned_until_ms=until_ms
    )


def shifted(conduct: Conduct, by_ms: int) -> Conduct:
    """The conduct after the clock was set by so much: nothing lasts longer or shorter for it."""
    return msgspec.structs.replace(
        conduct,
        points_ms=conduct.points_ms + by_ms,
        visits_ms=conduct.visits_ms + by_ms,
        banned_until_ms=conduct.banned_until_ms + by_ms,
    )


def ban_until(conduct: Conduct, now_ms: int) -> int | None:
    """Until when the miner has to be banned now, in ms; None if its points don't call for it."""
    if faded(conduct, now_ms) < BAN_POINTS:
        return None
    return now_ms + min(LONGEST_BAN_MS, FIRST_BAN_MS << min(conduct.bans, 10))


def visits_too_often(conduct: Conduct, now_ms: int) -> bool:
    """Whether one more registration now is one too many."""
    return with_visit(conduct, now_ms).visits > VISITS_A_MINUTE
