"""What becomes of a result that was judged."""

from __future__ import annotations

from nas.data.datasets import describe
from pool.records import events
from pool.records.state import Best, PoolState, RoundState, RoundTask, Strength
from pool.rules.reports import Checked, Refused, Report
from pool.rules.shares import share_key, work_of


def decide_acceptance(round_: RoundState, checked: Checked, now_ms: int) -> events.ResultAccepted:
    """A result counts; its work is what the rules say, and paid once."""
    report, design = checked.report, checked.design
    share = share_key(design.genotype, report.training_seed)
    epochs = report.epochs if checked.is_trained else 0
    info = describe(round_.task.task.dataset)
    return events.ResultAccepted(
        now_ms,
        checked.assignment.miner,
        report.assignment_id,
        report.episode,
        report.genotype,
        report.training_seed,
        report.correct,
        report.size,
        epochs,
        report.model_hash,
        share,
        work_of(design, info, epochs, share in round_.paid),
    )


def decide_refusal(
    report: Report, miner: bytes, refusal: Refused, now_ms: int
) -> events.ResultRefused:
    """A result does not count, by one of the rules."""
    return events.ResultRefused(
        now_ms,
        miner,
        report.assignment_id,
        report.episode,
        refusal.reason,
        refusal.detail,
        refusal.takes_place,
    )


def best_of(pool: PoolState, checked: Checked) -> Best:
    """The record of a result whose count was confirmed."""
    report, finder = checked.report, checked.assignment.miner
    return Best(
        genotype=checked.design.genotype,
        training_seed=report.training_seed,
        correct=report.correct,
        size=report.size,
        finder=finder,
        model_hash=report.model_hash,
        weights_hash=report.weights_hash,
        from_weak_miner=pool.miners[finder].strength is Strength.WEAK,
    )


def decide_stale(report: Report, miner: bytes, detail: str, now_ms: int) -> events.ResultStale:
    """A result was right but too late."""
    return events.ResultStale(now_ms, miner, report.assignment_id, report.episode, detail)


def decide_base(
    pool: PoolState, task: RoundTask, best: Best, now_ms: int
) -> events.BaseArrived | None:
    """The weights of a best of `task` are here; None if it is over or a better base was first."""
    round_ = pool.round
    if round_ is None or round_.task != task or not round_.is_open:
        return None
    if round_.base is not None and round_.base.correct >= best.correct:
        return None
    return events.BaseArrived(now_ms, best)
