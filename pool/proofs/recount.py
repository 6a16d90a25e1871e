"""Payout lines from a share log: what the manager did, done again by whoever doubts it."""

from __future__ import annotations

from collections.abc import Sequence

from node.chain.messages import PayoutLine
from pool.proofs.sharelog import Page, ShareLogError
from pool.rules.payout import PayoutError, payout_lines
from pool.rules.window import Credit, RoundWork, window, work_by_address


def work_of_log(pages: Sequence[Page]) -> tuple[RoundWork, ...]:
    """The work of each round that was not forfeited, from pages old to new without a gap."""
    work: dict[int, dict[tuple[bytes, bytes], int]] = {}
    for page in pages:
        of_round = work.setdefault(page.round, {})
        forfeits = list(page.forfeits)
        for at in range(len(page.shares) + 1):
            while forfeits and forfeits[0].after == at:
                _drop(work, forfeits.pop(0).miner)
            if at < len(page.shares) and page.shares[at].work > 0:
                share = page.shares[at]
                key = (share.miner, share.address)
                of_round[key] = of_round.get(key, 0) + share.work
    return tuple(
        RoundWork(round_, tuple(Credit(*key, units) for key, units in of_round.items()))
        for round_, of_round in sorted(work.items())
    )


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


def _drop(work: dict[int, dict[tuple[bytes, bytes], int]], miner: bytes) -> None:
    for of_round in work.values():
        for key in [key for key in of_round if key[0] == miner]:
            del of_round[key]
