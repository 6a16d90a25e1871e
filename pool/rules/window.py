"""Which work a block pays: PPLNS, pay per last N shares, with N a sum of work.

The newest rounds are paid until their work adds up to the window; the oldest of them is cut in
proportion. Cutting by rounds instead of by shares makes all work of a round equal, whatever order
it arrived in, and costs a step a miner instead of one a share. Work stays in the window over
blocks that others win, so that hopping between pools gains nothing (systems.md 1).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec

from node.chain.hashing import HASH_BYTES
from node.chain.rewards import split
from pool.records.tables import Table, refilled

WINDOW_ROUNDS = 4
"""Rounds of average work that a block pays."""

LOG_ROUNDS = 16
"""The average is over so many of the newest rounds with work."""


class RoundWork(msgspec.Struct, frozen=True, gc=False):
    """Work of one round, by miner and payout address.

    `work` is in the unit of `pool.rules.prices` and above 0; its keys are the miner's 32 bytes and
    then the address's.
    """

    round: int
    work: Table[bytes, int]
    total: int

    @classmethod
    def of(cls, round_number: int, work: Table[bytes, int]) -> RoundWork:
        """A round's work with its total, which is asked for in many rounds to come.

        Raises ValueError for entries without work.
        """
        if min(work.values(), default=1) <= 0:
            raise ValueError("an entry holds work of at least 1")
        return cls(round_number, work, sum(work.values()))


def with_round(
    past: Sequence[RoundWork], round_number: int, earned: Table[bytes, int]
) -> tuple[RoundWork, ...]:
    """The newest rounds that had work when they ended, after another one.

    A round keeps its place when its work is forfeited later: older ones are gone by then.
    """
    if not earned:
        return tuple(past)
    return (*past, RoundWork.of(round_number, earned))[-LOG_ROUNDS:]


def window_size(totals: Sequence[int]) -> int:
    """Work that a block pays, of the work of each round from old to new.

    WINDOW_ROUNDS times the mean of the newest LOG_ROUNDS that have any, rounded down; 0 without.
    """
    worked = [total for total in totals if total > 0][-LOG_ROUNDS:]
    return WINDOW_ROUNDS * sum(worked) // len(worked) if worked else 0


def window(rounds: Sequence[RoundWork]) -> tuple[RoundWork, ...]:
    """The paid part of rounds given from old to new, in the same order.

    Its work adds up to `window_size` exactly, or to all there is if that is less. Parts of the cut
    round are rounded by largest remainder.
    """
    left = window_size([round_.total for round_ in rounds])
    paid: list[RoundWork] = []
    for round_ in reversed(rounds):
        if left == 0:
            break
        taken = round_ if round_.total <= left else _cut(round_, left)
        left -= taken.total
        if taken.work:
            paid.append(taken)
    return tuple(reversed(paid))


def work_by_address(rounds: Sequence[RoundWork]) -> Mapping[bytes, int]:
    """Work of all rounds together, for `pool.rules.payout.payout_lines`."""
    work: defaultdict[bytes, int] = defaultdict(int)
    for round_ in rounds:
        for who, units in round_.work.items():
            work[who[HASH_BYTES:]] += units
    return work


def forfeit(rounds: Sequence[RoundWork], miner: bytes) -> tuple[RoundWork, ...]:
    """The rounds without a miner's work, under whatever addresses it earned it."""
    return tuple(RoundWork.of(each.round, without(each.work, miner)) for each in rounds)


def without(work: Table[bytes, int], miner: bytes) -> Table[bytes, int]:
    """Work of one round without that of a miner."""
    for who in [who for who in work if who.startswith(miner)]:
        work = work.delete(who)
    return work


def withheld(
    rounds: Sequence[RoundWork], held: Mapping[int, Mapping[bytes, int]]
) -> tuple[RoundWork, ...]:
    """The rounds without work that is held back: `held` has units by round, miner and address.

    So the window is measured as if that work had never been there.
    """
    return tuple(
        _lowered(each, held[each.round]) if each.round in held else each for each in rounds
    )


def _lowered(round_: RoundWork, by: Mapping[bytes, int]) -> RoundWork:
    left = {who: units - by.get(who, 0) for who, units in round_.work.items()}
    kept = {who: units for who, units in left.items() if units > 0}
    return RoundWork.of(round_.round, refilled(round_.work, kept))


def _cut(round_: RoundWork, units: int) -> RoundWork:
    # In an order of their own, so that equal remainders don't depend on who came first.
    ordered = sorted(round_.work.items())
    parts = split(units, [whole for _, whole in ordered])
    kept = {who: part for (who, _), part in zip(ordered, parts, strict=True) if part}
    return RoundWork(round_.round, refilled(round_.work, kept), units)
