"""Payout lines from a share log: what the manager did, done again by whoever doubts it."""

from __future__ import annotations

from collections.abc import Sequence

from node.chain.messages import PayoutLine
from pool.proofs.sharelog import Page, ShareLogError
from pool.records.tables import Owned, Table
from pool.rules.payout import PayoutError, payout_lines
from pool.rules.window import RoundWork, window, without, work_by_address


def work_of_log(pages: Sequence[Page]) -> tuple[RoundWork, ...]:
    """The work of each round that was not forfeited, from pages old to new without a gap."""
    work: dict[int, Table[bytes, int]] = {}
    for page in pages:
        work.setdefault(page.round, Owned())
        forfeits = list(page.forfeits)
        for at in range(len(page.shares) + 1):
            while forfeits and forfeits[0].after == at:
                lost = forfeits.pop(0).miner
                work = {round_: without(of_round, lost) for round_, of_round in work.items()}
            if at < len(page.shares) and page.shares[at].work > 0:
                share = page.shares[at]
                of_round, who = work[page.round], share.miner + share.address
                work[page.round] = of_round.set(who, of_round.get(who, 0) + share.work)
    return tuple(RoundWork.of(round_, of_round) for round_, of_round in sorted(work.items()))


def lines_of_log(pages: Sequence[Page]) -> tuple[PayoutLine, ...]:
    """The payout lines that follow from a log, whose last page holds the terms.

    The log has to reach back LOG_ROUNDS rounds with work, or to the pool's first page. Raises
    ShareLogError for a log without terms, or with a fee that nobody can take.
    """
    if not pages or not pages[-1].terms:
        raise ShareLogError("the log ends without the terms of a payout")
    (terms,) = pages[-1].terms
    work = work_by_address(window(work_of_log(pages)))
    try:
        return payout_lines(work, terms.finder, terms.manager, terms.fee_permille)
    except PayoutError as error:
        raise ShareLogError(str(error)) from error
