"""Which pool a miner turns to next: a pure function of how its connections ended.

Pools are tried in the order of the operator's list. After several failures in a row at one the
next is tried, and after the last the first again. Behind the list stands, where the node has a
unit of its own, its own pool in the same process: mining solo.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from pool.miner.patience import MUTE_AFTER_MS

ATTEMPTS = 3
"""Failures in a row at one pool before the next one's turn."""

RETURN_AFTER_MS = 300_000
"""How often a miner that is not at its first pool looks whether an earlier one is back; half as
often once one was mute, for one that answers then may be mute again. It is never so rare that
audits of what the miner did for the earlier pool fail because it is away."""

FIRST_WAIT_MS, LAST_WAIT_MS = 500, 15_000
"""Waits between attempts double from the first to the last of these; a link that held for longer
than the last was a good one, and the waits begin anew."""

MAX_DRAIN_WAIT_MS = 60_000
"""Longest that a pool may ask a miner to stay away before it comes back."""


class End(StrEnum):
    """How a connection ended, or why there was none."""

    LOST = "lost"
    WRONG = "wrong"
    """The pool is of another network or speaks another version; it will never do."""
    MUTE = "mute"
    """The pool did not answer, for minutes: three times that at one pool would be too long."""
    DRAINED = "drained"
    """The manager asked the miner to come back in a while."""
    LEFT = "left"
    """The miner itself went, for an earlier pool or to pause."""


@dataclass(frozen=True)
class Parting:
    """How one connection ended: `wait_ms` is what a draining manager asked for."""

    end: End
    reason: str
    held_ms: int = 0
    wait_ms: int = 0


@dataclass(frozen=True)
class Course:
    """Where a miner is on its list of `routes` places.

    `failures` count in a row at the present one. The next wait is drawn from the upper half of
    `wait_ms`, so that a pool's miners don't all come back at once. `wrong` will never do, and
    `met_mute` says that a pool was mute since the last link that was not for long.
    """

    routes: int
    at: int = 0
    failures: int = 0
    wait_ms: int = 0
    wrong: frozenset[int] = frozenset()
    met_mute: bool = False

    @property
    def earlier(self) -> tuple[int, ...]:
        """The routes to look back to, best first."""
        return tuple(route for route in range(self.at) if route not in self.wrong)

    @property
    def return_after_ms(self) -> int:
        """How long until the next look at the earlier routes."""
        return 2 * RETURN_AFTER_MS if self.met_mute else RETURN_AFTER_MS


def is_hopeless(course: Course, pools: int) -> bool:
    """Whether all of the first `pools` routes, those of the operator's list, are wrong."""
    return pools > 0 and course.wrong >= frozenset(range(pools))


def after(course: Course, parting: Parting) -> Course:
    """The course after a connection ended: the same place again, or the next."""
    if parting.held_ms > MUTE_AFTER_MS:
        # A mute pool is left by then, with that for a reason.
        course = replace(course, met_mute=False)
    match parting.end:
        case End.LEFT:
            return replace(course, failures=0, wait_ms=0)
        case End.DRAINED:
            asked_ms = min(parting.wait_ms, MAX_DRAIN_WAIT_MS)
            return replace(course, failures=0, wait_ms=2 * asked_ms)
        case End.WRONG:
            return _next(marked_wrong(course, course.at))
        case End.MUTE:
            return _next(replace(course, met_mute=True, wait_ms=FIRST_WAIT_MS))
        case End.LOST:
            was_good = parting.held_ms > LAST_WAIT_MS
            failures = 1 if was_good else course.failures + 1
            longer_ms = FIRST_WAIT_MS if was_good else min(2 * course.wait_ms, LAST_WAIT_MS)
            lost = replace(course, failures=failures, wait_ms=max(FIRST_WAIT_MS, longer_ms))
            return lost if failures < ATTEMPTS else _next(lost)


def turned_back(course: Course, route: int) -> Course:
    """The course of a miner that goes back to an earlier route."""
    return replace(course, at=route, failures=0, wait_ms=0)


def marked_wrong(course: Course, route: int) -> Course:
    """The course without a route that will never do."""
    return replace(course, wrong=course.wrong | {route})


def _next(course: Course) -> Course:
    """The next place in the list that is not wrong; the waits go on from where they were."""
    ahead = [(course.at + step) % course.routes for step in range(1, course.routes + 1)]
    return replace(
        course, at=next((at for at in ahead if at not in course.wrong), course.at), failures=0
    )
