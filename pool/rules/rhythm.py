"""How long a miner may bring nothing before others go on with its search.

A link that lives says nothing about the search: without a bound, whoever sends heartbeats and no
results would keep its subspace from everybody else for the whole phase. Designs differ in size, so
that honest miners are silent for long as well; the bounds are wide for that.
"""

from __future__ import annotations

import msgspec

from pool.records.strengths import Strength
from pool.rules.delivery import MIN_BUDGET
from pool.rules.strength import Cause, Typing

LONGER = 10
"""A result may take so many times the longest of the miner's trainings in the round. Two rows
further down the table of prices (`pool.rules.prices`), a design costs at most eight times as
much."""

MOST = 1 / 2
"""Of the phase, what any result may take. A strong miner delivers five in a phase; and after the
half of it, who goes on with the search has no longer than its first miner had."""


class Rhythm(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How the results of a miner have come in a round.

    The last came when it had been at work for `last_ms`. Of the `timed` ones that with the longest
    time since the one before took `longest_ms`. Only time with work in hand counts, over all
    connections: coming anew ends no silence.
    """

    last_ms: int = 0
    timed: int = 0
    longest_ms: int = 0

    def then(self, worked_ms: int, is_timed: bool) -> Rhythm:
        """With a result after `worked_ms` at work in the round. `is_timed` is False for one that
        says nothing about how long a training takes: it needed none, or was trained for an earlier
        assignment, most often while its manager was away."""
        took_ms = worked_ms - self.last_ms if is_timed else 0
        return Rhythm(worked_ms, self.timed + is_timed, max(self.longest_ms, took_ms))


def patience_ms(rhythm: Rhythm, phase_ms: int) -> int:
    """Milliseconds at work that a miner may take for its next result.

    Until MIN_BUDGET of its trainings in the round were timed, its own times say too little.
    """
    most_ms = int(MOST * phase_ms)
    if rhythm.timed < MIN_BUDGET:
        return most_ms
    return min(most_ms, LONGER * rhythm.longest_ms)


def type_silent(rhythm: Rhythm, worked_ms: int, phase_ms: int) -> Typing | None:
    """Treat a miner as weak that has brought nothing for too long; None if it has not.

    `worked_ms` is its time at work in the round until now.
    """
    silent_ms, allowed_ms = worked_ms - rhythm.last_ms, patience_ms(rhythm, phase_ms)
    if silent_ms <= allowed_ms:
        return None
    reason = f"no result in {silent_ms} ms at work, of which this miner has {allowed_ms} for one"
    return Typing(Strength.WEAK, Cause.SILENT, reason)
