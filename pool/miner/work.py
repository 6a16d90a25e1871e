"""A miner's work: candidates of an order one after the other, several of them at a time.

Exploration asks the search for each design; exploitation derives variants of the pool's best.
Results leave in the order of their episodes, because a search learns from them in that order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field

from nas.data.datasets import describe
from nas.designs.design import judge, reward_without_training
from nas.designs.genotype import Genotype
from nas.designs.space import Space
from nas.evaluation.model_format import model_length
from nas.jobs import Executor, JobFailed, Propose, Train, rewards_needed, training_seed
from node.chain.hashing import blob_hash
from pool.link.blobs import Shelf, max_weights_bytes
from pool.link.orders import ExploitOrder, ExploreOrder, Order
from pool.miner.states import Trainings
from pool.rules.reports import Report
from pool.rules.variants import exploit_variant

FetchWeights = Callable[[bytes, int], Awaitable[bytes]]
"""Gets the weights with a hash, of at most so many bytes; raises BlobError."""


Candidate = tuple[Genotype, int, bytes]
"""A design, its training seed, and the hash of the weights it starts from or nothing."""


@dataclass(frozen=True)
class Bench:
    """What a miner works with; the manager may ask for what `shelf` and `trainings` keep.

    At most `workers` candidates are under way at a time. `known` holds what the round's candidates
    came to: a search may propose a design again, and a miner that had to connect again gets its
    search back from where the manager has it.
    """

    executor: Executor
    shelf: Shelf
    trainings: Trainings
    workers: int
    known: dict[Candidate, Report] = field(default_factory=dict)

    def begin_round(self) -> None:
        """Clear away what a new round has no use for."""
        self.shelf.clear_best()
        self.known.clear()


async def work(
    bench: Bench,
    order: Order,
    fetch_weights: FetchWeights,
    report: Callable[[Report], None],
    is_current: Callable[[], bool],
) -> None:
    """Work on an order until it is no longer current; candidates under way are finished then.

    Cancelling stops at once. Raises JobFailed when the search itself fails, BlobError when the
    weights to train on from do not come.
    """
    if isinstance(order.work, ExploreOrder):
        await _explore(bench, order, order.work, report, is_current)
    else:
        await _exploit(bench, order, order.work, fetch_weights, report, is_current)


async def _explore(
    bench: Bench,
    order: Order,
    search: ExploreOrder,
    report: Callable[[Report], None],
    is_current: Callable[[], bool],
) -> None:
    rewards = list(search.rewards)

    async def attempt(episode: int) -> Report:
        told = tuple(rewards[: rewards_needed(episode)])
        proposal = await bench.executor.run(
            Propose(order.task, search.space, search.seed, told, episode)
        )
        genotype = proposal.genotype
        seed = training_seed(search.seed, order.task.dataset, genotype, 0)
        return await _result(bench, order, search.space, (genotype, seed, b""), None)

    def emit(episode: int, result: Report) -> None:
        rewards.append(result.correct / result.size)
        report(result.but(episode=episode))

    await _in_order(
        first=len(rewards),
        width=bench.workers,
        is_ready=lambda episode: is_current() and len(rewards) >= rewards_needed(episode),
        attempt=attempt,
        emit=emit,
    )


async def _exploit(
    bench: Bench,
    order: Order,
    best: ExploitOrder,
    fetch_weights: FetchWeights,
    report: Callable[[Report], None],
    is_current: Callable[[], bool],
) -> None:
    weights = await _base_weights(order, best, fetch_weights)

    async def attempt(episode: int) -> Report:
        genotype = exploit_variant(best.genotype, best.space, episode, best.seed)
        seed = training_seed(best.seed, order.task.dataset, genotype, episode)
        candidate = (genotype, seed, best.weights_hash)
        return await _result(bench, order, best.space, candidate, weights)

    await _in_order(
        first=0,
        width=bench.workers,
        is_ready=lambda _: is_current(),
        attempt=attempt,
        emit=lambda episode, result: report(result.but(episode=episode)),
    )


async def _base_weights(
    order: Order, best: ExploitOrder, fetch_weights: FetchWeights
) -> bytes | None:
    """The weights to train on from; None to train from scratch."""
    if not best.weights_hash:
        return None
    info = describe(order.task.dataset)
    length = model_length(best.genotype, info.shape, info.classes)
    return await fetch_weights(best.weights_hash, max_weights_bytes(length))


async def _in_order(
    first: int,
    width: int,
    is_ready: Callable[[int], bool],
    attempt: Callable[[int], Coroutine[None, None, Report]],
    emit: Callable[[int, Report], None],
) -> None:
    """Attempt episodes from `first` on, `width` at a time, and emit their results in order.

    Ends when no attempt is under way and the next one is not ready.
    """
    async with asyncio.TaskGroup() as group:
        under_way: deque[asyncio.Task[Report]] = deque()
        emitted = first
        while True:
            while len(under_way) < width and is_ready(emitted + len(under_way)):
                episode = emitted + len(under_way)
                under_way.append(group.create_task(attempt(episode)))
            if not under_way:
                return
            result = await under_way.popleft()
            emit(emitted, result)
            emitted += 1


async def _result(
    bench: Bench, order: Order, space: Space, candidate: Candidate, weights: bytes | None
) -> Report:
    """A candidate's result, which still lacks its episode; one that is known is not made again."""
    if candidate not in bench.known:
        report = await _evaluate(bench, order, space, candidate, weights)
        if report.failure:
            # The next time it may go well.
            return report
        bench.known[candidate] = report
    return bench.known[candidate].but(assignment_id=order.id)


async def _evaluate(
    bench: Bench, order: Order, space: Space, candidate: Candidate, weights: bytes | None
) -> Report:
    """Judge a design and train it if it needs training; a failure is a result too."""
    genotype, seed, _ = candidate
    info = describe(order.task.dataset)
    nothing = Report(
        assignment_id=order.id,
        episode=0,
        genotype=genotype.to_bytes(),
        training_seed=seed,
        correct=0,
        size=info.validation,
        epochs=0,
        model_hash=b"",
        weights_hash=b"",
        failure="",
    )
    design = judge(genotype, order.task, space)
    untrained = reward_without_training(design, info.validation, info.classes)
    if untrained is not None:
        return nothing.but(correct=untrained)
    training = Train(order.task, genotype, seed, order.epochs, weights)
    try:
        trained = await bench.executor.run(training)
    except JobFailed as error:
        return nothing.but(failure=str(error))
    bench.trainings.remember(training, trained.states)
    bench.shelf.put(trained.correct, trained.model, trained.weights)
    return nothing.but(
        correct=trained.correct,
        epochs=trained.epochs,
        model_hash=blob_hash(trained.model),
        weights_hash=blob_hash(trained.weights),
        states=trained.states,
        precision=trained.precision,
    )
