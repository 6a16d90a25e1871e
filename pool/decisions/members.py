"""Miners that come, go and are typed anew, and who goes on with the search of one that left."""

from __future__ import annotations

from pool.decisions.work import backup_activated
from pool.records import events
from pool.records.events import AnyEvent
from pool.records.state import Exploration, MinerState, PoolState, is_full
from pool.records.strengths import Strength
from pool.rules.bans import ban_until, faded
from pool.rules.delivery import Delivery
from pool.rules.reliability import assess, choose_backups
from pool.rules.rhythm import type_silent
from pool.rules.strength import Typing, resolve_strength


def decide_join(
    pool: PoolState, key: bytes, payout_address: bytes, declared: Strength, now_ms: int
) -> tuple[AnyEvent, ...]:
    """A miner has proved its key: it is typed, and gets its lease back if a backup has it.

    Only a strong one does: a weak one would drop the search, and nobody would go on with it.
    """
    known = pool.miners.get(key)
    typing = _typing(pool, known, declared, now_ms)
    joined = events.Joined(now_ms, key, payout_address, declared, typing.strength, typing.reason)
    if known is None or known.own is None or pool.round is None:
        return (joined,)
    if typing.strength is Strength.WEAK:
        return (joined,)
    holder = pool.round.searches[known.own].holder
    if holder in (key, b""):
        return (joined,)
    return joined, events.LeaseResumed(now_ms, holder, known.own)


def decide_leave(pool: PoolState, key: bytes, reason: str, now_ms: int) -> tuple[AnyEvent, ...]:
    """A miner's connection has ended, or it did not come back after a restart.

    If a backup was designated for it and is free, that goes on with the search. Nothing for a miner
    that is not known.
    """
    left = events.Left(now_ms, key, reason)
    miner = pool.miners.get(key)
    return () if miner is None else (left, *_taken_over(pool, miner, now_ms))


def decide_stalled(pool: PoolState, key: bytes, now_ms: int) -> tuple[AnyEvent, ...]:
    """A miner that explores but brings nothing is weak from now on, and others may have its search.

    Its backup goes on with it, as if the miner had left. Nothing for a miner that is not silent.
    """
    miner = pool.miners.get(key)
    if miner is None or miner.strength is Strength.WEAK or miner.current is None:
        return ()
    typing = _type_silent(pool, miner, now_ms)
    if typing is None:
        return ()
    retyped = events.Retyped(now_ms, key, typing.strength, typing.reason)
    return retyped, *_taken_over(pool, miner, now_ms)


def decide_backups(pool: PoolState, now_ms: int) -> tuple[AnyEvent, ...]:
    """Who stands in for whom, by how the searches go; nothing if that has not changed.

    Looks at every strong miner: meant for each heartbeat, not for each result.
    """
    round_ = pool.round
    if round_ is None or not round_.is_open:
        return ()
    searching = {
        miner.key: (miner, work.search)
        for miner in pool.miners.values()
        if miner.strength is Strength.STRONG
        and (current := miner.current) is not None
        and isinstance(work := current.work, Exploration)
    }
    assessment = assess({key: round_.searches[n].curve for key, (_, n) in searching.items()})
    if assessment is None:
        return ()
    available = {key for key, (miner, _) in searching.items() if is_available(miner)}
    chosen = choose_backups(assessment, available, round_.backups)
    if dict(chosen) == dict(round_.backups):
        return ()
    return (events.BackupsDesignated(now_ms, tuple(sorted(chosen.items())), assessment.finding),)


def is_available(miner: MinerState) -> bool:
    """Whether a miner searches a lease of its own, so that it could go on with another."""
    return miner.connected and miner.strength is Strength.STRONG and miner.covers is None


def decide_ban(pool: PoolState, key: bytes, now_ms: int) -> events.Banned | None:
    """Send a miner away if it is known and its points call for it."""
    miner = pool.miners.get(key)
    until_ms = None if miner is None else ban_until(miner.conduct, now_ms)
    if miner is None or until_ms is None:
        return None
    return events.Banned(now_ms, key, until_ms, faded(miner.conduct, now_ms))


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


def _taken_over(pool: PoolState, miner: MinerState, now_ms: int) -> tuple[AnyEvent, ...]:
    """The search of a miner that is lost goes to its backup, if it has one that is free."""
    round_ = pool.round
    number = miner.own if miner.covers is None else miner.covers
    if round_ is None or not round_.is_open or number is None:
        return ()
    backup = pool.miners.get(round_.backups.get(miner.key, b""))
    search = round_.searches[number]
    if backup is None or not is_available(backup) or backup.own is None or is_full(search):
        return ()
    # Else somebody goes on with it already.
    if search.holder not in (miner.key, b""):
        return ()
    parked = events.LeaseParked(now_ms, backup.key, backup.own)
    return parked, backup_activated(pool, backup, number, now_ms)


def _type_silent(pool: PoolState, miner: MinerState, now_ms: int) -> Typing | None:
    if pool.round is None or not pool.round.is_open:
        return None
    # Alone it keeps nothing from anybody.
    if pool.strong + pool.weak - miner.connected == 0:
        return None
    return type_silent(miner.rhythm, miner.worked_ms(now_ms), pool.round.task.phase_ms)


def _typing(pool: PoolState, known: MinerState | None, declared: Strength, now_ms: int) -> Typing:
    delivery, current = Delivery(), declared
    if known is not None:
        delivery, current = known.delivery, known.strength
    left_ms = phase_ms = 0
    if pool.round is not None and pool.round.is_open:
        task = pool.round.task
        left_ms, phase_ms = task.train_end_ms - now_ms, task.phase_ms
    typing = resolve_strength(declared, current, delivery, left_ms, max(1, phase_ms))
    if known is None or typing.strength is Strength.WEAK:
        return typing
    # Who comes anew is no less silent.
    return _type_silent(pool, known, now_ms) or typing
