"""A round's beginning."""

from __future__ import annotations

from node.chain.hashing import blake, u64
from pool.decisions.admission import forgettable
from pool.decisions.members import decide_retype
from pool.records import events
from pool.records.events import AnyEvent
from pool.records.state import PoolState, RoundTask
from pool.records.strengths import Strength


def decide_open(
    pool: PoolState, task: RoundTask, secret: bytes, now_ms: int
) -> tuple[AnyEvent, ...]:
    """Begin a round, with every miner typed by what it has delivered; an earlier one is closed.

    All draws follow from `secret` and the round's number. Nothing happens when this very round is
    open already, as after a restart, or closed: its best is still to be committed.
    """
    task = task.but(start_ms=max(task.start_ms, now_ms))
    if pool.round is not None and is_same_job(pool.round.task, task):
        return ()
    seed = blake("ponas/pool/round", secret, u64(task.round))
    connected = [miner for miner in pool.miners.values() if miner.connected]
    miners = sorted(connected, key=lambda miner: miner.number)
    decided = [decide_retype(pool, miner, task.phase_ms, now_ms) for miner in miners]
    retyped = [event for event in decided if event is not None]
    gained = sum(1 if event.strength is Strength.STRONG else -1 for event in retyped)
    explorers = pool.strong + gained or len(miners) or 1
    return (
        *close_stale(pool, task, now_ms),
        *retyped,
        events.RoundOpened(now_ms, task, seed, explorers, forgettable(pool, now_ms)),
    )


def close_stale(pool: PoolState, task: RoundTask, now_ms: int) -> tuple[AnyEvent, ...]:
    """End an earlier round that is still open, as after a restart beyond its end."""
    if pool.round is None or not pool.round.is_open or pool.round.task.round == task.round:
        return ()
    return (events.RoundClosed(now_ms),)


def blobs_due(pool: PoolState) -> frozenset[bytes]:
    """Hashes of the models and weights that are still needed when a round begins: the promised
    model, and what audited shares were trained on from."""
    trained_from = {pending.audit.weights_hash for pending in pool.audits.values()}
    due = trained_from - {b""}
    return frozenset(due if pool.promise is None else due | {pool.promise.model_hash})


def is_same_job(one: RoundTask, other: RoundTask) -> bool:
    """Whether two tasks ask for the same search, whatever their times."""
    return (one.round, one.task, one.space) == (other.round, other.task, other.space)
