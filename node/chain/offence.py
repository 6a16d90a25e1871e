"""What nobody who follows the rules ever signs, and what it costs (consensus H, SLASHABLE)."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from node.chain.bonds import BondKind


class Offence(StrEnum):
    """Each is shown by what the offender itself has signed."""

    DOUBLE_LIST = "double-list"
    """Two different Lists in one round."""
    DOUBLE_VOTE = "double-vote"
    """Two different links with one target round."""
    SURROUND = "surround"
    """A link around another: `s1 < s2` and `t2 < t1`."""
    DOUBLE_CLAIM = "double-claim"
    """Two different Claims in one round."""
    FALSE_COUNT = "false-count"
    """A Claim that states another count than its model has."""
    BROKEN_LEASE = "broken-lease"
    """A Commit of one's own in a round for which one has accepted a pool's lease."""


class Proven(NamedTuple):
    """An offence that was shown; `round` is the round it was committed in."""

    offence: Offence
    offender: bytes
    round: int

    @property
    def bond(self) -> BondKind:
        """Which of the offender's bonds answers for it."""
        return BondKind.PRODUCE if self.offence in _OF_PRODUCERS else BondKind.ATTEST


_OF_PRODUCERS = (Offence.DOUBLE_CLAIM, Offence.FALSE_COUNT, Offence.BROKEN_LEASE)
