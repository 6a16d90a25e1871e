"""What results and bests change in a pool's records."""

from __future__ import annotations

from pool.proofs.sharelog import Share
from pool.records import events
from pool.records.books import with_result
from pool.records.effects.steps import placed, round_of, with_miner
from pool.records.state import Pending, PoolState
from pool.rules.bans import POINTS, with_points


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


def result_accepted(pool: PoolState, event: events.ResultAccepted) -> PoolState:
    """The result takes its place in its search and in the books."""
    miner = pool.miners[event.miner]
    reward = event.correct / event.size
    round_, given = placed(round_of(pool), miner, event.assignment, reward, event.epochs > 0)
    share = share_of(event, miner.payout_address)
    # What was finished while its manager was away comes all at once.
    current = miner.current
    is_timed = event.epochs > 0 and current is not None and current.id == event.assignment
    miner = miner.but(
        given=given,
        episodes=miner.episodes + 1,
        work=miner.work + event.work,
        best_correct=max(miner.best_correct, event.correct),
        accepted=miner.accepted + 1,
        delivery=miner.delivery.then(1, event.at_ms - miner.measured_at_ms),
        measured_at_ms=event.at_ms,
        budget_results=miner.budget_results + 1,
        rhythm=miner.rhythm.then(miner.worked_ms(event.at_ms), is_timed),
    )
    audits, task = pool.audits, round_of(pool).task
    if event.audit is not None:
        audits = audits.set(event.miner, Pending(event.audit, task.task))
    # Also after an audit that could not be done: what it left unproven are the newest shares.
    waits = event.miner in audits or pool.books.standing(event.miner).unproven
    audited_in = task.round if waits else None
    return pool.but(
        miners=pool.miners.set(miner.key, miner),
        round=round_,
        books=with_result(pool.books, share, event.trainings, audited_in),
        audits=audits,
        results_accepted=pool.results_accepted + 1,
    )


def result_refused(pool: PoolState, event: events.ResultRefused) -> PoolState:
    """The result is held against the miner; its place may be used up."""
    miner = pool.miners[event.miner]
    count = miner.refused.get(event.reason, 0) + 1
    miner = miner.but(
        refused=miner.refused.set(event.reason, count),
        conduct=with_points(miner.conduct, POINTS[event.reason], event.at_ms),
    )
    if not event.takes_place:
        return with_miner(pool, miner)
    round_, given = placed(round_of(pool), miner, event.assignment, 0.0, is_trained=False)
    return with_miner(pool, miner.but(given=given)).but(round=round_)


def result_stale(pool: PoolState, event: events.ResultStale) -> PoolState:
    """Counted apart from what was refused."""
    miner = pool.miners[event.miner]
    return with_miner(pool, miner.but(stale=miner.stale + 1))


def best_confirmed(pool: PoolState, event: events.BestConfirmed) -> PoolState:
    """The round has a new best."""
    return pool.but(
        round=round_of(pool).but(best=event.best),
        shared_bests=pool.shared_bests + 1,
        weak_improvements=pool.weak_improvements + event.best.from_weak_miner,
    )


def base_arrived(pool: PoolState, event: events.BaseArrived) -> PoolState:
    """The round has a new base."""
    return pool.but(round=round_of(pool).but(base=event.base))
