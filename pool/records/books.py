"""What a manager owes and to whom: the part of its state that pay follows from, as pure records.

Each function is what one event does to the books. A result or a passed audit costs O(log n) steps;
a forfeit, a commitment, a round's end and a payout look at every miner.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping

import msgspec
from immutables import Map

from node.chain.messages import PayoutLine
from pool.proofs.openpage import OpenPage, close_page, with_forfeit, with_share
from pool.proofs.sharelog import Held, Share, Terms
from pool.records.seen import Seen, with_next_round, with_paid
from pool.records.tables import Table, persistent, refilled
from pool.rules import appraisal
from pool.rules.appraisal import Standing, UnprovenWork, is_held_back
from pool.rules.classes import ClassRecord, audited
from pool.rules.payout import payout_lines
from pool.rules.window import (
    RoundWork,
    forfeit,
    window,
    with_round,
    withheld,
    without,
    work_by_address,
)

_NEWCOMER = Standing()


class Books(msgspec.Struct, frozen=True, gc=False):
    """Pay and audits of a pool.

    `earned` is the work of the current round by miner and address (their 64 bytes), `past` that of
    rounds before, old to new. `classes` is by `pool.rules.prices.class_of`, `page` the open page of
    the share log.
    """

    standings: Table[bytes, Standing] = persistent()
    classes: Map[int, ClassRecord] = Map()
    seen: Seen = Seen()
    earned: Table[bytes, int] = persistent()
    past: tuple[RoundWork, ...] = ()
    page: OpenPage = OpenPage()

    def standing(self, miner: bytes) -> Standing:
        """A miner's standing; a newcomer's if it is not known."""
        return self.standings.get(miner, _NEWCOMER)


def with_result(
    books: Books, share: Share, trainings: tuple[bytes, ...], audited_in: int | None = None
) -> Books:
    """An accepted result is logged and credited; `trainings` are those of `Appraisal.keys`.

    `audited_in` is the round if its miner has yet to pass an audit for it. Raises ValueError if the
    page is full and has to be closed first.
    """
    page = with_share(books.page, share)
    if share.work == 0:
        return msgspec.structs.replace(books, page=page)
    standing = books.standing(share.miner)
    if audited_in is None:
        standing = appraisal.with_share(standing, share.work)
    else:
        unproven = UnprovenWork(audited_in, share.address, share.work)
        standing = appraisal.with_unproven_share(standing, unproven)
    who = share.miner + share.address
    return msgspec.structs.replace(
        books,
        page=page,
        standings=books.standings.set(share.miner, standing),
        earned=books.earned.set(who, books.earned.get(who, 0) + share.work),
        seen=with_paid(books.seen, trainings, share.model_hash),
    )


def with_passed_audit(books: Books, size_class: int, correct: int) -> Books:
    """An audit has confirmed a share of a class."""
    record = audited(books.classes.get(size_class, ClassRecord()), correct)
    return msgspec.structs.replace(books, classes=books.classes.set(size_class, record))


def with_proven(books: Books, miner: bytes) -> Books:
    """No share of the miner waits for an audit any more: the one that did has passed."""
    proven = appraisal.with_passed_audit(books.standing(miner))
    return msgspec.structs.replace(books, standings=books.standings.set(miner, proven))


def held_back(books: Books, owing: Container[bytes]) -> tuple[Held, ...]:
    """Whose work a commitment made now leaves out, in the order of their keys.

    `owing` are miners whose audits wait for them. Looks at every miner.
    """
    held = (
        Held(miner, standing.unproven)
        for miner, standing in books.standings.items()
        if is_held_back(standing, miner in owing)
    )
    return tuple(sorted(held, key=lambda entry: entry.miner))


def with_forfeited(books: Books, miner: bytes, reason: str) -> Books:
    """A miner has lost all its work in the window; `reason` is a stable word for the log.

    Raises ValueError if the page is full and has to be closed first.
    """
    failed = appraisal.with_failed_audit(books.standing(miner))
    return msgspec.structs.replace(
        books,
        page=with_forfeit(books.page, miner, reason),
        earned=without(books.earned, miner),
        past=forfeit(books.past, miner),
        standings=books.standings.set(miner, failed),
    )


def with_page_closed(
    books: Books,
    pool: bytes,
    round_number: int,
    terms: Terms | None = None,
    held: tuple[Held, ...] = (),
) -> tuple[bytes, bytes, Books]:
    """Hash and bytes of the open page, to be kept, and the books with an empty one."""
    hash_, data, page = close_page(books.page, pool, round_number, terms, held)
    return hash_, data, msgspec.structs.replace(books, page=page)


def with_round_ended(books: Books, round_number: int, worked_ms: Mapping[bytes, int]) -> Books:
    """A round is over; `worked_ms` is how long each miner had work in hand in it."""
    past = with_round(books.past, round_number, books.earned)
    standings = {
        miner: appraisal.with_next_round(standing, worked_ms.get(miner, 0))
        for miner, standing in books.standings.items()
    }
    return msgspec.structs.replace(
        books,
        past=past,
        earned=refilled(books.earned, {}),
        standings=refilled(books.standings, standings),
        seen=with_next_round(books.seen),
    )


def with_payout(books: Books) -> Books:
    """A block of the pool is final: all work in the window is paid."""
    paid = {key: appraisal.with_payout(standing) for key, standing in books.standings.items()}
    return msgspec.structs.replace(books, standings=refilled(books.standings, paid))


def without_standings(books: Books, miners: Iterable[bytes]) -> Books:
    """Forget what miners had at stake that are gone for good, and have no work in the window."""
    standings = books.standings
    for miner in miners:
        if miner in standings:
            standings = standings.delete(miner)
    return msgspec.structs.replace(books, standings=standings)


def compute_lines(
    books: Books,
    round_number: int,
    finder: bytes,
    manager: bytes,
    fee_permille: int,
    held: Iterable[Held] = (),
) -> tuple[PayoutLine, ...]:
    """The payout lines of a commitment made now, in the round that is going on.

    Work that is `held` back by `held_back` is left out, and stays in the books.
    """
    left_out: defaultdict[int, Counter[bytes]] = defaultdict(Counter)
    for miner in {entry.miner for entry in held}:
        for part in books.standing(miner).unproven_work:
            left_out[part.round][miner + part.address] += part.work
    rounds = withheld(with_round(books.past, round_number, books.earned), left_out)
    return payout_lines(work_by_address(window(rounds)), finder, manager, fee_permille)
