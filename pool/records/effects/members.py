"""What miners that come, go and are typed anew change in a pool's records."""

from __future__ import annotations

from pool.records import events
from pool.records.books import without_standings
from pool.records.effects.steps import counted, freed, stopped, with_miner
from pool.records.state import MinerState, PoolState
from pool.records.strengths import Strength
from pool.records.tables import refilled
from pool.rules.bans import shifted, with_visit


def joined(pool: PoolState, event: events.Joined) -> PoolState:
    """The miner is connected; its lease waits for it."""
    known = pool.miners.get(event.miner)
    if known is None:
        known = MinerState(
            event.miner, pool.next_miner, event.payout_address, event.declared, event.strength
        )
        pool = pool.but(next_miner=pool.next_miner + 1)
    elif known.connected:
        known = stopped(known, event.at_ms)
        pool = counted(pool, known, -1)
    elif known.is_awaited:
        pool = pool.but(awaited=pool.awaited - 1)
    miner = known.but(
        payout_address=event.payout_address,
        declared=event.declared,
        strength=event.strength,
        strength_reason=event.reason,
        connected=True,
        is_awaited=False,
        # What an earlier connection had in hand is handed out anew.
        is_working=False,
        resting="",
        conduct=with_visit(known.conduct, event.at_ms),
    )
    if pool.round is not None and miner.own is not None:
        pool = pool.but(round=pool.round.but(free=pool.round.free.without(miner.own)))
    return counted(with_miner(pool, miner), miner, 1)


def turned_away(pool: PoolState, event: events.TurnedAway) -> PoolState:
    """Counted by reason, and for the miner if its key was proved."""
    counts = pool.turned_away
    pool = pool.but(turned_away=counts.set(event.reason, counts.get(event.reason, 0) + 1))
    known = pool.miners.get(event.miner)
    if known is None:
        return pool
    return with_miner(pool, known.but(conduct=with_visit(known.conduct, event.at_ms)))


def left(pool: PoolState, event: events.Left) -> PoolState:
    """The miner has nothing in hand, and its searches are free."""
    miner = pool.miners[event.miner]
    if miner.connected:
        pool = counted(pool, miner, -1)
    elif miner.is_awaited:
        pool = pool.but(awaited=pool.awaited - 1)
    for search in (miner.own, miner.covers):
        if search is not None:
            pool = freed(pool, search, miner.key)
    return with_miner(
        pool, stopped(miner, event.at_ms).but(connected=False, is_awaited=False, covers=None)
    )


def forgotten(pool: PoolState, event: events.Forgotten) -> PoolState:
    """As if these miners had never come."""
    miners = pool.miners
    for key in event.miners:
        miners = miners.delete(key)
    return pool.but(miners=miners, books=without_standings(pool.books, event.miners))


def restarted(pool: PoolState, event: events.Restarted) -> PoolState:
    """Nobody is connected. Leases wait for their miners, which have a while to come back.

    When the manager stopped is not known: a miner is known to have worked until its last result.
    """
    miners = {
        key: stopped(miner, max(miner.busy_since_ms, miner.measured_at_ms)).but(
            connected=False, is_awaited=miner.is_awaited or _explored(miner)
        )
        for key, miner in pool.miners.items()
    }
    awaited = sum(miner.is_awaited for miner in miners.values())
    return pool.but(
        miners=refilled(pool.miners, miners),
        strong=0,
        weak=0,
        awaited=awaited,
    )


def _explored(miner: MinerState) -> bool:
    return miner.connected and miner.strength is Strength.STRONG


def clock_stepped(pool: PoolState, event: events.ClockStepped) -> PoolState:
    """Times of the past move with the clock, so that the time since then stays what it was."""
    by_ms = event.by_ms
    miners = {
        key: miner.but(
            measured_at_ms=miner.measured_at_ms + by_ms,
            busy_since_ms=miner.busy_since_ms + by_ms,
            conduct=shifted(miner.conduct, by_ms),
        )
        for key, miner in pool.miners.items()
    }
    return pool.but(miners=refilled(pool.miners, miners))


def retyped(pool: PoolState, event: events.Retyped) -> PoolState:
    """The miner counts among the others from now on."""
    miner = pool.miners[event.miner]
    typed = miner.but(strength=event.strength, strength_reason=event.reason)
    if miner.connected:
        pool = counted(counted(pool, miner, -1), typed, 1)
    return with_miner(pool, typed)
