"""States of a pool in an open round, and results that break no rule, for the tests of the rules."""

from __future__ import annotations

from nas.data.datasets import describe
from nas.designs.design import judge
from nas.designs.genotype import Genotype
from nas.designs.space import Space
from pool.decisions.advance import advance, hand_out
from pool.decisions.members import decide_join
from pool.decisions.results import decide_acceptance
from pool.decisions.rounds import decide_open
from pool.partition.base import Subspace
from pool.records import events
from pool.records.events import AnyEvent
from pool.records.state import (
    Assignment,
    Best,
    Exploration,
    KeptLease,
    PoolState,
    RoundState,
    RoundTask,
)
from pool.records.strengths import Strength
from pool.records.transition import apply, apply_all
from pool.rules.draws import Draws
from pool.rules.reports import Report, check, next_episode, seed_of
from pool.rules.variants import exploit_variant
from tests.pool_world import PHASE_MS, SPACE, TASK, public

INFO = describe("digits")
SIGNED = KeptLease(1, b"lease", b"acceptance")
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
    task = RoundTask(1, TASK, SPACE, PHASE_MS)
    pool = apply_all(PoolState(), decide_open(PoolState(), task, b"seed", 0))
    for names, strength in (
        (strong, Strength.STRONG),
        (weak, Strength.WEAK),
        (auto, Strength.AUTO),
    ):
        for name in names:
            pool = apply_all(pool, decide_join(pool, public(name), public(name), strength, 0))
    return pool


def draw(_round: RoundState, _number: int) -> Subspace:
    """Every new search is in SUBSPACE."""
    return Subspace(SUBSPACE)


def handed_out(pool: PoolState) -> PoolState:
    """The state after everybody got what there is to do and accepted the leases."""
    connected = [*pool.connected(Strength.WEAK), *pool.connected(Strength.STRONG)]
    return with_leases(hand_out(pool, connected, draw, 0)[0])


def after(pool: PoolState, *happened: AnyEvent) -> PoolState:
    """The state after these events and what follows from them, with all leases accepted."""
    pool, _, due = advance(pool, happened, draw, happened[-1].at_ms)
    return with_leases(hand_out(pool, due, draw, happened[-1].at_ms)[0])


def with_leases(pool: PoolState) -> PoolState:
    """The state after every miner has accepted the lease that it was given."""
    for miner in pool.miners.values():
        current = miner.current
        if current is not None and not current.is_accepted:
            pool = apply(pool, events.LeaseAccepted(0, miner.key, current.id, SIGNED))
    return pool


def round_of(pool: PoolState) -> RoundState:
    """The round, which the test knows to be there."""
    if pool.round is None:
        raise LookupError("no round has started")
    return pool.round


def in_hand(pool: PoolState, name: str) -> Assignment:
    """The assignment of a miner, which the test knows to be there."""
    assignment = pool.miners[public(name)].current
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
        states=tuple(bytes([epoch]) * 32 for epoch in range(TASK.epochs + 1)),
        precision="float32",
    )


def result_of(
    pool: PoolState, name: str, correct: int = 300, now_ms: int = 1_000
) -> events.ResultAccepted:
    """The event of a miner's next result, which obeys every rule."""
    checked = check(valid_report(pool, name, correct), pool, public(name), now_ms)
    return decide_acceptance(pool, checked, b"secret", False, now_ms)


def earned(pool: PoolState, name: str) -> int:
    """Work of a miner in this round, for its own address."""
    return pool.books.earned.get(public(name) * 2, 0)


def with_genotype(report: Report, pool: PoolState, name: str, genotype: Genotype) -> Report:
    """The same result for another design, with the training seed that it then has."""
    seed = seed_of(genotype, round_of(pool), in_hand(pool, name), report.episode)
    return report.but(genotype=genotype.to_bytes(), training_seed=seed)


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
