"""What a task costs its publisher, and what it can expect for that."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from statistics import median_high

from nas.designs.design import judge
from nas.designs.genotype import Genotype
from node.chain.params import Parameters
from node.chain.published.difficulty import compute_difficulty_ms
from node.chain.published.escrow import BURNT_ATTESTERS_LINES, BURNT_REFUNDED
from node.chain.published.queue import place_fee
from node.chain.published.terms import Publish
from node.publishing.engine import draw_designs, task_of

DRAWS = 33
"""Designs by whose median a candidate's time is reckoned."""


@dataclass(frozen=True)
class Appraisal:
    """Amounts in base units; `candidates` are designs that one machine tries in a round, 0 if it
    has no time for one."""

    escrow: int
    publish_fee: int
    reward: int
    burnt_if_won: int
    burnt_if_lost: int
    difficulty_ms: int
    candidates: int


def appraise(terms: Publish, parameters: Parameters) -> Appraisal:
    """Reckon with the network's speeds: the difficulty by the largest design of the space as the
    chain does, the candidates by what is drawn from it. The data are there before the round."""
    difficulty_ms = compute_difficulty_ms(terms, parameters.tasks)
    return Appraisal(
        escrow=terms.escrow,
        publish_fee=place_fee(parameters.subsidy) + parameters.tasks.publish_fee(terms.data_bytes),
        reward=terms.reward,
        burnt_if_won=terms.reward * BURNT_ATTESTERS_LINES[0] // sum(BURNT_ATTESTERS_LINES),
        burnt_if_lost=terms.reward * BURNT_REFUNDED[0] // sum(BURNT_REFUNDED),
        difficulty_ms=difficulty_ms,
        candidates=parameters.timing.lists_ms // _candidate_ms(terms, parameters),
    )


def _candidate_ms(terms: Publish, parameters: Parameters) -> int:
    """Milliseconds to train and evaluate a design of the space as it is drawn."""
    limits = parameters.tasks
    task = task_of(terms, limits.max_mac_images)
    # What is drawn may all be infeasible, the witness is not.
    designs = [judge(Genotype.from_bytes(terms.witness), task), *islice(draw_designs(task), DRAWS)]
    macs = median_high(design.macs for design in designs)
    trained = terms.epochs * terms.train_images
    duration_ms = limits.duration_ms(0, macs * terms.test_images, terms.test_images, trained)
    return max(limits.min_difficulty_ms, duration_ms)
