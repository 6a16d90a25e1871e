"""States of a pool in an open round, and results that break no rule, for the tests of the rules."""

from __future__ import annotations

from dataclasses import replace

from nas.data.datasets import describe
from nas.designs.design import judge
from nas.designs.genotype import Genotype
from nas.designs.space import Space
from pool.records import transition
from pool.records.state import (
    Assignment,
    Best,
    Exploration,
    PoolState,
    RoundState,
    RoundTask,
    Strength,
)
from pool.rules.draws import Draws
from pool.rules.reports import Report, next_episode, seed_of
from pool.rules.strategy import Rest, exploit_variant, plan
from tests.pool_world import PHASE_MS, SPACE, TASK, public

INFO = describe("digits")
# Inside SPACE, with room to both sides in every layer's last range.
SUBSPACE = Space.uniform(3, [*SPACE.ranges[0][:-1], (3, 4)])


def alive_design(space: Space = SUBSPACE, number: int = 0) -> Genotype:
    """A feasible design of a space that needs training."""
    draws = Draws(f"alive {number}".encode())
    while True:
        genotype = draws.genotype(space)
        design = judge(genotype, TASK, space)
        if design.feasible and not design.dead:
            return genotype


def open_round(strong: str = "", weak: str = "", auto: str = "") -> PoolState:
    """A round at 0 ms with one miner per letter, registered in the order given; no work yet."""
    pool = transition.started(PoolState(), RoundTask(1, TASK, SPACE, PHASE_MS), b"seed", 0)
    for names, strength in (
        (strong, Strength.STRONG),
        (weak, Strength.WEAK),
        (auto, Strength.AUTO),
    ):
        for name in names:
            pool = transition.joined(pool, public(name), public(name), strength, 0)
    return pool


def handed_out(pool: PoolState) -> PoolState:
    """The state after everybody got what `plan` says; every new search is in SUBSPACE."""
    for key, step in plan(pool).items():
        current = pool.assignment_of(key)
        if isinstance(step, Rest):
            pool = transition.rested(pool, key)
        elif current is None or current.work != step:
            pool = transition.assigned(pool, key, step, lambda _: SUBSPACE, 0)
    return pool


def round_of(pool: PoolState) -> RoundState:
    """The round, which the test knows to be there."""
    if pool.round is None:
        raise LookupError("no round has started")
    return pool.round


def in_hand(pool: PoolState, name: str) -> Assignment:
    """The assignment of a miner, which the test knows to be there."""
    assignment = pool.assignment_of(public(name))
    if assignment is None:
        raise LookupError(f"{name} has no assignment")
    return assignment


def valid_report(pool: PoolState, name: str, correct: int = 300) -> Report:
    """The next result of a miner, trained and obeying every rule."""
    assignment = in_hand(pool, name)
    episode = next_episode(round_of(pool), assignment)
    if isinstance(assignment.work, Exploration):
        genotype = alive_design(number=episode)
    else:
        base = assignment.work.base.genotype
        genotype = exploit_variant(base, SPACE, episode, assignment.seed)
    return Report(
        assignment_id=assignment.id,
        episode=episode,
        genotype=genotype.to_bytes(),
        training_seed=seed_of(genotype, round_of(pool), assignment, episode),
        correct=correct,
        size=INFO.validation,
        epochs=TASK.epochs,
        model_hash=bytes(32),
        weights_hash=bytes(32),
        failure="",
    )


def with_genotype(report: Report, pool: PoolState, name: str, genotype: Genotype) -> Report:
    """The same result for another design, with the training seed that it then has."""
    seed = seed_of(genotype, round_of(pool), in_hand(pool, name), report.episode)
    return replace(report, genotype=genotype.to_bytes(), training_seed=seed)


def best_of(finder: str, correct: int = 300, from_weak_miner: bool = False) -> Best:
    """A confirmed best."""
    return Best(
        alive_design(),
        1,
        correct,
        INFO.validation,
        public(finder),
        b"m" * 32,
        b"w" * 32,
        from_weak_miner,
    )
