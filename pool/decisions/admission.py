"""Whom a pool lets in, and whom it sends away or forgets when there are too many.

Keys cost nothing, so that strangers can come in any number. Who has shown its work by proven shares
finds a place all the same, and strangers that bring nothing make room for others.
"""

from __future__ import annotations

from node.chain.hashing import HASH_BYTES
from pool.records import events
from pool.records.state import MinerState, PoolState
from pool.rules.appraisal import is_newcomer
from pool.rules.bans import VISITS_A_MINUTE, faded, visits_too_often

MAX_CONNECTED = 12_000
"""Miners served at a time."""

RESERVED = 2_000
"""Of these places, those that are kept for miners with ten proven shares since their last failed
audit."""

MAX_KNOWN = 50_000
"""Miners remembered, connected or not."""

SPARE = 5_000
"""Miners that may be met until the next look at those that can be forgotten."""

IDLE_MS = 600_000
"""How long a stranger without any paid share may hold a place that others want."""


def refuse_join(pool: PoolState, key: bytes, now_ms: int) -> tuple[str, str] | None:
    """Why a miner that has proved its key may not join now: a stable word and a sentence."""
    known = pool.miners.get(key)
    is_one_more = known is None or not known.connected
    is_stranger = is_newcomer(pool.books.standing(key))
    places = MAX_CONNECTED - RESERVED if is_stranger else MAX_CONNECTED
    if is_one_more and pool.strong + pool.weak >= places:
        return "pool-full", f"the pool serves {places} such miners at most"
    if known is None:
        if len(pool.miners) >= MAX_KNOWN:
            return "pool-full", f"the pool has met {MAX_KNOWN} miners of late, and knows no more"
        return None
    left_ms = known.conduct.banned_until_ms - now_ms
    if left_ms > 0:
        return "banned", f"the miner is banned for another {left_ms} ms"
    if visits_too_often(known.conduct, now_ms):
        return "reconnects-too-often", f"at most {VISITS_A_MINUTE} registrations a minute"
    return None


def is_idle(pool: PoolState, miner: MinerState, connected_ms: int) -> bool:
    """Whether a miner that has been connected for so long, and has no share with work since it
    joined or failed an audit, has to make room for others."""
    phase_ms = 0 if pool.round is None else pool.round.task.phase_ms
    is_full = pool.strong + pool.weak >= MAX_CONNECTED - RESERVED
    # What is accepted may have cost nothing: failures are only claimed.
    standing = pool.books.standing(miner.key)
    has_worked = standing.streak + standing.unproven > 0
    return is_full and not has_worked and connected_ms > max(IDLE_MS, 2 * phase_ms)


def forgettable(pool: PoolState, now_ms: int) -> tuple[bytes, ...]:
    """Miners that have left and have no work in the books, no audit and no ban to remember."""
    gone = {
        key
        for key, miner in pool.miners.items()
        if not (miner.connected or miner.is_awaited)
        and miner.conduct.banned_until_ms <= now_ms
        and faded(miner.conduct, now_ms) == 0
    }
    return _without_stakes(pool, gone)


def decide_forgotten(pool: PoolState, now_ms: int) -> events.Forgotten | None:
    """Forget strangers that have left, before so many are known that nobody new is let in.

    A ban is forgotten as well: a new key costs no more. Looks at every miner, when there are many.
    """
    if len(pool.miners) < MAX_KNOWN - SPARE:
        return None
    gone = {
        key
        for key, miner in pool.miners.items()
        if not (miner.connected or miner.is_awaited or miner.own is not None)
    }
    strangers = _without_stakes(pool, gone)
    return events.Forgotten(now_ms, strangers) if strangers else None


def _without_stakes(pool: PoolState, gone: set[bytes]) -> tuple[bytes, ...]:
    if not gone:
        return ()
    for work in (pool.books.earned, *(round_.work for round_ in pool.books.past)):
        gone.difference_update(who[:HASH_BYTES] for who in work)
    gone.difference_update(pool.audits)
    if pool.round is not None and pool.round.best is not None:
        gone.discard(pool.round.best.finder)
    return tuple(sorted(gone))
