"""What the manager makes of one trained result: its work, suspicions, and whether it is audited.

The rules are those of `pool.rules.worth`, `pace`, `classes` and `audits`; here they meet, in the
order in which a result passes them.
"""

from __future__ import annotations

import msgspec

from nas.data.dataset import DatasetInfo
from nas.designs.design import Design
from nas.training.protocol import Protocol
from pool.records.seen import Seen
from pool.rules.audits import CERTAIN_SHARES, AuditKind, Suspicion, chance, is_drawn, kind_of
from pool.rules.classes import ClassRecord, is_below_floor, is_out_of_line
from pool.rules.pace import Pace, credited, next_round, payable
from pool.rules.worth import ShareKeys, Worth, share_keys, work_of, worth_of


class Reported(msgspec.Struct, frozen=True, gc=False):
    """A result that obeys the rules of reporting.

    `epochs` are new ones; `correct` counts validation images. `is_same_precision` says whether this
    manager computes trainings as the miner does, so that it can repeat an epoch bit by bit.
    """

    design: Design
    training_seed: int
    epochs: int
    correct: int
    model_hash: bytes
    is_same_precision: bool


class UnprovenWork(msgspec.Struct, frozen=True, gc=False):
    """Work of a miner in one round, paid to an address, for which an audit has yet to pass."""

    round: int
    address: bytes
    work: int


class Standing(msgspec.Struct, frozen=True, gc=False):
    """What a miner has at stake: shares since its last failed audit, and since the last payout.

    `streak` leaves out the newest `unproven` ones, for which an audit has yet to pass; what they
    are worth is `unproven_work`, old to new.
    """

    streak: int = 0
    unpaid: int = 0
    pace: Pace = Pace()
    unproven: int = 0
    unproven_work: tuple[UnprovenWork, ...] = ()


class Appraisal(msgspec.Struct, frozen=True, gc=False):
    """`work` is credited for a share, in the unit of `pool.rules.prices`.

    `keys` are to be remembered as paid if there is work. `is_low` says that the count does
    not speak for a trained model of its class.
    """

    worth: Worth
    work: int
    keys: ShareKeys
    suspicions: frozenset[Suspicion]
    is_low: bool


def appraise(
    reported: Reported,
    info: DatasetInfo,
    protocol: Protocol,
    paid: Seen,
    standing: Standing,
    record: ClassRecord,
    elapsed_ms: int,
) -> Appraisal:
    """Appraise a result.

    `paid` are the shares paid before, `record` what is known of the design's class
    (`pool.rules.prices.class_of`), `elapsed_ms` how long the miner had work in hand this round.
    """
    design, epochs = reported.design, reported.epochs
    keys = share_keys(
        design.genotype, reported.training_seed, protocol, epochs, reported.model_hash
    )
    is_low = is_below_floor(record, reported.correct, info.validation, info.classes)
    is_shown = reported.is_same_precision or not is_low
    worth = worth_of(design, epochs, keys, paid, is_shown)
    priced = work_of(worth, design, info, epochs)
    work = payable(standing.pace, priced, elapsed_ms)
    suspicions = set()
    if work < priced:
        suspicions.add(Suspicion.TOO_FAST)
    if is_out_of_line(record, reported.correct):
        suspicions.add(Suspicion.OUT_OF_CLASS)
    return Appraisal(worth, work, keys, frozenset(suspicions), is_low)


def audit_of(
    secret: bytes, share: bytes, reported: Reported, appraisal: Appraisal, standing: Standing
) -> AuditKind | None:
    """How a share with this hash is audited, or None. What is not paid is not audited.

    `standing` is the miner's before the share. Under `secret` see `pool.rules.audits.is_drawn`.
    """
    if appraisal.work == 0:
        return None
    likely = chance(standing.streak, standing.unpaid + 1, appraisal.suspicions)
    if not is_drawn(secret, share, likely):
        return None
    return kind_of(appraisal.is_low, reported.is_same_precision, appraisal.suspicions)


def with_share(standing: Standing, work: int) -> Standing:
    """The standing after a share was credited with `work`; one without work risks nothing.

    No share of the miner is unproven.
    """
    if work == 0:
        return standing
    return Standing(standing.streak + 1, standing.unpaid + 1, credited(standing.pace, work))


def with_unproven_share(standing: Standing, share: UnprovenWork) -> Standing:
    """The standing after a share with work that came while an audit of its miner waited, which it
    may come to be itself."""
    parts = standing.unproven_work
    if not parts:
        parts = (share,)
    elif (last := parts[-1]).round == share.round and last.address == share.address:
        together = UnprovenWork(share.round, share.address, last.work + share.work)
        parts = (*parts[:-1], together)
    else:
        parts = (*parts, share)
    pace = credited(standing.pace, share.work)
    return Standing(standing.streak, standing.unpaid + 1, pace, standing.unproven + 1, parts)


def with_passed_audit(standing: Standing) -> Standing:
    """The standing after an audit of a share that could have been any of the unproven ones."""
    return Standing(standing.streak + standing.unproven, standing.unpaid, standing.pace)


def is_newcomer(standing: Standing) -> bool:
    """Whether a miner has yet to show, by shares that are all audited, that it does the work."""
    return standing.streak < CERTAIN_SHARES


def is_held_back(standing: Standing, owes_answer: bool) -> bool:
    """Whether the miner's unproven work is not paid yet.

    So it is while an audit waits for the miner, or else leaving would be the way out of audits. Who
    is new waits for this manager as well: nothing bounds yet what a newcomer, or anybody in its
    first round, can claim (`pool.rules.pace`). Others are paid, however slow the manager is.
    A commitment is made when its round has ended: who has one past round then is in its first.
    """
    is_new = is_newcomer(standing) or len(standing.pace.past) < 2
    return standing.unproven > 0 and (owes_answer or is_new)


def with_failed_audit(standing: Standing) -> Standing:
    """The standing after a failed audit: every share is audited again, as of a newcomer."""
    return Standing(0, 0, standing.pace)


def with_payout(standing: Standing) -> Standing:
    """The standing after a block has paid all shares: nothing is left to lose."""
    return Standing(standing.streak, 0, standing.pace, standing.unproven, standing.unproven_work)


def with_next_round(standing: Standing, elapsed_ms: int) -> Standing:
    """The standing when a round ends in which the miner had work in hand for `elapsed_ms`."""
    return Standing(
        standing.streak,
        standing.unpaid,
        next_round(standing.pace, elapsed_ms),
        standing.unproven,
        standing.unproven_work,
    )
