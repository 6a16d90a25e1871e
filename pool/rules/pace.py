"""How much work a miner can have done: what it did before, and a quarter more.

Nobody becomes many times faster over night. A miner that reports training it did not do delivers
far more work in its time than it ever has; what exceeds its pace is not paid (consensus F3), and
makes an audit more likely (`pool.rules.audits`). A better machine is believed within a few rounds.
"""

from __future__ import annotations

import msgspec

PACE_ROUNDS = 4
"""The fastest of so many past rounds is the miner's speed: a busy machine is no slower one."""

AHEAD = (5, 4)
"""How far a miner may exceed its speed, as a fraction: 1.25 times."""


class Pace(msgspec.Struct, frozen=True, gc=False):
    """Work and time of one miner.

    `past` are (work, milliseconds with work in hand) of its newest rounds, old to new; `work` is
    what was credited in the current round.
    """

    past: tuple[tuple[int, int], ...] = ()
    work: int = 0


def payable(pace: Pace, work: int, elapsed_ms: int) -> int:
    """How much of a share's work may be credited, `elapsed_ms` into the miner's round.

    Its speed times 1.25, and a quarter of a round more if the one before left as much: single
    designs take longer or shorter than their price. A miner without a past round has no bound yet;
    its first shares are all audited. Times are of the manager's clock; one that steps back counts
    as 0.
    """
    if not pace.past:
        return work
    done, done_ms = pace.past[0]
    for of_round, round_ms in pace.past:
        if of_round * done_ms > done * round_ms:
            done, done_ms = of_round, round_ms
    before, before_ms = pace.past[-1]
    more, usual = AHEAD
    spare = done * before_ms * more // (done_ms * usual) - before
    spare = max(0, min(spare, done * before_ms * (more - usual) // (done_ms * usual)))
    bound = done * max(0, elapsed_ms) * more // (done_ms * usual) + spare
    return min(work, max(0, bound - pace.work))


def credited(pace: Pace, work: int) -> Pace:
    """The pace after `work` was credited."""
    return Pace(pace.past, pace.work + work)


def next_round(pace: Pace, elapsed_ms: int) -> Pace:
    """The pace when a round ends in which the miner had work in hand for `elapsed_ms`.

    A round without credited work says nothing about its speed.
    """
    if pace.work <= 0 or elapsed_ms <= 0:
        return Pace(pace.past)
    return Pace((*pace.past, (pace.work, elapsed_ms))[-PACE_ROUNDS:])
