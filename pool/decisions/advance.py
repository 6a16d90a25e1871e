"""Events and what follows from them: the one way in which a pool's state moves on.

The manager and the simulator both call `advance`. After a result only the reporting miner's next
step is computed. What may change the steps of many miners makes them due, and whoever holds the
state calls `hand_out` for those in portions, so that nobody waits for ten thousand others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pool.decisions.work import Draw, next_step
from pool.records import events
from pool.records.events import AnyEvent
from pool.records.state import PoolState
from pool.records.strengths import Strength
from pool.records.transition import apply
from pool.rules.strategy import exploiters


class Advanced(NamedTuple):
    """The state after `happened`, all events in order; `due` wait for their next steps."""

    pool: PoolState
    happened: tuple[AnyEvent, ...]
    due: tuple[bytes, ...]


def advance(pool: PoolState, happened: Iterable[AnyEvent], draw: Draw, now_ms: int) -> Advanced:
    """Let events happen, and give their miners what they do next.

    `draw` makes the subspace of a new search.
    """
    was_weak_alone = pool.is_weak_alone
    done: list[AnyEvent] = []
    concerned: list[bytes] = []
    due: list[bytes] = []
    for event in happened:
        pool = apply(pool, event)
        done.append(event)
        if isinstance(event, _OF_ONE_MINER):
            concerned.append(event.miner)
        elif isinstance(event, events.RoundOpened):
            due += (*pool.connected(Strength.STRONG), *pool.connected(Strength.WEAK))
        elif isinstance(event, events.BaseArrived):
            due += exploiters(pool)
    if pool.is_weak_alone is not was_weak_alone:
        weak = pool.connected(Strength.WEAK)
        if pool.is_weak_alone:
            # Ten thousand leases at once would keep everybody waiting, whenever one miner leaves.
            due += weak
        else:
            # At once, because they free the searches that a strong newcomer goes on with.
            concerned = [*weak, *concerned]
    pool, steps = hand_out(pool, concerned, draw, now_ms)
    return Advanced(pool, (*done, *steps), tuple(due))


def hand_out(
    pool: PoolState, keys: Iterable[bytes], draw: Draw, now_ms: int
) -> tuple[PoolState, tuple[AnyEvent, ...]]:
    """The next step of each of these miners, one after the other; the new state and the events."""
    done: list[AnyEvent] = []
    for key in dict.fromkeys(keys):
        for event in next_step(pool, key, draw, now_ms):
            pool = apply(pool, event)
            done.append(event)
    return pool, tuple(done)


# After these the miner may have something else to do.
_OF_ONE_MINER = (
    events.ResultAccepted,
    events.ResultRefused,
    events.Joined,
    events.Retyped,
    events.LeaseResumed,
)
