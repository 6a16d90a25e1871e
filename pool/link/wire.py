"""Pool messages <-> records of the pool, here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from nas.designs.design import judge
from nas.designs.genotype import HYPERPARAMETERS, Genotype
from nas.designs.space import Space
from nas.jobs import SEED_BOUND
from nas.task import Task
from node.chain.hashing import HASH_BYTES, MAX_INT
from ponas.v1 import pool_service_pb2 as pb
from pool.records.state import Assignment, Best, Exploration, RoundState, Strength
from pool.rules.reports import Report
from pool.rules.strategy import MAX_EPISODES

PROTOCOL_VERSION = 1

MAX_PHASE_MS = 7 * 24 * 3_600_000
"""Longest train phase that a miner believes in."""

MAX_RESULT_BYTES = 4_096
"""Most bytes of a result: six times the longest genotype, and room for a failure's text."""

# Sentences of the other side end up in logs and tables.
_MAX_TEXT_CHARS = 200

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


def order_from_wire(message: pb.Assignment, task: Task, now_ms: int) -> Order:
    """An assignment received at `now_ms` by a miner of the task.

    Whatever passes can be worked on: a pool can waste a miner's time, but not break it. Raises
    WireError with the rule that is broken.
    """
    # 1. The numbers are what a manager counts.
    if not 1 <= message.id <= MAX_INT:
        raise WireError(f"assignment {message.id} is outside 1 to 2**63 - 1")
    if message.round > MAX_INT:
        raise WireError(f"round {message.round} is above 2**63 - 1")
    # 2. It ends in foreseeable time.
    if message.remaining_ms > MAX_PHASE_MS:
        raise WireError(f"no train phase has {message.remaining_ms} ms left")
    # 3. No candidate is trained longer than the task says.
    if not 1 <= message.epochs <= task.epochs:
        raise WireError(f"{message.epochs} epochs are outside the task's 1 to {task.epochs}")
    return Order(
        message.id,
        message.round,
        now_ms + message.remaining_ms,
        message.epochs,
        _work_from_wire(message, task),
    )


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


def _work_from_wire(message: pb.Assignment, task: Task) -> ExploreOrder | ExploitOrder:
    match message.WhichOneof("work"):
        case "exploration":
            return _exploration(message.exploration, task)
        case "exploitation":
            return _exploitation(message.exploitation, task)
        case _:
            raise WireError("an assignment without work")


def _exploration(message: pb.Exploration, task: Task) -> ExploreOrder:
    # 4. The rewards are as many as a search may have, and rewards; not-a-number is in no range.
    if len(message.rewards) > MAX_EPISODES:
        raise WireError(f"{len(message.rewards)} rewards are more than {MAX_EPISODES}")
    rewards = tuple(message.rewards)
    if not all(0 <= reward <= 1 for reward in rewards):
        raise WireError("a reward is outside 0 to 1")
    return ExploreOrder(_space(message.subspace, task.space), _seed(message.search_seed), rewards)


def _exploitation(message: pb.Exploitation, task: Task) -> ExploitOrder:
    space = _space(message.space, task.space)
    # 5. What is trained on from is a design that could have been trained.
    if len(message.genotype) != space.layers * len(HYPERPARAMETERS):
        raise WireError(f"{len(message.genotype)} bytes are no genotype of {space.layers} layers")
    genotype = Genotype.from_bytes(message.genotype)
    design = judge(genotype, task, space)
    if not design.feasible:
        raise WireError(f"the best to train on from is infeasible: {design.detail}")
    if design.dead:
        raise WireError("the best to train on from is dead")
    if len(message.weights_hash) != HASH_BYTES:
        raise WireError(f"a hash has {HASH_BYTES} bytes")
    return ExploitOrder(genotype, space, _seed(message.training_seed), message.weights_hash)


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


def _space(message: pb.SearchSpace, outer: Space) -> Space:
    """The space of a message, which has to lie inside `outer`; a larger one is not even read."""
    if len(message.layers) != outer.layers:
        raise WireError(f"the space has {len(message.layers)} layers instead of {outer.layers}")
    for number, (layer, wider) in enumerate(zip(message.layers, outer.ranges, strict=True), 1):
        if len(layer.hyperparameters) != len(wider):
            raise WireError(f"layer {number} has {len(layer.hyperparameters)} ranges")
        for range_, values in zip(layer.hyperparameters, wider, strict=True):
            if len(range_.values) > len(values) or not set(range_.values) <= set(values):
                raise WireError(f"layer {number} of the space is not inside the task's")
    try:
        return Space(
            tuple(
                tuple(tuple(range_.values) for range_ in layer.hyperparameters)
                for layer in message.layers
            )
        )
    except ValueError as error:
        raise WireError(str(error)) from error
