"""A round's beginning."""

from __future__ import annotations

from node.chain.hashing import blake, u64
from pool.decisions.members import decide_retype
from pool.records import events
from pool.records.events import AnyEvent
from pool.records.state import PoolState, RoundTask


def decide_open(
    pool: PoolState, task: RoundTask, secret: bytes, now_ms: int
) -> tuple[AnyEvent, ...]:
    """Begin a round, with every miner typed by what it has delivered.

    All draws follow from `secret` and the round's number. Nothing happens when this very round is
    open already, as after a restart.
    """
    task = task.but(start_ms=max(task.start_ms, now_ms))
    if pool.round is not None and pool.round.is_open and is_same_job(pool.round.task, task):
        return ()
    seed = blake("ponas/pool/round", secret, u64(task.round))
    phase_ms = task.train_end_ms - task.start_ms
    miners = sorted(pool.miners.values(), key=lambda miner: miner.number)
    retyped = (decide_retype(pool, miner, phase_ms, now_ms) for miner in miners)
    return (
        *(event for event in retyped if event is not None),
        events.RoundOpened(now_ms, task, seed, max(1, pool.strong or pool.weak)),
    )


def is_same_job(one: RoundTask, other: RoundTask) -> bool:
    """Whether two tasks ask for the same search, whatever their times."""
    return (one.round, one.task, one.space) == (other.round, other.task, other.space)
