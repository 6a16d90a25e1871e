"""Miners that come, go and are typed anew, and who goes on with the search of one that left."""

from __future__ import annotations

from pool.records import events
from pool.records.events import AnyEvent
from pool.records.state import MinerState, PoolState, Strength
from pool.rules.delivery import Delivery
from pool.rules.strength import Typing, resolve_strength


def decide_join(
    pool: PoolState, key: bytes, payout_address: bytes, declared: Strength, now_ms: int
) -> tuple[AnyEvent, ...]:
    """A miner has proved its key: it is typed, and gets its lease back if a backup has it."""
    known = pool.miners.get(key)
    typing = _typing(pool, known, declared, now_ms)
    joined = events.Joined(now_ms, key, payout_address, declared, typing.strength, typing.reason)
    if known is None or known.own is None or pool.round is None:
        return (joined,)
    holder = pool.round.searches[known.own].holder
    if holder in (key, b""):
        return (joined,)
    return joined, events.LeaseResumed(now_ms, holder, known.own)


def decide_leave(pool: PoolState, key: bytes, reason: str, now_ms: int) -> tuple[AnyEvent, ...]:
    """A miner's connection has ended, or it did not come back after a restart."""
    return (events.Left(now_ms, key, reason),)


def decide_retype(
    pool: PoolState, miner: MinerState, phase_ms: int, now_ms: int
) -> events.Retyped | None:
    """Another type for a miner by what it has delivered, at a round's start; None for no change."""
    typing = resolve_strength(
        miner.declared, miner.strength, miner.delivery, phase_ms, max(1, phase_ms)
    )
    if typing.strength is miner.strength:
        return None
    return events.Retyped(now_ms, miner.key, typing.strength, typing.reason)


def _typing(pool: PoolState, known: MinerState | None, declared: Strength, now_ms: int) -> Typing:
    delivery, current = Delivery(), declared
    if known is not None:
        delivery, current = known.delivery, known.strength
    left_ms = phase_ms = 0
    if pool.round is not None and pool.round.is_open:
        task = pool.round.task
        left_ms, phase_ms = task.train_end_ms - now_ms, task.train_end_ms - task.start_ms
    return resolve_strength(declared, current, delivery, left_ms, max(1, phase_ms))
