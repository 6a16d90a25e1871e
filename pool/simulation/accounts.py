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
from pool.rules import audits, classes, pace
from pool.rules.audits import AuditKind, Fault, Suspicion
from pool.rules.classes import ClassRecord
from pool.rules.pace import Pace
from pool.rules.payout import payout_lines
from pool.rules.prices import class_of
from pool.rules.window import LOG_ROUNDS, Credit, RoundWork, forfeit, window, work_by_address
from pool.rules.worth import share_keys, work_of, worth_of
from pool.simulation.miners import TASK, Claim

MANAGER = bytes(32)
"""Payout address of the manager, which is paid only when nobody has work."""

_INFO = describe(TASK.dataset)
_PROTOCOL = Protocol(TASK.protocol)

# What counting a model shows; other faults show only when an epoch is repeated.
_SEEN_BY_COUNT = (Fault.MODEL_MISSING, Fault.MODEL_FORMAT, Fault.COUNT_DIFFERS)


@dataclass(slots=True)
class Book:
    """What the manager keeps of one miner.

    `streak` are its shares since it joined or failed an audit, `unpaid` those since the last
    payout; it has had work since `began_ms` of the round, and been credited `credit` in it.
    """

    streak: int = 0
    unpaid: int = 0
    pace: Pace = field(default_factory=Pace)
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
        epochs = TASK.epochs if claim.design.feasible else 0
        keys = share_keys(
            claim.design.genotype, claim.training_seed, _PROTOCOL, epochs, claim.model_hash
        )
        worth = worth_of(claim.design, epochs, keys, self._paid, is_repeatable=True)
        full = work_of(worth, claim.design, _INFO, epochs)
        work = pace.payable(book.pace, full, now_ms - book.began_ms)
        if work == 0:
            return 0
        self._paid |= {keys.training, keys.model}
        book.pace = pace.credited(book.pace, work)
        book.credit += work
        book.streak += 1
        book.unpaid += 1
        self._audit(miner, book, claim, is_too_fast=work < full)
        return work

    def forfeit(self, miner: bytes) -> None:
        """The miner loses its work in the window and its streak."""
        book = self.books[miner]
        book.streak, book.credit = 0, 0
        book.forfeits += 1
        self._rounds = forfeit(self._rounds, miner)

    def close_round(self, number: int, finder: bytes | None, now_ms: int) -> Mapping[bytes, int]:
        """End a round; the weights that its block pays by address, none without a best."""
        credits = tuple(
            Credit(key, key, book.credit) for key, book in self.books.items() if book.credit
        )
        self._rounds = (*self._rounds, RoundWork(number, credits))[-LOG_ROUNDS:]
        for book in self.books.values():
            book.pace = pace.next_round(book.pace, now_ms - book.began_ms)
        if finder is None:
            return {}
        for book in self.books.values():
            book.unpaid = 0
        lines = payout_lines(work_by_address(window(self._rounds)), finder, MANAGER, 0)
        return {line.address: line.weight for line in lines}

    def _audit(self, miner: bytes, book: Book, claim: Claim, is_too_fast: bool) -> None:
        size_class = class_of(claim.design.macs)
        record = self._records.get(size_class, ClassRecord())
        suspicions = []
        if is_too_fast:
            suspicions.append(Suspicion.TOO_FAST)
        if classes.is_out_of_line(record, claim.correct):
            suspicions.append(Suspicion.OUT_OF_CLASS)
        self._shares += 1
        share = blake("ponas/pool/simulation/share", u64(self._shares))
        chance = audits.chance(book.streak, book.unpaid, suspicions)
        if not audits.is_drawn(self._secret, share, chance):
            return
        book.audits += 1
        floor = classes.floor(record, _INFO.validation, _INFO.classes)
        kind = audits.kind_of(claim.correct, floor, True, suspicions)
        if claim.fault is not None and (kind is AuditKind.RETRAIN or claim.fault in _SEEN_BY_COUNT):
            self.forfeit(miner)
            return
        self._records[size_class] = classes.audited(record, claim.correct)
