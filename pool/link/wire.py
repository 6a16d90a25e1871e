"""Pool messages <-> records of the pool, here and nowhere else."""

from __future__ import annotations

from nas.designs.space import Space
from ponas.v1 import pool_service_pb2 as pb
from pool.records.state import Assignment, Best, Exploration, RoundState
from pool.records.strengths import Strength
from pool.rules.reports import Report

PROTOCOL_VERSION = 1

MAX_PHASE_MS = 7 * 24 * 3_600_000
"""Longest train phase that a miner believes in."""

MAX_RESULT_BYTES = 32_768
"""Most bytes of a result: the states of some 900 epochs, the longest genotype, a failure's text."""

# Sentences of the other side end up in logs and tables.
_MAX_TEXT_CHARS = 200

_STRENGTHS = {
    Strength.WEAK: pb.STRENGTH_WEAK,
    Strength.STRONG: pb.STRENGTH_STRONG,
    Strength.AUTO: pb.STRENGTH_AUTO,
}


class WireError(ValueError):
    """A message whose content makes no sense; one sentence that says why."""


def strength_to_wire(strength: Strength) -> pb.Strength.ValueType:
    """The enum value of a strength."""
    return _STRENGTHS[strength]


def strength_from_wire(value: int) -> Strength:
    """Inverse of `strength_to_wire`. Raises WireError."""
    for strength, number in _STRENGTHS.items():
        if number == value:
            return strength
    raise WireError(f"{value} is no strength")


def acceptance_name(value: int) -> str:
    """What became of a result, in a word; values of a later version have none."""
    match value:
        case pb.ACCEPTANCE_ACCEPTED:
            return "accepted"
        case pb.ACCEPTANCE_STALE:
            return "stale"
        case pb.ACCEPTANCE_REFUSED:
            return "refused"
        case _:
            return f"unknown ({value})"


def text_from_wire(text: str) -> str:
    """A sentence of the other side, fit to be shown: short and on one line."""
    shown = text[:_MAX_TEXT_CHARS]
    return "".join(character if character.isprintable() else " " for character in shown)


def assignment_to_wire(assignment: Assignment, round_: RoundState, now_ms: int) -> pb.Assignment:
    """An assignment of an open round, as sent at `now_ms`."""
    message = pb.Assignment(
        id=assignment.id,
        round=round_.task.round,
        remaining_ms=max(0, round_.task.train_end_ms - now_ms),
        starts_in_ms=max(0, round_.task.start_ms - now_ms),
        epochs=round_.task.task.epochs,
        data=round_.task.task.dataset,
    )
    if isinstance(assignment.work, Exploration):
        search = round_.searches[assignment.work.search]
        message.exploration.subspace.CopyFrom(space_to_wire(search.subspace))
        message.exploration.search_seed = assignment.seed
        message.exploration.rewards.extend(search.rewards)
    else:
        base = assignment.work.base
        message.exploitation.genotype = base.genotype.to_bytes()
        message.exploitation.training_seed = assignment.seed
        message.exploitation.weights_hash = assignment.work.weights_hash
        message.exploitation.space.CopyFrom(space_to_wire(round_.task.space))
    return message


def report_to_wire(report: Report) -> pb.Result:
    """A result as the miner sends it; the reason of a failure is shortened."""
    return pb.Result(
        assignment_id=report.assignment_id,
        episode=report.episode,
        genotype=report.genotype,
        training_seed=report.training_seed,
        correct=report.correct,
        size=report.size,
        epochs=report.epochs,
        model_hash=report.model_hash,
        weights_hash=report.weights_hash,
        failure=text_from_wire(report.failure),
        states=report.states,
        precision=report.precision,
    )


def report_from_wire(message: pb.Result) -> Report:
    """A result as received; `pool.rules.reports.check` judges it.

    Raises WireError for one of impossible size, since many may wait to be judged.
    """
    if (size := message.ByteSize()) > MAX_RESULT_BYTES:
        raise WireError(f"a result of {size} bytes is longer than {MAX_RESULT_BYTES}")
    return Report(
        message.assignment_id,
        message.episode,
        message.genotype,
        message.training_seed,
        message.correct,
        message.size,
        message.epochs,
        message.model_hash,
        message.weights_hash,
        message.failure,
        tuple(message.states),
        message.precision,
    )


def best_to_wire(best: Best, round_number: int) -> pb.SharedBest:
    """A confirmed best as all miners hear of it."""
    return pb.SharedBest(
        round=round_number,
        genotype=best.genotype.to_bytes(),
        training_seed=best.training_seed,
        correct=best.correct,
        size=best.size,
        finder=best.finder,
    )


def space_to_wire(space: Space) -> pb.SearchSpace:
    return pb.SearchSpace(
        layers=[
            pb.LayerSpace(hyperparameters=[pb.Range(values=values) for values in layer])
            for layer in space.ranges
        ]
    )
