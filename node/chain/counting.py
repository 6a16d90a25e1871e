"""What evaluating a claim's model has shown: whether the claim holds, never the number."""

from __future__ import annotations

from dataclasses import dataclass

from node.chain.envelope import Signed
from node.chain.errors import InvalidBlock, Reason
from node.chain.messages import Claim


@dataclass(frozen=True)
class CountVerdict:
    """Whether the model of the claim with id `claim` counts exactly as claimed.

    Equality: evaluation is exact, so either way of error is a lie (consensus D2). How far an
    evaluation came before it was clear says nothing and is kept nowhere.
    """

    claim: bytes
    round: int
    holds: bool


def judge_count(claim: Signed[Claim], *, holds: bool) -> CountVerdict:
    """The verdict on a claim once its model was evaluated."""
    return CountVerdict(claim.id, claim.message.round, holds)


def check_verdict(verdict: CountVerdict) -> None:
    """Raise InvalidBlock(COUNT_DIFFERS) if the claim does not hold."""
    if not verdict.holds:
        raise InvalidBlock(Reason.COUNT_DIFFERS, "the model does not count as claimed")
