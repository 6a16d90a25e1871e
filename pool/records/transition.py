"""How a manager's records change: each event makes a new `PoolState` from the old one.

Applying decides nothing: whatever needs a rule, a draw or a clock is in the event. So the events of
a journal give the same state whenever they are applied. Only a round's opening and closing look at
all miners.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from immutables import Map

from nas.jobs import SEED_BOUND
from node.chain.hashing import blake, u64
from pool.proofs.openpage import OpenPage
from pool.proofs.sharelog import Share
from pool.records import events
from pool.records.books import (
    with_forfeited,
    with_passed_audit,
    with_payout,
    with_result,
    with_round_ended,
    without_standings,
)
from pool.records.events import AnyEvent
from pool.records.state import (
    KEPT_ASSIGNMENTS,
    Assignment,
    Best,
    Exploration,
    MinerState,
    PoolState,
    RoundState,
    Search,
    is_full,
)
from pool.records.strengths import Strength
from pool.rules.bans import BAN_POINTS, POINTS, with_ban, with_points, with_visit
from pool.rules.prices import class_of


def apply(pool: PoolState, event: AnyEvent) -> PoolState:
    """The state after an event that was decided on in this state."""
    return _APPLY[type(event)](pool, event)


def share_of(event: events.ResultAccepted, address: bytes) -> Share:
    """The entry of an accepted result in the share log, paid to an address."""
    return Share(
        miner=event.miner,
        address=address,
        assignment=event.assignment,
        episode=event.episode,
        genotype=event.genotype,
        training_seed=event.training_seed,
        epochs=event.epochs,
        correct=event.correct,
        size=event.size,
        model_hash=event.model_hash,
        work=event.work,
    )


def apply_all(pool: PoolState, happened: Iterable[AnyEvent]) -> PoolState:
    """The state after these events, in order."""
    for event in happened:
        pool = apply(pool, event)
    return pool


# Miners.


def _joined(pool: PoolState, event: events.Joined) -> PoolState:
    known = pool.miners.get(event.miner)
    if known is None:
        known = MinerState(
            event.miner, pool.next_miner, event.payout_address, event.declared, event.strength
        )
        pool = pool.but(next_miner=pool.next_miner + 1)
    elif known.connected:
        known = _stopped(known, event.at_ms)
        pool = _counted(pool, known, -1)
    miner = known.but(
        payout_address=event.payout_address,
        declared=event.declared,
        strength=event.strength,
        strength_reason=event.reason,
        connected=True,
        # What an earlier connection had in hand is handed out anew.
        is_working=False,
        resting="",
        conduct=with_visit(known.conduct, event.at_ms),
    )
    if pool.round is not None and miner.own is not None and miner.own in pool.round.free:
        pool = pool.but(round=pool.round.but(free=pool.round.free.delete(miner.own)))
    return _counted(_with(pool, miner), miner, 1)


def _turned_away(pool: PoolState, event: events.TurnedAway) -> PoolState:
    counts = pool.turned_away
    pool = pool.but(turned_away=counts.set(event.reason, counts.get(event.reason, 0) + 1))
    known = pool.miners.get(event.miner)
    if known is None:
        return pool
    return _with(pool, known.but(conduct=with_visit(known.conduct, event.at_ms)))


def _left(pool: PoolState, event: events.Left) -> PoolState:
    miner = pool.miners[event.miner]
    if miner.connected:
        pool = _counted(pool, miner, -1)
    for search in (miner.own, miner.covers):
        if search is not None:
            pool = _freed(pool, search, miner.key)
    stopped = _stopped(miner, event.at_ms)
    return _with(pool, stopped.but(connected=False, covers=None))


def _restarted(pool: PoolState, event: events.Restarted) -> PoolState:
    # Leases wait for their miners, which have a while to come back.
    miners = {
        key: _stopped(miner, miner.busy_since_ms).but(connected=False)
        for key, miner in pool.miners.items()
    }
    return pool.but(miners=Map(miners), strong=0, weak=0)


def _retyped(pool: PoolState, event: events.Retyped) -> PoolState:
    miner = pool.miners[event.miner]
    typed = miner.but(strength=event.strength, strength_reason=event.reason)
    if miner.connected:
        pool = _counted(_counted(pool, miner, -1), typed, 1)
    return _with(pool, typed)


# Rounds.


def _round_opened(pool: PoolState, event: events.RoundOpened) -> PoolState:
    miners = {
        key: miner.but(
            given=(),
            is_working=False,
            resting="",
            own=None,
            covers=None,
            episodes=0,
            work=0,
            best_correct=0,
            busy_ms=0,
        )
        for key, miner in pool.miners.items()
        if key not in event.forgotten
    }
    return pool.but(
        miners=Map(miners),
        books=without_standings(pool.books, event.forgotten),
        last_best=_best_before(pool, event.task.round),
        round=RoundState(event.task, event.seed, event.explorers, pool.next_assignment),
    )


def _best_before(pool: PoolState, number: int) -> Best | None:
    """The best of the round before `number`."""
    if pool.round is not None and pool.round.task.round == number:
        return pool.last_best
    is_next = pool.round is not None and pool.round.task.round == number - 1
    return pool.round.best if pool.round is not None and is_next else None


def _round_closed(pool: PoolState, event: events.RoundClosed) -> PoolState:
    if pool.round is None:
        return pool
    end_ms = min(event.at_ms, pool.round.task.train_end_ms)
    # Time without a result counts as well: silence is slow.
    miners = {
        key: _stopped(miner, end_ms).but(
            delivery=miner.delivery.then(0, end_ms - miner.measured_at_ms)
        )
        if miner.is_working
        else miner
        for key, miner in pool.miners.items()
    }
    worked_ms = {key: miner.worked_ms(end_ms) for key, miner in miners.items()}
    books = with_round_ended(pool.books, pool.round.task.round, worked_ms)
    return pool.but(miners=Map(miners), books=books, round=pool.round.but(is_open=False))


# Work.


def _search_drawn(pool: PoolState, event: events.SearchDrawn) -> PoolState:
    round_ = _round(pool)
    search = Search(event.subspace, _seed(round_, "search", event.search))
    return pool.but(round=round_.but(searches=round_.searches.set(event.search, search)))


def _lease_granted(pool: PoolState, event: events.LeaseGranted) -> PoolState:
    owner = pool.miners.get(_round(pool).searches[event.search].owner)
    if owner is not None and owner.key != event.miner:
        # The search is handed on for good.
        pool = _with(pool, owner.but(own=None))
    pool = _held(pool, event.search, owner=event.miner, holder=event.miner)
    seed = _round(pool).searches[event.search].seed
    miner = pool.miners[event.miner]
    is_same = miner.budget == event.budget
    return _given(
        pool,
        event,
        Assignment(*_ids(event), Exploration(event.search), seed, event.budget),
        own=event.search,
        budget=event.budget,
        budget_results=miner.budget_results if is_same else 0,
    )


def _lease_accepted(pool: PoolState, event: events.LeaseAccepted) -> PoolState:
    miner = pool.miners[event.miner]
    return _with(pool, _amended(miner, event.assignment, acceptance=event.acceptance))


def _lease_parked(pool: PoolState, event: events.LeaseParked) -> PoolState:
    pool = _held(pool, event.search, holder=b"")
    return _with(pool, _stopped(pool.miners[event.miner], event.at_ms))


def _lease_resumed(pool: PoolState, event: events.LeaseResumed) -> PoolState:
    miner = pool.miners[event.miner]
    if miner.covers is not None:
        pool = _held(pool, miner.covers, holder=b"")
    return _with(pool, _stopped(miner, event.at_ms).but(covers=None))


def _backups_designated(pool: PoolState, event: events.BackupsDesignated) -> PoolState:
    return pool.but(round=_round(pool).but(backups=Map(event.backups)))


def _backup_activated(pool: PoolState, event: events.BackupActivated) -> PoolState:
    pool = _held(pool, event.search, holder=event.miner)
    seed = _round(pool).searches[event.search].seed
    assignment = Assignment(*_ids(event), Exploration(event.search), seed, event.budget)
    return _given(pool, event, assignment, covers=event.search)


def _exploitation_given(pool: PoolState, event: events.ExploitationGiven) -> PoolState:
    pool = _released(pool, event.miner)
    seed = _seed(_round(pool), "exploitation", event.assignment)
    return _given(pool, event, Assignment(*_ids(event), event.work, seed))


def _rested(pool: PoolState, event: events.Rested) -> PoolState:
    pool = _released(pool, event.miner)
    stopped = _stopped(pool.miners[event.miner], event.at_ms)
    return _with(pool, stopped.but(resting=event.reason))


# Results.


def _result_accepted(pool: PoolState, event: events.ResultAccepted) -> PoolState:
    round_, miner = _round(pool), pool.miners[event.miner]
    miner = miner.but(
        episodes=miner.episodes + 1,
        work=miner.work + event.work,
        best_correct=max(miner.best_correct, event.correct),
        accepted=miner.accepted + 1,
        delivery=miner.delivery.then(1, event.at_ms - miner.measured_at_ms),
        measured_at_ms=event.at_ms,
        budget_results=miner.budget_results + 1,
    )
    return _placed(
        round_,
        miner,
        event.assignment,
        event.correct / event.size,
        _booked(pool, event),
    )


def _booked(pool: PoolState, event: events.ResultAccepted) -> PoolState:
    share = share_of(event, pool.miners[event.miner].payout_address)
    audits = pool.audits
    if event.audit is not None:
        audits = audits.set(event.audit.share, event.audit)
    return pool.but(
        books=with_result(pool.books, share, event.keys),
        audits=audits,
        results_accepted=pool.results_accepted + 1,
    )


def _result_refused(pool: PoolState, event: events.ResultRefused) -> PoolState:
    miner = pool.miners[event.miner]
    count = miner.refused.get(event.reason, 0) + 1
    miner = miner.but(
        refused=miner.refused.set(event.reason, count),
        conduct=with_points(miner.conduct, POINTS[event.reason], event.at_ms),
    )
    if not event.takes_place:
        return _with(pool, miner)
    return _placed(_round(pool), miner, event.assignment, 0.0, pool)


def _result_stale(pool: PoolState, event: events.ResultStale) -> PoolState:
    miner = pool.miners[event.miner]
    return _with(pool, miner.but(stale=miner.stale + 1))


def _best_confirmed(pool: PoolState, event: events.BestConfirmed) -> PoolState:
    return pool.but(
        round=_round(pool).but(best=event.best),
        shared_bests=pool.shared_bests + 1,
        weak_improvements=pool.weak_improvements + event.best.from_weak_miner,
    )


def _base_arrived(pool: PoolState, event: events.BaseArrived) -> PoolState:
    return pool.but(round=_round(pool).but(base=event.base))


# Pay.


def _share_audited(pool: PoolState, event: events.ShareAudited) -> PoolState:
    audit = pool.audits[event.share]
    books = pool.books
    if event.passed:
        books = with_passed_audit(books, class_of(audit.macs), audit.correct)
    return pool.but(books=books, audits=pool.audits.delete(event.share))


def _work_forfeited(pool: PoolState, event: events.WorkForfeited) -> PoolState:
    audits = pool.audits
    for share, audit in pool.audits.items():
        if audit.miner == event.miner:
            audits = audits.delete(share)
    pool = pool.but(books=with_forfeited(pool.books, event.miner, event.reason), audits=audits)
    miner = pool.miners.get(event.miner)
    if miner is None:
        return pool
    return _with(
        pool, miner.but(work=0, conduct=with_points(miner.conduct, BAN_POINTS, event.at_ms))
    )


def _banned(pool: PoolState, event: events.Banned) -> PoolState:
    miner = pool.miners[event.miner]
    return _with(pool, miner.but(conduct=with_ban(miner.conduct, event.until_ms)))


def _page_closed(pool: PoolState, event: events.PageClosed) -> PoolState:
    books = msgspec.structs.replace(pool.books, page=OpenPage(before=event.page))
    return pool.but(books=books)


def _committed(pool: PoolState, event: events.Committed) -> PoolState:
    return pool.but(promise=event.promise)


def _paid(pool: PoolState, event: events.Paid) -> PoolState:
    return pool.but(books=with_payout(pool.books))


# What several events do.


def _stopped(miner: MinerState, at_ms: int) -> MinerState:
    """The miner without work in hand, the time with it counted."""
    return miner.but(is_working=False, busy_ms=miner.worked_ms(at_ms))


def _placed(
    round_: RoundState, miner: MinerState, assignment_id: int, reward: float, pool: PoolState
) -> PoolState:
    """The next episode of an assignment is done, with this reward in [0, 1]."""
    assignment = miner.assignment(assignment_id)
    if isinstance(assignment.work, Exploration):
        number = assignment.work.search
        search = round_.searches[number]
        search = search.but(rewards=(*search.rewards, reward), curve=search.curve.then(reward))
        free = round_.free
        if number in free:
            free = free.set(number, search.curve.best)
        round_ = round_.but(searches=round_.searches.set(number, search), free=free)
    else:
        miner = _amended(miner, assignment_id, episodes=assignment.episodes + 1)
    return pool.but(miners=pool.miners.set(miner.key, miner), round=round_)


def _given(
    pool: PoolState, event: events.Event, assignment: Assignment, **changes: int
) -> PoolState:
    """The miner has the assignment in hand; `changes` are made to its record as well."""
    miner = pool.miners[assignment.miner]
    # Time without work is not held against the miner's speed.
    since_ms = max(event.at_ms, _round(pool).task.start_ms)
    miner = miner.but(
        given=(*miner.given[1 - KEPT_ASSIGNMENTS :], assignment),
        is_working=True,
        resting="",
        busy_ms=miner.worked_ms(since_ms),
        busy_since_ms=since_ms,
        measured_at_ms=miner.measured_at_ms if miner.is_working else since_ms,
        **changes,
    )
    miners = pool.miners.set(miner.key, miner)
    return pool.but(miners=miners, next_assignment=assignment.id + 1)


def _ids(event: Any) -> tuple[int, bytes]:
    return event.assignment, event.miner


def _amended(miner: MinerState, assignment_id: int, **changes: Any) -> MinerState:
    given = tuple(
        assignment.but(**changes) if assignment.id == assignment_id else assignment
        for assignment in miner.given
    )
    changed: MinerState = miner.but(given=given)
    return changed


def _held(pool: PoolState, number: int, **changes: bytes) -> PoolState:
    """A search with another owner or holder; with a holder, or waiting for one, it is not free."""
    round_ = _round(pool)
    free = round_.free.delete(number) if number in round_.free else round_.free
    searches = round_.searches.set(number, round_.searches[number].but(**changes))
    return pool.but(round=round_.but(searches=searches, free=free))


def _released(pool: PoolState, key: bytes) -> PoolState:
    """The searches in the miner's hands are free for others: its own, and one that it covers."""
    miner = pool.miners[key]
    for number in (miner.own, miner.covers):
        if number is not None:
            pool = _freed(pool, number, key)
    return _with(pool, miner.but(own=None, covers=None))


def _freed(pool: PoolState, number: int, by: bytes) -> PoolState:
    """The miner works no longer on a search; if nobody else does, others may have it."""
    round_ = _round(pool)
    search = round_.searches[number]
    if search.holder not in (by, b""):
        return pool
    searches = round_.searches.set(number, search.but(holder=b""))
    free = round_.free if is_full(search) else round_.free.set(number, search.curve.best)
    return pool.but(round=round_.but(searches=searches, free=free))


def _counted(pool: PoolState, miner: MinerState, change: int) -> PoolState:
    if miner.strength is Strength.STRONG:
        return pool.but(strong=pool.strong + change)
    return pool.but(weak=pool.weak + change)


def _with(pool: PoolState, miner: MinerState) -> PoolState:
    return pool.but(miners=pool.miners.set(miner.key, miner))


def _round(pool: PoolState) -> RoundState:
    if pool.round is None:
        raise ValueError("no round has started")
    return pool.round


def _seed(round_: RoundState, purpose: str, number: int) -> int:
    digest = blake("ponas/pool/seed", round_.seed, purpose.encode(), u64(number))
    return int.from_bytes(digest[:8], "big") % SEED_BOUND


# Looked up by class: a result is applied hundreds of times a second.
_APPLY: Mapping[type, Callable[[PoolState, Any], PoolState]] = {
    events.Joined: _joined,
    events.TurnedAway: _turned_away,
    events.Left: _left,
    events.Restarted: _restarted,
    events.Retyped: _retyped,
    events.RoundOpened: _round_opened,
    events.RoundClosed: _round_closed,
    events.SearchDrawn: _search_drawn,
    events.LeaseGranted: _lease_granted,
    events.LeaseAccepted: _lease_accepted,
    events.LeaseParked: _lease_parked,
    events.LeaseResumed: _lease_resumed,
    events.BackupActivated: _backup_activated,
    events.ExploitationGiven: _exploitation_given,
    events.Rested: _rested,
    events.ResultAccepted: _result_accepted,
    events.ResultRefused: _result_refused,
    events.ResultStale: _result_stale,
    events.BestConfirmed: _best_confirmed,
    events.BaseArrived: _base_arrived,
    events.BackupsDesignated: _backups_designated,
    events.ShareAudited: _share_audited,
    events.WorkForfeited: _work_forfeited,
    events.Banned: _banned,
    events.PageClosed: _page_closed,
    events.Committed: _committed,
    events.Paid: _paid,
}
