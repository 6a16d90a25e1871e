"""What a task costs its publisher, and what it can expect for that."""

from __future__ import annotations

from dataclasses import dataclass

from node.chain.params import Parameters
from node.chain.published.difficulty import compute_difficulty_ms
from node.chain.published.escrow import BURNT_ATTESTERS_LINES, BURNT_REFUNDED
from node.chain.published.queue import place_fee
from node.chain.published.terms import Publish


@dataclass(frozen=True)
class Appraisal:
    """Amounts in base units; `candidates` are designs that one machine tries in a round."""

    escrow: int
    publish_fee: int
    reward: int
    burnt_if_won: int
    burnt_if_lost: int
    difficulty_ms: int
    candidates: int


def appraise(terms: Publish, parameters: Parameters) -> Appraisal:
    """Reckon with the network's speeds and the largest design of the space."""
    difficulty_ms = compute_difficulty_ms(terms, parameters.tasks)
    return Appraisal(
        escrow=terms.escrow,
        publish_fee=place_fee(parameters.subsidy) + parameters.tasks.publish_fee(terms.data_bytes),
        reward=terms.reward,
        burnt_if_won=terms.reward * BURNT_ATTESTERS_LINES[0] // sum(BURNT_ATTESTERS_LINES),
        burnt_if_lost=terms.reward * BURNT_REFUNDED[0] // sum(BURNT_REFUNDED),
        difficulty_ms=difficulty_ms,
        candidates=parameters.timing.lists_ms // difficulty_ms,
    )
