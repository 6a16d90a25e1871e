"""What handing out work changes in a pool's records: searches, leases, backups."""

from __future__ import annotations

from immutables import Map

from pool.records import events
from pool.records.effects.steps import (
    amended,
    given,
    held,
    ids_of,
    released,
    round_of,
    seed_of,
    stopped,
    with_miner,
)
from pool.records.state import Assignment, Exploration, PoolState, Search


def search_drawn(pool: PoolState, event: events.SearchDrawn) -> PoolState:
    """A search without an owner."""
    round_ = round_of(pool)
    search = Search(event.subspace, seed_of(round_, "search", event.search))
    return pool.but(round=round_.but(searches=round_.searches.set(event.search, search)))


def lease_granted(pool: PoolState, event: events.LeaseGranted) -> PoolState:
    """The search is the miner's, and no longer anybody else's."""
    owner = pool.miners.get(round_of(pool).searches[event.search].owner)
    if owner is not None and owner.key != event.miner:
        # The search is handed on for good.
        pool = with_miner(pool, owner.but(own=None))
    pool = held(pool, event.search, owner=event.miner, holder=event.miner)
    seed = round_of(pool).searches[event.search].seed
    miner = pool.miners[event.miner]
    is_same = miner.budget == event.budget
    return given(
        pool,
        event,
        Assignment(*ids_of(event), Exploration(event.search), seed, event.budget),
        own=event.search,
        budget=event.budget,
        budget_results=miner.budget_results if is_same else 0,
    )


def lease_accepted(pool: PoolState, event: events.LeaseAccepted) -> PoolState:
    """Results of the assignment count from now on, and the promise is kept as evidence."""
    miner = amended(pool.miners[event.miner], event.assignment, is_accepted=True)
    # The next round's lease comes before this round's promise is over.
    last = event.kept.last_round
    before = tuple(kept for kept in miner.leases if kept.last_round == last - 1)
    return with_miner(pool, miner.but(leases=(*before, event.kept)))


def lease_parked(pool: PoolState, event: events.LeaseParked) -> PoolState:
    """The search waits for its owner."""
    pool = held(pool, event.search, holder=b"")
    return with_miner(pool, stopped(pool.miners[event.miner], event.at_ms))


def lease_resumed(pool: PoolState, event: events.LeaseResumed) -> PoolState:
    """The miner covers no other search any more."""
    miner = pool.miners[event.miner]
    if miner.covers is not None:
        pool = held(pool, miner.covers, holder=b"")
    return with_miner(pool, stopped(miner, event.at_ms).but(covers=None))


def backups_designated(pool: PoolState, event: events.BackupsDesignated) -> PoolState:
    """Who stands in for whom."""
    return pool.but(round=round_of(pool).but(backups=Map(event.backups)))


def backup_activated(pool: PoolState, event: events.BackupActivated) -> PoolState:
    """The backup holds the search; the lease stays its owner's."""
    pool = held(pool, event.search, holder=event.miner)
    seed = round_of(pool).searches[event.search].seed
    assignment = Assignment(*ids_of(event), Exploration(event.search), seed, event.budget)
    return given(pool, event, assignment, covers=event.search)


def exploitation_given(pool: PoolState, event: events.ExploitationGiven) -> PoolState:
    """The miner trains on from the base, and searches no longer."""
    pool = released(pool, event.miner)
    seed = seed_of(round_of(pool), "exploitation", event.assignment)
    return given(pool, event, Assignment(*ids_of(event), event.work, seed))


def rested(pool: PoolState, event: events.Rested) -> PoolState:
    """The miner has nothing to do."""
    pool = released(pool, event.miner)
    miner = stopped(pool.miners[event.miner], event.at_ms)
    return with_miner(pool, miner.but(resting=event.reason))
