"""What handing out work changes in a pool's records: searches, leases, backups."""

from __future__ import annotations

from immutables import Map

from pool.records import events
from pool.records.effects.steps import (
    amended,
    given,
    held,
    released,
    round_of,
    seed_of,
    stopped,
    with_miner,
)
from pool.records.state import Assignment, Exploration, PoolState, Search, continued, taken_back


def lease_granted(pool: PoolState, event: events.LeaseGranted) -> PoolState:
    """The search is the miner's, and no longer anybody else's."""
    round_, miners = round_of(pool), pool.miners
    miner, number = miners[event.miner], event.search
    if event.drawn is None:
        search = round_.searches[number]
        owner = miners.get(search.owner)
        if owner is not None and owner.key != miner.key and owner.own == number:
            # The search is handed on for good. Who gave it up before may have another by now.
            miners = miners.set(owner.key, owner.but(own=None))
        search = continued(search, miner.key).but(owner=miner.key, holder=miner.key)
    else:
        seed = seed_of(round_, "search", number)
        search = Search(event.drawn.space, seed, miner.key, miner.key)
    is_same = miner.budget == event.budget
    miner = given(
        round_,
        miner,
        event.at_ms,
        Assignment(event.assignment, miner.key, Exploration(number), search.seed, event.budget),
        own=number,
        budget=event.budget,
        budget_results=miner.budget_results if is_same else 0,
    )
    searches, free = round_.searches.set(number, search), round_.free.without(number)
    return pool.but(
        miners=miners.set(miner.key, miner),
        round=round_.but(searches=searches, free=free),
        next_assignment=event.assignment + 1,
    )


def lease_accepted(pool: PoolState, event: events.LeaseAccepted) -> PoolState:
    """Results of the assignment count from now on, and the promise is kept as evidence."""
    miner, kept = pool.miners[event.miner], event.kept
    # The next round's lease comes before this round's promise is over.
    before = [each for each in miner.leases if each.last_round == kept.last_round - 1]
    accepted = amended(miner, event.assignment, is_accepted=True)
    return with_miner(pool, miner.but(given=accepted, leases=(*before, kept)))


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


def search_given_up(pool: PoolState, event: events.SearchGivenUp) -> PoolState:
    """The search is free as it was after its last training; what its miner still sends is stale."""
    round_, miner = round_of(pool), pool.miners[event.miner]
    search = taken_back(round_.searches[event.search])
    pool = pool.but(round=round_.but(searches=round_.searches.set(event.search, search)))
    pool = released(pool, event.miner)
    miner = stopped(pool.miners[event.miner], event.at_ms)
    return with_miner(pool, miner.but(given=(), dropped=pool.next_assignment - 1))


def backups_designated(pool: PoolState, event: events.BackupsDesignated) -> PoolState:
    """Who stands in for whom."""
    return pool.but(round=round_of(pool).but(backups=Map(event.backups)))


def backup_activated(pool: PoolState, event: events.BackupActivated) -> PoolState:
    """The backup holds the search; the lease stays its owner's."""
    round_ = round_of(pool)
    search = continued(round_.searches[event.search], event.miner).but(holder=event.miner)
    searches, free = round_.searches.set(event.search, search), round_.free.without(event.search)
    pool = pool.but(round=round_.but(searches=searches, free=free))
    seed = search.seed
    work = Exploration(event.search)
    assignment = Assignment(event.assignment, event.miner, work, seed, event.budget)
    return _employed(pool, event.at_ms, assignment, covers=event.search)


def exploitation_given(pool: PoolState, event: events.ExploitationGiven) -> PoolState:
    """The miner trains on from the base, and searches no longer."""
    pool = released(pool, event.miner)
    seed = seed_of(round_of(pool), "exploitation", event.assignment)
    assignment = Assignment(event.assignment, event.miner, event.work, seed)
    return _employed(pool, event.at_ms, assignment)


def rested(pool: PoolState, event: events.Rested) -> PoolState:
    """The miner has nothing to do."""
    pool = released(pool, event.miner)
    miner = stopped(pool.miners[event.miner], event.at_ms)
    return with_miner(pool, miner.but(resting=event.reason))


def _employed(pool: PoolState, at_ms: int, assignment: Assignment, **changes: int) -> PoolState:
    miner = given(round_of(pool), pool.miners[assignment.miner], at_ms, assignment, **changes)
    return with_miner(pool, miner).but(next_assignment=assignment.id + 1)
