"""Pool messages <-> records of the pool, here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from nas.genotype import Genotype
from nas.jobs import SEED_BOUND
from nas.space import Space
from node.chain.hashing import HASH_BYTES
from ponas.v1 import pool_service_pb2 as pb
from pool.reports import Report
from pool.state import Assignment, Best, Exploration, RoundState, Strength

PROTOCOL_VERSION = 1

_STRENGTHS = {
    Strength.WEAK: pb.STRENGTH_WEAK,
    Strength.STRONG: pb.STRENGTH_STRONG,
    Strength.AUTO: pb.STRENGTH_AUTO,
}


class WireError(ValueError):
    """A message whose content makes no sense; one sentence that says why."""


@dataclass(frozen=True)
class ExploreOrder:
    """Search `space` with `seed`; `rewards` of the episodes that are already done."""

    space: Space
    seed: int
    rewards: tuple[float, ...]


@dataclass(frozen=True)
class ExploitOrder:
    """Train variants of `genotype` inside `space` on from the weights with this hash."""

    genotype: Genotype
    space: Space
    seed: int
    weights_hash: bytes


@dataclass(frozen=True)
class Order:
    """An assignment as the miner sees it; `end_ms` is on the miner's own clock."""

    id: int
    round: int
    end_ms: int
    epochs: int
    work: ExploreOrder | ExploitOrder


def strength_to_wire(strength: Strength) -> pb.Strength.ValueType:
    """The enum value of a strength."""
    return _STRENGTHS[strength]


def strength_from_wire(value: int) -> Strength:
    """Inverse of `strength_to_wire`. Raises WireError."""
    for strength, number in _STRENGTHS.items():
        if number == value:
            return strength
    raise WireError(f"{value} is no strength")


def assignment_to_wire(assignment: Assignment, round_: RoundState, now_ms: int) -> pb.Assignment:
    """An assignment of an open round, as sent at `now_ms`."""
    message = pb.Assignment(
        id=assignment.id,
        round=round_.task.round,
        remaining_ms=max(0, round_.task.train_end_ms - now_ms),
        epochs=round_.task.task.epochs,
    )
    if isinstance(assignment.work, Exploration):
        search = round_.searches[assignment.work.search]
        message.exploration.subspace.CopyFrom(_space_to_wire(search.subspace))
        message.exploration.search_seed = assignment.seed
        message.exploration.rewards.extend(search.rewards)
    else:
        base = assignment.work.base
        message.exploitation.genotype = base.genotype.to_bytes()
        message.exploitation.training_seed = assignment.seed
        message.exploitation.weights_hash = base.weights_hash
        message.exploitation.space.CopyFrom(_space_to_wire(round_.task.space))
    return message


def order_from_wire(message: pb.Assignment, now_ms: int) -> Order:
    """An assignment received at `now_ms`. Raises WireError."""
    if message.epochs < 1:
        raise WireError("an assignment needs at least one epoch")
    return Order(
        message.id,
        message.round,
        now_ms + message.remaining_ms,
        message.epochs,
        _work_from_wire(message),
    )


def report_to_wire(report: Report) -> pb.Result:
    """A result as the miner sends it."""
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
        failure=report.failure,
    )


def report_from_wire(message: pb.Result) -> Report:
    """A result as received; `pool.reports.check` judges it."""
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


def _work_from_wire(message: pb.Assignment) -> ExploreOrder | ExploitOrder:
    if message.HasField("exploration"):
        exploration = message.exploration
        rewards = tuple(exploration.rewards)
        if not all(0 <= reward <= 1 for reward in rewards):
            raise WireError("a reward is outside 0 to 1")
        return ExploreOrder(
            _space_from_wire(exploration.subspace), _seed(exploration.search_seed), rewards
        )
    if message.HasField("exploitation"):
        exploitation = message.exploitation
        genotype = _genotype(exploitation.genotype)
        space = _space_from_wire(exploitation.space)
        if not space.contains(genotype):
            raise WireError("the best to train on from is outside the round's space")
        if len(exploitation.weights_hash) != HASH_BYTES:
            raise WireError(f"a hash has {HASH_BYTES} bytes")
        return ExploitOrder(
            genotype, space, _seed(exploitation.training_seed), exploitation.weights_hash
        )
    raise WireError("an assignment without work")


def _genotype(data: bytes) -> Genotype:
    try:
        return Genotype.from_bytes(data)
    except ValueError as error:
        raise WireError(str(error)) from error


def _seed(value: int) -> int:
    if value >= SEED_BOUND:
        raise WireError(f"seed {value} is above 2**63 - 1")
    return value


def _space_to_wire(space: Space) -> pb.SearchSpace:
    return pb.SearchSpace(
        layers=[
            pb.LayerSpace(hyperparameters=[pb.Range(values=values) for values in layer])
            for layer in space.ranges
        ]
    )


def _space_from_wire(message: pb.SearchSpace) -> Space:
    try:
        return Space(
            tuple(
                tuple(tuple(range_.values) for range_ in layer.hyperparameters)
                for layer in message.layers
            )
        )
    except ValueError as error:
        raise WireError(str(error)) from error
