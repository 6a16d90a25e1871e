"""How the manager's records change: each event makes a new `PoolState` from the old one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from nas.data.datasets import describe
from nas.designs.space import Space
from nas.jobs import SEED_BOUND
from node.chain.hashing import blake, u64
from pool.records.state import (
    Assignment,
    Best,
    Exploration,
    MinerState,
    PoolState,
    Refusal,
    RoundState,
    RoundTask,
    Search,
    Strength,
    Work,
)
from pool.rules.reports import Checked, next_episode
from pool.rules.shares import share_key, work_of
from pool.rules.strategy import resolve_strength


def joined(
    pool: PoolState, key: bytes, payout_address: bytes, declared: Strength, now_ms: int
) -> PoolState:
    """A miner has registered, for the first time or again."""
    known = pool.miners.get(key) or MinerState(key, payout_address, declared, declared, "")
    miner = replace(known, payout_address=payout_address, declared=declared, connected=True)
    miner = _resolved(miner, _remaining_ms(pool, now_ms))
    # What an earlier connection had in hand is handed out anew.
    return rested(replace(pool, miners={**pool.miners, key: miner}), key)


def left(pool: PoolState, key: bytes) -> PoolState:
    """A miner's connection has ended; its shares and its search stay."""
    return rested(_with_miner(pool, key, connected=False), key)


def started(pool: PoolState, task: RoundTask, seed: bytes, now_ms: int) -> PoolState:
    """A round begins; miners that declared `auto` are typed anew by what they delivered."""
    round_seed = blake("ponas/pool/round", seed, u64(task.round))
    remaining_ms = max(0, task.train_end_ms - now_ms)
    miners = {
        key: replace(_resolved(miner, remaining_ms), episodes=0, work=0, best_correct=0)
        for key, miner in pool.miners.items()
    }
    return replace(pool, round=RoundState(task, round_seed, pool.next_assignment), miners=miners)


def closed(pool: PoolState) -> PoolState:
    """The train phase is over; the round's records stay until the next one starts."""
    if pool.round is None:
        return pool
    return replace(pool, round=replace(pool.round, is_open=False, current={}))


def rested(pool: PoolState, key: bytes) -> PoolState:
    """The miner has nothing in hand."""
    if pool.round is None or key not in pool.round.current:
        return pool
    current = {other: id_ for other, id_ in pool.round.current.items() if other != key}
    return replace(pool, round=replace(pool.round, current=current))


def assigned(
    pool: PoolState, key: bytes, work: Work, draw_subspace: Callable[[int], Space], now_ms: int
) -> PoolState:
    """The miner gets a piece of work; `draw_subspace` makes the subspace of a new search.

    Raises ValueError when no round is open.
    """
    round_ = pool.round
    if round_ is None or not round_.is_open:
        raise ValueError("work is assigned only while a round is open")
    searches = list(round_.searches)
    if isinstance(work, Exploration):
        if work.search == len(searches):
            subspace = draw_subspace(work.search)
            searches.append(Search(subspace, _seed(round_, "search", work.search), key))
        searches[work.search] = replace(searches[work.search], holder=key)
        seed = searches[work.search].seed
    else:
        seed = _seed(round_, "exploitation", pool.next_assignment)
    assignment = Assignment(pool.next_assignment, key, work, seed)
    if key not in round_.current:
        # Time without work is not held against the miner's speed.
        pool = _with_miner(pool, key, measured_at_ms=now_ms)
    round_ = replace(
        round_,
        searches=tuple(searches),
        assignments={**round_.assignments, assignment.id: assignment},
        current={**round_.current, key: assignment.id},
    )
    return replace(pool, round=round_, next_assignment=assignment.id + 1)


def accepted(pool: PoolState, checked: Checked, now_ms: int) -> PoolState:
    """A result counts: it takes its place, and its work is credited once."""
    round_, report = _open_round(pool), checked.report
    key = share_key(checked.design.genotype, report.training_seed)
    epochs = report.epochs if checked.is_trained else 0
    info = describe(round_.task.task.dataset)
    work = work_of(checked.design, info, epochs, key in round_.paid)
    miner = pool.miners[checked.assignment.miner]
    if work:
        earned = round_.work.get(miner.payout_address, 0) + work
        round_ = replace(
            round_,
            paid=round_.paid | {key},
            work={**round_.work, miner.payout_address: earned},
        )
    pool = _with_miner(
        replace(pool, round=round_, results_accepted=pool.results_accepted + 1),
        miner.key,
        episodes=miner.episodes + 1,
        work=miner.work + work,
        best_correct=max(miner.best_correct, report.correct),
        accepted=miner.accepted + 1,
        measured_results=miner.measured_results + 1,
        measured_ms=miner.measured_ms + max(0, now_ms - miner.measured_at_ms),
        measured_at_ms=now_ms,
    )
    return placed(pool, checked.assignment.id, report.correct / report.size)


def placed(pool: PoolState, assignment_id: int, reward: float) -> PoolState:
    """The next episode of an assignment is done, with this reward in [0, 1]."""
    round_ = _open_round(pool)
    assignment = round_.assignments[assignment_id]
    if isinstance(assignment.work, Exploration):
        searches = list(round_.searches)
        search = searches[assignment.work.search]
        searches[assignment.work.search] = replace(search, rewards=(*search.rewards, reward))
        return replace(pool, round=replace(round_, searches=tuple(searches)))
    done = replace(assignment, episodes=next_episode(round_, assignment) + 1)
    assignments = {**round_.assignments, assignment_id: done}
    return replace(pool, round=replace(round_, assignments=assignments))


def turned_away(pool: PoolState, reason: str) -> PoolState:
    """A connection did not register as it must; counted by the rule that it broke."""
    counts = pool.turned_away
    return replace(pool, turned_away={**counts, reason: counts.get(reason, 0) + 1})


def refused(pool: PoolState, key: bytes, reason: Refusal) -> PoolState:
    """A result was refused; counted for the miner by its reason."""
    counts = pool.miners[key].refused
    return _with_miner(pool, key, refused={**counts, reason: counts.get(reason, 0) + 1})


def came_late(pool: PoolState, key: bytes) -> PoolState:
    """A result was right but too late."""
    return _with_miner(pool, key, stale=pool.miners[key].stale + 1)


def confirmed(pool: PoolState, best: Best) -> PoolState:
    """A new best of the round, confirmed by exact evaluation and about to be shared."""
    return replace(
        pool,
        round=replace(_open_round(pool), best=best),
        shared_bests=pool.shared_bests + 1,
        weak_improvements=pool.weak_improvements + best.from_weak_miner,
    )


def with_base(pool: PoolState, best: Best) -> PoolState:
    """The weights of a confirmed best have arrived: weak miners train on from them.

    Nothing changes when a better one's came first.
    """
    round_ = _open_round(pool)
    if round_.base is not None and round_.base.correct >= best.correct:
        return pool
    return replace(pool, round=replace(round_, base=best))


def _open_round(pool: PoolState) -> RoundState:
    if pool.round is None:
        raise ValueError("no round has started")
    return pool.round


def _with_miner(pool: PoolState, key: bytes, **changes: Any) -> PoolState:
    return replace(pool, miners={**pool.miners, key: replace(pool.miners[key], **changes)})


def _resolved(miner: MinerState, remaining_ms: int) -> MinerState:
    strength, reason = resolve_strength(
        miner.declared, miner.measured_results, miner.measured_ms, remaining_ms
    )
    return replace(miner, strength=strength, strength_reason=reason)


def _remaining_ms(pool: PoolState, now_ms: int) -> int:
    if pool.round is None or not pool.round.is_open:
        # Judged anew when the round starts; until then by a phase of no length.
        return 0
    return max(0, pool.round.task.train_end_ms - now_ms)


def _seed(round_: RoundState, purpose: str, number: int) -> int:
    digest = blake("ponas/pool/seed", round_.seed, purpose.encode(), u64(number))
    return int.from_bytes(digest[:8], "big") % SEED_BOUND
