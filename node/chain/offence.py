"""What nobody who follows the rules ever signs, and what it costs (consensus H, SLASHABLE)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, NamedTuple

from node.chain.bonds import BondKey, BondKind
from node.chain.codec import Uint
from node.chain.hashing import u64


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
    FALSE_CLAIM = "false-claim"
    """A Claim that states another count than its model has, or whose block breaks another rule."""
    BROKEN_LEASE = "broken-lease"
    """A Commit of one's own in a round for which one has accepted a pool's lease."""


class Proven(NamedTuple):
    """An offence that was shown; `round` is the round it was committed in."""

    offence: Offence
    offender: bytes
    round: int

    @property
    def bond(self) -> BondKey:
        """Which of the offender's bonds answers for it."""
        is_producers = self.offence in _OF_PRODUCERS
        return BondKey(BondKind.PRODUCE if is_producers else BondKind.ATTEST, self.offender)

    @property
    def key(self) -> bytes:
        """Key in the table of what was punished: once for a bond and round."""
        return self.bond.to_bytes() + u64(self.round)


@dataclass(frozen=True)
class Punished:
    """That a bond was taken from for what was signed for a round, so that it is only once."""

    round: Annotated[int, Uint(1)]

    @property
    def held(self) -> int:
        return 0


_OF_PRODUCERS = (Offence.DOUBLE_CLAIM, Offence.FALSE_CLAIM, Offence.BROKEN_LEASE)
