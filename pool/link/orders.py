"""What a miner makes of an assignment: an order that it can work on whatever the pool meant.

The miner's half of `pool.link.wire`; nothing is built from a message before its rules are checked.
"""

from __future__ import annotations

from dataclasses import dataclass

from nas.designs.design import judge
from nas.designs.genotype import HYPERPARAMETERS, Genotype
from nas.designs.space import Space
from nas.jobs import SEED_BOUND
from nas.task import Task
from node.chain.errors import Rejected
from node.chain.hashing import HASH_BYTES, MAX_INT
from node.chain.messages import Envelope
from node.wire import envelope_from_proto
from ponas.v1 import pool_service_pb2 as pb
from pool.link.wire import MAX_PHASE_MS, WireError
from pool.rules.delivery import MAX_BUDGET


@dataclass(frozen=True)
class ExploreOrder:
    """Search `space` with `seed`; `rewards` of the episodes that are already done."""

    space: Space
    seed: int
    rewards: tuple[float, ...]


@dataclass(frozen=True)
class ExploitOrder:
    """Train variants of `genotype` inside `space` on from the weights with this hash, or from
    scratch if it is empty."""

    genotype: Genotype
    space: Space
    seed: int
    weights_hash: bytes


@dataclass(frozen=True)
class Order:
    """An assignment of `task` as the miner sees it, to be worked on from `start_ms` to `end_ms`.

    Times are on the miner's own clock. `lease` is the manager's envelope as it came;
    `pool.link.leases` checks it. None without one.
    """

    id: int
    round: int
    task: Task
    start_ms: int
    end_ms: int
    epochs: int
    work: ExploreOrder | ExploitOrder
    lease: Envelope | None = None


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
    # 3. It starts before it ends.
    if message.starts_in_ms > message.remaining_ms:
        raise WireError(
            f"it starts in {message.starts_in_ms} ms and ends in {message.remaining_ms} ms"
        )
    # 4. No candidate is trained longer than the task says.
    if not 1 <= message.epochs <= task.epochs:
        raise WireError(f"{message.epochs} epochs are outside the task's 1 to {task.epochs}")
    return Order(
        message.id,
        message.round,
        task,
        now_ms + message.starts_in_ms,
        now_ms + message.remaining_ms,
        message.epochs,
        _work_from_wire(message, task),
        _lease(message),
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
    # 5. The rewards are as many as a search may have, and rewards; not-a-number is in no range.
    if len(message.rewards) > MAX_BUDGET:
        raise WireError(f"{len(message.rewards)} rewards are more than {MAX_BUDGET}")
    rewards = tuple(message.rewards)
    if not all(0 <= reward <= 1 for reward in rewards):
        raise WireError("a reward is outside 0 to 1")
    return ExploreOrder(_space(message.subspace, task.space), _seed(message.search_seed), rewards)


def _lease(message: pb.Assignment) -> Envelope | None:
    try:
        return envelope_from_proto(message.lease) if message.HasField("lease") else None
    except Rejected as error:
        raise WireError(f"the lease can't be read: {error}") from error


def _exploitation(message: pb.Exploitation, task: Task) -> ExploitOrder:
    space = _space(message.space, task.space)
    # 6. What is trained on from is a design that could have been trained.
    if len(message.genotype) != space.layers * len(HYPERPARAMETERS):
        raise WireError(f"{len(message.genotype)} bytes are no genotype of {space.layers} layers")
    genotype = Genotype.from_bytes(message.genotype)
    design = judge(genotype, task, space)
    if not design.feasible:
        raise WireError(f"the best to train on from is infeasible: {design.detail}")
    if design.dead:
        raise WireError("the best to train on from is dead")
    if message.weights_hash and len(message.weights_hash) != HASH_BYTES:
        raise WireError(f"a hash has {HASH_BYTES} bytes")
    return ExploitOrder(genotype, space, _seed(message.training_seed), message.weights_hash)


def _seed(value: int) -> int:
    if value >= SEED_BOUND:
        raise WireError(f"seed {value} is above 2**63 - 1")
    return value


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
