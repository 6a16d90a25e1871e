"""Steps that several events have in common; each gives the records with one thing changed."""

from __future__ import annotations

from typing import Any

from nas.jobs import SEED_BOUND
from node.chain.hashing import blake, u64
from pool.records.state import (
    KEPT_ASSIGNMENTS,
    Assignment,
    Exploration,
    MinerState,
    PoolState,
    RoundState,
    is_full,
)
from pool.records.strengths import Strength


def stopped(miner: MinerState, at_ms: int) -> MinerState:
    """The miner without work in hand, the time with it counted."""
    return miner.but(is_working=False, busy_ms=miner.worked_ms(at_ms))


def placed(
    round_: RoundState, miner: MinerState, assignment_id: int, reward: float, is_trained: bool
) -> tuple[RoundState, tuple[Assignment, ...]]:
    """The next episode of an assignment is done, with this reward in [0, 1]: the round, and the
    miner's assignments."""
    assignment = miner.assignment(assignment_id)
    if not isinstance(assignment.work, Exploration):
        return round_, amended(miner, assignment_id, episodes=assignment.episodes + 1)
    number = assignment.work.search
    search = round_.searches[number]
    curve = search.curve.then(reward)
    search = search.but(
        rewards=(*search.rewards, reward),
        curve=curve,
        fruitless=0 if is_trained else search.fruitless + 1,
        tried_by=miner.key,
    )
    searches, free = round_.searches.set(number, search), round_.free
    if number in free:
        return round_.but(searches=searches, free=free.ranked(number, curve.best)), miner.given
    return round_.but(searches=searches), miner.given


def given(
    round_: RoundState, miner: MinerState, at_ms: int, assignment: Assignment, **changes: int
) -> MinerState:
    """The miner with the assignment in hand; `changes` are made to its record as well."""
    # Time without work is not held against the miner's speed.
    since_ms = max(at_ms, round_.task.start_ms)
    is_one_too_many = len(miner.given) >= KEPT_ASSIGNMENTS
    return miner.but(
        given=(*miner.given[1 - KEPT_ASSIGNMENTS :], assignment),
        dropped=miner.given[0].id if is_one_too_many else miner.dropped,
        is_working=True,
        resting="",
        busy_ms=miner.worked_ms(since_ms),
        busy_since_ms=since_ms,
        measured_at_ms=miner.measured_at_ms if miner.is_working else since_ms,
        **changes,
    )


def amended(miner: MinerState, assignment_id: int, **changes: Any) -> tuple[Assignment, ...]:
    """The miner's assignments, with some fields of one of them changed."""
    return tuple(
        [
            assignment.but(**changes) if assignment.id == assignment_id else assignment
            for assignment in miner.given
        ]
    )


def held(pool: PoolState, number: int, **changes: bytes) -> PoolState:
    """A search with another owner or holder; with a holder, or waiting for one, it is not free."""
    round_ = round_of(pool)
    searches = round_.searches.set(number, round_.searches[number].but(**changes))
    return pool.but(round=round_.but(searches=searches, free=round_.free.without(number)))


def released(pool: PoolState, key: bytes) -> PoolState:
    """The searches in the miner's hands are free for others: its own, and one that it covers."""
    miner = pool.miners[key]
    for number in (miner.own, miner.covers):
        if number is not None:
            pool = freed(pool, number, key)
    return with_miner(pool, miner.but(own=None, covers=None))


def freed(pool: PoolState, number: int, by: bytes) -> PoolState:
    """The miner works no longer on a search; if nobody else does, others may have it."""
    round_ = round_of(pool)
    search = round_.searches[number]
    if search.holder not in (by, b""):
        return pool
    searches = round_.searches.set(number, search.but(holder=b""))
    free = round_.free if is_full(search) else round_.free.ranked(number, search.curve.best)
    return pool.but(round=round_.but(searches=searches, free=free))


def counted(pool: PoolState, miner: MinerState, change: int) -> PoolState:
    """One connected miner of its kind more, or less."""
    if miner.strength is Strength.STRONG:
        return pool.but(strong=pool.strong + change)
    return pool.but(weak=pool.weak + change)


def with_miner(pool: PoolState, miner: MinerState) -> PoolState:
    """The pool with this record of a miner."""
    return pool.but(miners=pool.miners.set(miner.key, miner))


def round_of(pool: PoolState) -> RoundState:
    """The round. Raises ValueError before the first one."""
    if pool.round is None:
        raise ValueError("no round has started")
    return pool.round


def seed_of(round_: RoundState, purpose: str, number: int) -> int:
    """A seed that follows from the round's."""
    digest = blake("ponas/pool/seed", round_.seed, purpose.encode(), u64(number))
    return int.from_bytes(digest[:8], "big") % SEED_BOUND
