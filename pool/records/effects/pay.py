"""What audits, pages and promises change in a pool's records."""

from __future__ import annotations

import msgspec

from pool.proofs.openpage import OpenPage
from pool.records import events
from pool.records.books import with_forfeited, with_passed_audit, with_payout, with_proven
from pool.records.effects.steps import with_miner
from pool.records.state import KEPT_PROMISES, PoolState
from pool.rules.audits import Fault
from pool.rules.bans import BAN_POINTS, FLOOD_POINTS, with_ban, with_points
from pool.rules.prices import class_of


def share_audited(pool: PoolState, event: events.ShareAudited) -> PoolState:
    """The audit is done; a passed one says what designs of the class reach, and proves the miner's
    shares, unless another one has taken its place meanwhile, and is to be audited."""
    audit, audits = event.audit, pool.audits
    books = pool.books
    if event.passed:
        books = with_passed_audit(books, class_of(audit.macs), audit.correct)
    pending = audits.get(audit.miner)
    if pending is not None and pending.audit.share == audit.share:
        audits = audits.delete(audit.miner)
        if event.passed:
            books = with_proven(books, audit.miner)
    return pool.but(books=books, audits=audits)


def work_forfeited(pool: PoolState, event: events.WorkForfeited) -> PoolState:
    """The miner's work is gone, and whatever was still to be audited of it.

    Only what can be no accident is held against it: an honest miner may be away for long.
    """
    audits = pool.audits
    if event.miner in audits:
        audits = audits.delete(event.miner)
    pool = pool.but(books=with_forfeited(pool.books, event.miner, event.reason), audits=audits)
    miner = pool.miners.get(event.miner)
    if miner is None:
        return pool
    points = 0 if event.reason == Fault.OVERDUE else BAN_POINTS
    conduct = with_points(miner.conduct, points, event.at_ms)
    # A lease that was broken has been shown; the others still bind.
    leases = () if event.evidence else miner.leases
    return with_miner(pool, miner.but(work=0, leases=leases, conduct=conduct))


def flooded(pool: PoolState, event: events.Flooded) -> PoolState:
    """The flood is held against the miner."""
    miner = pool.miners[event.miner]
    conduct = with_points(miner.conduct, FLOOD_POINTS, event.at_ms)
    return with_miner(pool, miner.but(conduct=conduct))


def banned(pool: PoolState, event: events.Banned) -> PoolState:
    """The miner's points start anew, and its next ban is longer."""
    miner = pool.miners[event.miner]
    return with_miner(pool, miner.but(conduct=with_ban(miner.conduct, event.until_ms)))


def page_closed(pool: PoolState, event: events.PageClosed) -> PoolState:
    """The share log goes on on an empty page."""
    books = msgspec.structs.replace(pool.books, page=OpenPage(before=event.page))
    return pool.but(books=books)


def committed(pool: PoolState, event: events.Committed) -> PoolState:
    """The pool has a promise to keep."""
    return pool.but(promises=(*pool.promises, event.promise)[-KEPT_PROMISES:])


def paid(pool: PoolState, event: events.Paid) -> PoolState:
    """Nothing of the work in the window can be lost any more."""
    return pool.but(books=with_payout(pool.books), paid_round=event.round)
