"""Shares, audits and pay of a simulated pool, by the rules of `pool.rules`.

The pool wins every round in which it has a best. Audits happen at once: how long they wait for the
manager's evaluation capacity is not simulated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nas.data.datasets import describe
from nas.training.protocol import Protocol
from node.chain.hashing import blake, u64
from pool.rules.appraisal import (
    Delivery,
    Standing,
    appraise,
    audit_of,
    with_failed_audit,
    with_next_round,
    with_payout,
    with_share,
)
from pool.rules.audits import AuditKind, Fault
from pool.rules.classes import ClassRecord, audited
from pool.rules.payout import payout_lines
from pool.rules.prices import class_of
from pool.rules.window import LOG_ROUNDS, Credit, RoundWork, forfeit, window, work_by_address
from pool.simulation.miners import TASK, Claim

MANAGER = bytes(32)
"""Payout address of the manager, which is paid only when nobody has work."""

_INFO = describe(TASK.dataset)
_PROTOCOL = Protocol(TASK.protocol)

# What counting a model shows; other faults show only when an epoch is repeated.
_SEEN_BY_COUNT = (Fault.MODEL_MISSING, Fault.MODEL_FORMAT, Fault.COUNT_DIFFERS)


@dataclass(slots=True)
class Book:
    """What the manager keeps of one miner, which has had work since `began_ms` of the round.

    `credit` is its work in the round.
    """

    standing: Standing = field(default_factory=Standing)
    began_ms: int = 0
    credit: int = 0
    audits: int = 0
    forfeits: int = 0


class Accounts:
    """The books of a manager, whose `secret` draws its audits."""

    def __init__(self, secret: bytes) -> None:
        self.books: dict[bytes, Book] = {}
        self._secret = secret
        self._rounds: tuple[RoundWork, ...] = ()
        self._paid: set[bytes] = set()
        self._records: dict[int, ClassRecord] = {}
        self._shares = 0

    def open_round(self, now_ms: int) -> None:
        """A round begins."""
        self._paid.clear()
        for book in self.books.values():
            book.began_ms, book.credit = now_ms, 0

    def accept(self, miner: bytes, claim: Claim, now_ms: int) -> int:
        """Enter an accepted result; the work that it is credited, perhaps until an audit."""
        book = self.books.setdefault(miner, Book(began_ms=now_ms - claim.busy_ms))
        size_class = class_of(claim.design.macs)
        record = self._records.get(size_class, ClassRecord())
        epochs = TASK.epochs if claim.design.feasible else 0
        delivery = Delivery(
            claim.design, claim.training_seed, epochs, claim.correct, claim.model_hash, True
        )
        elapsed_ms = now_ms - book.began_ms
        appraisal = appraise(
            delivery, _INFO, _PROTOCOL, self._paid, book.standing, record, elapsed_ms
        )
        if appraisal.work == 0:
            return 0
        self._shares += 1
        share = blake("ponas/pool/simulation/share", u64(self._shares))
        audit = audit_of(self._secret, share, delivery, appraisal, book.standing)
        self._paid |= {appraisal.keys.training, appraisal.keys.model}
        book.standing = with_share(book.standing, appraisal.work)
        book.credit += appraisal.work
        if audit is not None:
            book.audits += 1
            if _is_caught(claim, audit):
                self.forfeit(miner)
            else:
                self._records[size_class] = audited(record, claim.correct)
        return appraisal.work

    def forfeit(self, miner: bytes) -> None:
        """The miner loses its work in the window and its streak."""
        book = self.books[miner]
        book.standing, book.credit = with_failed_audit(book.standing), 0
        book.forfeits += 1
        self._rounds = forfeit(self._rounds, miner)

    def close_round(self, number: int, finder: bytes | None, now_ms: int) -> Mapping[bytes, int]:
        """End a round; the weights that its block pays by address, none without a best."""
        credits = tuple(
            Credit(key, key, book.credit) for key, book in self.books.items() if book.credit
        )
        self._rounds = (*self._rounds, RoundWork(number, credits))[-LOG_ROUNDS:]
        for book in self.books.values():
            book.standing = with_next_round(book.standing, now_ms - book.began_ms)
            if finder is not None:
                book.standing = with_payout(book.standing)
        if finder is None:
            return {}
        lines = payout_lines(work_by_address(window(self._rounds)), finder, MANAGER, 0)
        return {line.address: line.weight for line in lines}


def _is_caught(claim: Claim, audit: AuditKind) -> bool:
    return claim.fault is not None and (audit is AuditKind.RETRAIN or claim.fault in _SEEN_BY_COUNT)
