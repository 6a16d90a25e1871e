"""What one miner gets to do next, as the events that make it so."""

from __future__ import annotations

from collections.abc import Callable

from pool.partition.base import Subspace
from pool.records import events
from pool.records.events import AnyEvent
from pool.records.state import (
    Exploitation,
    Exploration,
    MinerState,
    PoolState,
    RoundState,
    Work,
    continued,
)
from pool.rules.delivery import adapted_budget, episode_budget
from pool.rules.strategy import Rest, Step, step_of

Draw = Callable[[RoundState, int], Subspace]
"""Makes the subspace of a search of the round, by its number."""


def next_step(pool: PoolState, key: bytes, draw: Draw, now_ms: int) -> tuple[AnyEvent, ...]:
    """Give a miner its next piece of work or let it rest; nothing if it is to go on as it does.

    Who was due may have left since then, and even be forgotten: then nothing, too.
    """
    miner, round_ = pool.miners.get(key), pool.round
    if miner is None or not miner.connected:
        return ()
    step, current = step_of(pool, miner), miner.current
    if current is not None and _is_same(current.work, step):
        return ()
    if round_ is None or isinstance(step, Rest):
        return _rest(miner, step, now_ms)
    if isinstance(step, Exploitation):
        return (events.ExploitationGiven(now_ms, key, pool.next_assignment, step),)
    return _explore(pool, round_, miner, step.search, draw, now_ms)


def lease_budget(miner: MinerState, round_: RoundState, now_ms: int) -> int:
    """Episodes that the manager counts on when it gives the miner a lease now."""
    left_ms = round_.task.train_end_ms - max(now_ms, round_.task.start_ms)
    wanted = episode_budget(miner.delivery, left_ms)
    return adapted_budget(miner.budget, miner.budget_results, wanted)


def backup_activated(
    pool: PoolState, backup: MinerState, number: int, now_ms: int
) -> events.BackupActivated:
    """A miner goes on with another's search. Raises ValueError when no round has started."""
    if pool.round is None:
        raise ValueError("no round has started")
    search = pool.round.searches[number]
    return events.BackupActivated(
        now_ms,
        backup.key,
        pool.next_assignment,
        number,
        search.owner,
        len(continued(search, backup.key).rewards),
        lease_budget(backup, pool.round, now_ms),
    )


def _rest(miner: MinerState, step: object, now_ms: int) -> tuple[AnyEvent, ...]:
    if not isinstance(step, Rest) or (miner.current is None and miner.resting == step.reason):
        return ()
    return (events.Rested(now_ms, miner.key, step.reason),)


def _explore(
    pool: PoolState, round_: RoundState, miner: MinerState, number: int, draw: Draw, now_ms: int
) -> tuple[AnyEvent, ...]:
    if miner.covers == number:
        return (backup_activated(pool, miner, number, now_ms),)
    happened: list[AnyEvent] = []
    if miner.covers is not None:
        happened.append(events.LeaseResumed(now_ms, miner.key, miner.covers))
    drawn = None if number in round_.searches else draw(round_, number)
    budget = lease_budget(miner, round_, now_ms)
    happened.append(
        events.LeaseGranted(now_ms, miner.key, pool.next_assignment, number, budget, drawn)
    )
    return tuple(happened)


def _is_same(current: Work, step: Step) -> bool:
    if isinstance(current, Exploration):
        return current == step
    return (
        isinstance(step, Exploitation)
        and current.base.model_hash == step.base.model_hash
        and current.gives_weights is step.gives_weights
    )
