"""Members of a pool, and its manager, that cheat each other (consensus F1 to F3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from nas.jobs import Train, Trained
from node.assembly import Node
from node.chain.messages import PayoutLine
from node.chain.timing import phase_at
from pool.manager.manager import ConfirmedBest
from pool.proofs.sharelog import Terms
from pool.rules.payout import TOTAL_WEIGHT
from tests.sim.adversaries.tampering import replace_best
from tests.sim.world import WatchedExecutor, World

INFLATION = 40
"""Images by which an inflater's counts are too high."""


class ShareInflater:
    """Reports counts that its models do not have."""

    def corrupt(self, world: World, name: str, node: Node) -> None:
        def inflate(_job: Train, trained: Trained) -> Trained:
            return replace(trained, correct=min(trained.size, trained.correct + INFLATION))

        _change_training(world, name, inflate)


class SoloDefector:
    """Works for a pool, and commits the best that it finds on its own, against its lease."""

    def corrupt(self, world: World, name: str, node: Node) -> None:
        producer = node._producer
        if producer is None:
            raise ValueError(f"{name} has no unit of its own")
        found = _keep_best(world, name)
        node._mining.on_duty = lambda producer: producer  # type: ignore[method-assign]
        own = world.key(name)
        producer._pool.best = lambda: found.as_best(own)  # type: ignore[method-assign]


class SecondKey:
    """A mint that commits the best model which a member of a pool, the same person, has handed in
    there: as if the manager had won with it on the side."""

    def __init__(self, member: str) -> None:
        self._member = member

    def corrupt(self, world: World, name: str, node: Node) -> None:
        if node._producer is None:
            raise ValueError(f"{name} has no unit")
        world.distrust(self._member)
        found, own = _keep_best(world, self._member), world.key(name)
        replace_best(node._producer, lambda best: found.as_best(own) or best)


class SkimmingManager:
    """Takes half of what its miners are due."""

    def corrupt(self, world: World, name: str, node: Node) -> None:
        if node._producer is None:
            raise ValueError(f"{name} runs no pool")
        own = world.key(name)

        def skim(best: ConfirmedBest) -> ConfirmedBest:
            left = {line.address: line.weight // 2 for line in best.lines}
            left[own] = sum(line.weight for line in best.lines) - sum(left.values())
            lines = (PayoutLine(address, left[address]) for address in sorted(left))
            return replace(best, lines=tuple(lines))

        replace_best(node._producer, skim)


class KeepingManager:
    """Keeps everything: its commitments hold no line of a miner, so that nobody gets a notice."""

    def corrupt(self, world: World, name: str, node: Node) -> None:
        if node._producer is None:
            raise ValueError(f"{name} runs no pool")
        line = PayoutLine(world.key(name), TOTAL_WEIGHT)
        replace_best(node._producer, lambda best: replace(best, lines=(line,)))


class _Found:
    """The best model of the round at hand that a machine has trained."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._best: tuple[int, Train, Trained] | None = None

    def hear(self, job: Train, trained: Trained) -> Trained:
        now = phase_at(self._world.network, self._world.now_ms()).round
        best = self._best
        if best is None or best[0] != now or best[2].correct < trained.correct:
            self._best = (now, job, trained)
        return trained

    def as_best(self, address: bytes) -> ConfirmedBest | None:
        """The model as one that an address may commit and is paid for."""
        if self._best is None:
            return None
        number, job, trained = self._best
        return ConfirmedBest(
            round=number,
            genotype=job.genotype,
            model=trained.model,
            correct=trained.correct,
            size=trained.size,
            finder=address,
            lines=(PayoutLine(address, 1),),
            terms=Terms(address, address, 0),
        )


def _keep_best(world: World, name: str) -> _Found:
    found = _Found(world)
    _change_training(world, name, found.hear)
    return found


def _change_training(world: World, name: str, change: Callable[[Train, Trained], Trained]) -> None:
    """Let a machine's trainings come to something else; it forgets what was changed before."""
    executor = world.machines[name].executor
    train = partial(WatchedExecutor.run, executor)

    async def run(job: Any) -> Any:
        result = await train(job)
        return change(job, result) if isinstance(job, Train) else result

    executor.run = run  # type: ignore[method-assign]
