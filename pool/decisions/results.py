"""What becomes of a result that was judged."""

from __future__ import annotations

from nas.data.datasets import describe
from nas.training.protocol import Protocol, precision_on
from node.chain.hashing import u64
from pool.records import events
from pool.records.events import AnyEvent
from pool.records.state import (
    Audit,
    Best,
    Exploitation,
    Exploration,
    PoolState,
    RoundTask,
)
from pool.records.strengths import Strength
from pool.rules import appraisal
from pool.rules.audits import AuditKind, epoch_to_repeat, precedes
from pool.rules.classes import ClassRecord
from pool.rules.prices import class_of
from pool.rules.reports import Checked, Refused, Report

MAX_FRUITLESS = 128
"""Results without training that a miner may hand in of a search, one after the other."""

PRECISION = precision_on("cpu")
"""How a manager computes trainings that it repeats: on a CPU, which every manager has, so that it
can repeat what was trained on one."""


def decide_acceptance(
    pool: PoolState, checked: Checked, secret: bytes, is_confirmed: bool, now_ms: int
) -> events.ResultAccepted:
    """A result counts: its work is what the rules say, and it may be drawn to be audited.

    `secret` is the manager's, for the draw. A model that it has counted needs no other audit.
    Raises ValueError when no round has started.
    """
    round_, report = pool.round, checked.report
    if round_ is None:
        raise ValueError("no round has started")
    miner = pool.miners[checked.assignment.miner]
    task, info = round_.task.task, describe(round_.task.task.dataset)
    standing = pool.books.standing(miner.key)
    reported = appraisal.Reported(
        checked.design,
        report.training_seed,
        report.epochs,
        report.correct,
        report.model_hash,
        report.precision == PRECISION,
    )
    found = appraisal.appraise(
        reported,
        info,
        Protocol(task.protocol),
        pool.books.seen,
        standing,
        pool.books.classes.get(class_of(checked.design.macs), ClassRecord()),
        miner.worked_ms(now_ms),
    )
    audit = None
    if found.work and not is_confirmed:
        share = _share_id(report, miner.key)
        kind = appraisal.audit_of(secret, share, reported, found, standing)
        pending = pool.audits.get(miner.key)
        if kind is not None and (pending is None or precedes(secret, share, pending.audit.share)):
            audit = _audit(share, kind, checked, secret)
    return events.ResultAccepted(
        now_ms,
        miner.key,
        report.assignment_id,
        report.episode,
        report.genotype,
        report.training_seed,
        report.correct,
        report.size,
        report.epochs,
        report.model_hash,
        found.work,
        found.worth,
        found.keys.trainings if found.work else (),
        tuple(sorted(found.suspicions)),
        is_confirmed,
        audit,
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


def decide_fruitless(pool: PoolState, key: bytes, now_ms: int) -> tuple[AnyEvent, ...]:
    """Give a search to others whose miner trains nothing of it; nothing if it does.

    Designs that need no training are found at no cost, and failures are only claimed: so many in a
    row could be anybody's invention. An honest miner in a barren subspace loses no more than the
    rest of its round's exploration.
    """
    round_, current = pool.round, pool.miners[key].current
    if round_ is None or current is None or not isinstance(current.work, Exploration):
        return ()
    number = current.work.search
    search = round_.searches[number]
    if search.fruitless < MAX_FRUITLESS or search.tried_by != key:
        return ()
    reason = f"{search.fruitless} results in a row came without any training"
    return (
        events.SearchGivenUp(now_ms, key, number, search.fruitless),
        events.Retyped(now_ms, key, Strength.WEAK, reason),
    )


def decide_stale(report: Report, miner: bytes, detail: str, now_ms: int) -> events.ResultStale:
    """A result was right but too late."""
    return events.ResultStale(now_ms, miner, report.assignment_id, report.episode, detail)


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


def _share_id(report: Report, miner: bytes) -> bytes:
    """What the draw for an audit is made by: unlike any other share's, and with its model."""
    place = u64(report.assignment_id) + u64(report.episode)
    return miner + place + report.model_hash


def _audit(share: bytes, kind: AuditKind, checked: Checked, secret: bytes) -> Audit:
    report, work = checked.report, checked.assignment.work
    counted = Audit(
        share,
        checked.assignment.miner,
        kind,
        report.genotype,
        report.training_seed,
        report.correct,
        report.epochs,
        report.model_hash,
        checked.design.macs,
    )
    if kind is AuditKind.COUNT:
        return counted
    epoch = epoch_to_repeat(secret, share, max(1, len(report.states) - 1))
    return counted.but(
        epoch=epoch,
        states=report.states[epoch : epoch + 2],
        weights_hash=work.weights_hash if isinstance(work, Exploitation) else b"",
    )
