"""Payout lines from a share log: what the manager did, done again by whoever doubts it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from node.chain.messages import PayoutLine
from pool.proofs.sharelog import Forfeited, Held, Page, Share, ShareLogError
from pool.records.tables import Owned, Table
from pool.rules.payout import PayoutError, payout_lines
from pool.rules.window import (
    RoundWork,
    forfeit,
    window,
    with_round,
    withheld,
    without,
    work_by_address,
)


def work_of_log(pages: Sequence[Page]) -> tuple[RoundWork, ...]:
    """The newest rounds with their work that was not forfeited, from pages old to new without a
    gap, as the manager keeps them."""
    past: tuple[RoundWork, ...] = ()
    earned: Table[bytes, int] = Owned()
    number = 0
    for page in pages:
        if page.round != number:
            past, earned = with_round(past, number, earned), Owned()
            number = page.round
        for entry in _entries(page):
            if isinstance(entry, Forfeited):
                past, earned = forfeit(past, entry.miner), without(earned, entry.miner)
            elif entry.work > 0:
                who = entry.miner + entry.address
                earned = earned.set(who, earned.get(who, 0) + entry.work)
    return with_round(past, number, earned)


def _entries(page: Page) -> Iterator[Share | Forfeited]:
    """Everything in a page, in its order."""
    forfeits = list(page.forfeits)
    for at in range(len(page.shares) + 1):
        while forfeits and forfeits[0].after == at:
            yield forfeits.pop(0)
        yield from page.shares[at : at + 1]


def held_of_log(pages: Sequence[Page]) -> tuple[Held, ...]:
    """Whose work the commitment that a log ends with leaves out, in the log's order."""
    held: list[Held] = []
    for page in pages[:-1]:
        # What stands before other terms is of another commitment.
        held = [] if page.terms else [*held, *page.held]
    return (*held, *(entry for page in pages[-1:] for entry in page.held))


def _held_work(pages: Sequence[Page]) -> Mapping[int, Mapping[bytes, int]]:
    """Work that is held back, by round and then by miner and address: of the newest shares."""
    left = {entry.miner: entry.shares for entry in held_of_log(pages)}
    work: defaultdict[int, Counter[bytes]] = defaultdict(Counter)
    for page in reversed(pages):
        if not any(left.values()):
            break
        for share in reversed(page.shares):
            if share.work > 0 and left.get(share.miner, 0) > 0:
                left[share.miner] -= 1
                work[page.round][share.miner + share.address] += share.work
    return work


def lines_of_log(pages: Sequence[Page]) -> tuple[PayoutLine, ...]:
    """The payout lines that follow from a log, whose last page holds the terms.

    The log has to reach back LOG_ROUNDS rounds with work, or to the pool's first page. Raises
    ShareLogError for a log without terms, or with a fee that nobody can take.
    """
    if not pages or not pages[-1].terms:
        raise ShareLogError("the log ends without the terms of a payout")
    (terms,) = pages[-1].terms
    work = work_by_address(window(withheld(work_of_log(pages), _held_work(pages))))
    try:
        return payout_lines(work, terms.finder, terms.manager, terms.fee_permille)
    except PayoutError as error:
        raise ShareLogError(str(error)) from error
