"""What a round's opening and closing change in a pool's records: all miners take part."""

from __future__ import annotations

from pool.records import events
from pool.records.books import with_round_ended, without_standings
from pool.records.state import Best, PoolState, RoundState
from pool.records.tables import refilled
from pool.rules.rhythm import Rhythm


def round_opened(pool: PoolState, event: events.RoundOpened) -> PoolState:
    """A fresh round; miners keep what they are known for.

    If it is the same one, for another job, its work and the time for it go on in the books.
    """
    is_same = _is_open(pool, event.task.round)
    forgotten = frozenset(event.forgotten)
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
            busy_ms=miner.worked_ms(event.at_ms) if is_same else 0,
            rhythm=Rhythm(last_ms=miner.worked_ms(event.at_ms) if is_same else 0),
        )
        for key, miner in pool.miners.items()
        if key not in forgotten
    }
    return pool.but(
        miners=refilled(pool.miners, miners),
        books=without_standings(pool.books, event.forgotten),
        last_best=_best_before(pool, event.task.round),
        round=RoundState(
            event.task,
            event.seed,
            event.explorers,
            pool.next_assignment,
            searches=refilled(pool.miners, {}),
        ),
    )


def _is_open(pool: PoolState, number: int) -> bool:
    return pool.round is not None and pool.round.is_open and pool.round.task.round == number


def _best_before(pool: PoolState, number: int) -> Best | None:
    """The best of the round before `number`."""
    if pool.round is not None and pool.round.task.round == number:
        return pool.last_best
    is_next = pool.round is not None and pool.round.task.round == number - 1
    return pool.round.best if pool.round is not None and is_next else None


def round_closed(pool: PoolState, event: events.RoundClosed) -> PoolState:
    """Nobody has work in hand, and the round goes into the books."""
    if pool.round is None:
        return pool
    end_ms = min(event.at_ms, pool.round.task.train_end_ms)
    # Time without a result counts as well: silence is slow.
    miners = {
        key: miner.but(
            is_working=False,
            busy_ms=miner.worked_ms(end_ms),
            delivery=miner.delivery.then(0, end_ms - miner.measured_at_ms),
        )
        if miner.is_working
        else miner
        for key, miner in pool.miners.items()
    }
    worked_ms = {key: miner.busy_ms for key, miner in miners.items()}
    books = with_round_ended(pool.books, pool.round.task.round, worked_ms)
    return pool.but(
        miners=refilled(pool.miners, miners), books=books, round=pool.round.but(is_open=False)
    )
