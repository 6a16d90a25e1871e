"""Who does what: exploration and exploitation (paper section 3.2.4) for one miner at a time.

Strong miners explore a subspace each, weak miners train on from the confirmed best. What a miner
should do follows from the state alone and costs the same however many miners there are.
"""

from __future__ import annotations

from nas.data import published
from pool.records.state import (
    Exploitation,
    Exploration,
    MinerState,
    PoolState,
    Record,
    RoundState,
    Work,
    is_full,
)
from pool.records.strengths import Strength
from pool.rules.appraisal import is_newcomer
from pool.rules.delivery import MIN_BUDGET

NO_ROUND = "no round is open"
NO_BEST_YET = "a weak miner waits for the first confirmed best of the round"


class Rest(Record, frozen=True):
    """Nothing to do, and why."""

    reason: str


Step = Work | Rest


def step_of(pool: PoolState, miner: MinerState) -> Step:
    """What a connected miner should do now.

    An `Exploration` may name the number after the last search: one to be drawn.
    """
    round_ = pool.round
    if round_ is None or not round_.is_open:
        return Rest(NO_ROUND)
    if _explores(pool, round_, miner):
        return Exploration(_search_for(round_, miner))
    if round_.base is None:
        return Rest(NO_BEST_YET)
    return Exploitation(round_.base, _may_have_weights(pool, round_, miner))


def covers_open_search(round_: RoundState, miner: MinerState) -> bool:
    """Whether the miner is a backup on a search that still goes on."""
    return miner.covers is not None and not is_full(round_.searches[miner.covers])


def exploiters(pool: PoolState) -> list[bytes]:
    """The connected miners that train on from a base, once there is one, as they joined."""
    least = MIN_BUDGET if pool.is_weak_alone else 0
    found = [
        miner
        for miner in pool.miners.values()
        if miner.episodes >= least and miner.connected and miner.strength is Strength.WEAK
    ]
    return [miner.key for miner in sorted(found, key=lambda miner: miner.number)]


def _explores(pool: PoolState, round_: RoundState, miner: MinerState) -> bool:
    if miner.strength is Strength.STRONG:
        return True
    if not pool.is_weak_alone:
        return False
    # Weak miners alone take a small lease each, then improve what those have found.
    return round_.base is None or miner.episodes < MIN_BUDGET


def _may_have_weights(pool: PoolState, round_: RoundState, miner: MinerState) -> bool:
    """Whether a miner trains on from the best's weights (consensus F1).

    The data of a standing task are the producer's own, so that weights are worth nothing to anybody
    else. For a published task whoever has them could train an epoch more and commit the model.
    """
    is_published = published.is_name(round_.task.task.dataset)
    return not is_published or not is_newcomer(pool.books.standing(miner.key))


def _search_for(round_: RoundState, miner: MinerState) -> int:
    """The one it covers, else its own, else the best that is free, else a new one."""
    if miner.covers is not None and covers_open_search(round_, miner):
        return miner.covers
    if miner.own is not None and not is_full(round_.searches[miner.own]):
        return miner.own
    if round_.free:
        return round_.free.best
    return len(round_.searches)
