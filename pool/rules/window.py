"""Which work a block pays: PPLNS, pay per last N shares, with N a sum of work.

The newest rounds are paid until their work adds up to the window; the oldest of them is cut in
proportion. Cutting by rounds instead of by shares makes all work of a round equal, whatever order
it arrived in, and costs a step a miner instead of one a share. Work stays in the window over
blocks that others win, so that hopping between pools gains nothing (systems.md 1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import attrgetter

import msgspec

from node.chain.rewards import split

WINDOW_ROUNDS = 4
"""Rounds of average work that a block pays."""

LOG_ROUNDS = 16
"""The average is over so many of the newest rounds with work."""


class Credit(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Work of a miner for an address in one round, in the unit of `pool.rules.prices`, above 0."""

    miner: bytes
    address: bytes
    work: int


class RoundWork(msgspec.Struct, frozen=True, gc=False):
    """All work of one round; one credit for each pair of miner and address, in any order."""

    round: int
    credits: tuple[Credit, ...]

    @property
    def total(self) -> int:
        """The round's work."""
        return sum(map(_work, self.credits))


def window_size(totals: Sequence[int]) -> int:
    """Work that a block pays, of the work of each round from old to new.

    WINDOW_ROUNDS times the mean of the newest LOG_ROUNDS that have any, rounded down; 0 without.
    """
    worked = [total for total in totals if total > 0][-LOG_ROUNDS:]
    return WINDOW_ROUNDS * sum(worked) // len(worked) if worked else 0


def window(rounds: Sequence[RoundWork]) -> tuple[RoundWork, ...]:
    """The paid part of rounds given from old to new, in the same order.

    Its work adds up to `window_size` exactly, or to all there is if that is less. Parts of the cut
    round are rounded by largest remainder. Raises ValueError for credits without work.
    """
    if any(min(map(_work, round_.credits), default=1) <= 0 for round_ in rounds):
        raise ValueError("a credit holds work of at least 1")
    totals = [round_.total for round_ in rounds]
    left = window_size(totals)
    paid: list[RoundWork] = []
    for round_, total in zip(reversed(rounds), reversed(totals), strict=True):
        if left == 0:
            break
        taken = round_ if total <= left else _cut(round_, left)
        left -= min(total, left)
        if taken.credits:
            paid.append(taken)
    return tuple(reversed(paid))


def work_by_address(rounds: Sequence[RoundWork]) -> Mapping[bytes, int]:
    """Work of all rounds together, for `pool.rules.payout.payout_lines`."""
    work: Counter[bytes] = Counter()
    for round_ in rounds:
        for credit in round_.credits:
            work[credit.address] += credit.work
    return work


def forfeit(rounds: Sequence[RoundWork], miner: bytes) -> tuple[RoundWork, ...]:
    """The rounds without a miner's work, under whatever addresses it earned it."""
    return tuple(
        RoundWork(round_.round, tuple(c for c in round_.credits if c.miner != miner))
        for round_ in rounds
    )


_work = attrgetter("work")
_whose = attrgetter("miner", "address")


def _cut(round_: RoundWork, work: int) -> RoundWork:
    # In an order of their own, so that equal remainders don't depend on who came first.
    ordered = sorted(round_.credits, key=_whose)
    parts = split(work, [credit.work for credit in ordered])
    kept = zip(ordered, parts, strict=True)
    return RoundWork(
        round_.round, tuple(Credit(c.miner, c.address, part) for c, part in kept if part)
    )
