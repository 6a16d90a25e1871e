"""A pool's share log against what its manager has signed for one miner."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from node.chain.commits import compute_payout_root
from node.chain.messages import PayoutNotice, Receipt
from pool.proofs.entries import MostWork, audit_entries
from pool.proofs.findings import Finding, Kind
from pool.proofs.recount import lines_of_log, work_of_log
from pool.proofs.sharelog import FIRST_PAGE, Page, Share, ShareLogError, share_hash
from pool.rules.window import LOG_ROUNDS
from pool.rules.worths import Worth

MAX_LOG_PAGES = 4_096
"""Pages of a log that are read at most: a pool of 300 results a second needs 3,000 in rounds of ten
minutes."""


@dataclass(frozen=True)
class Log:
    """The pages that a manager handed out for a notice's share log, old to new.

    `missing` is the hash of a page that it did not hand out, or None.
    """

    pages: tuple[Page, ...]
    missing: bytes | None = None

    @property
    def is_deep(self) -> bool:
        """Whether the pages reach back far enough to compute the lines again."""
        if self.missing is not None or not self.pages:
            return False
        if self.pages[0].before == FIRST_PAGE:
            return True
        # The oldest round may begin in a page that is not here, so it must not count.
        kept = work_of_log(self.pages)
        return len(kept) == LOG_ROUNDS and kept[0].round > self.pages[0].round


def read_log(share_log: bytes, page_of: Callable[[bytes], Page | None]) -> Log:
    """The log that ends with a page, from as far back as a payout follows from.

    `page_of` gives the page with a hash, or None. Nothing is read beyond MAX_LOG_PAGES, so that a
    log without end ends.
    """
    pages: list[Page] = []
    worked: set[int] = set()
    hash_ = share_log
    while hash_ != FIRST_PAGE and len(pages) < MAX_LOG_PAGES:
        page = page_of(hash_)
        if page is None or (pages and page.round > pages[-1].round):
            return Log(tuple(reversed(pages)), missing=hash_)
        is_next_round = bool(pages) and page.round < pages[-1].round
        pages.append(page)
        # To count the work is slow, and in vain before there are as many rounds with any.
        if is_next_round and len(worked) >= LOG_ROUNDS and Log(tuple(reversed(pages))).is_deep:
            break
        if any(share.work for share in page.shares):
            worked.add(page.round)
        hash_ = page.before
    return Log(tuple(reversed(pages)))


def audit_logs(
    receipts: Sequence[Receipt],
    notices: Sequence[PayoutNotice],
    logs: Mapping[bytes, Log],
    most_work: MostWork,
) -> Iterator[Finding]:
    """Whether payouts follow from the logs, receipted results are in them, and entries possible.

    `logs` are by the `share_log` of a notice.
    """
    # Logs overlap. Most often what they share is the same objects, which is quicker to tell.
    objects = {id(page): page for log in logs.values() for page in log.pages}
    pages = dict.fromkeys(objects.values())
    yield from _logs(notices, logs)
    yield from _rewritten(notices, logs)
    yield from audit_entries(pages, most_work)
    if receipts:
        logged = {share_hash(share): share for page in pages for share in page.shares}
        yield from _shares(receipts, notices, logs, logged)
        yield from _underpaid(receipts, logged, most_work)
        yield from _withheld(receipts[0].miner, pages)


def _logs(notices: Sequence[PayoutNotice], logs: Mapping[bytes, Log]) -> Iterator[Finding]:
    for notice in notices:
        log = logs.get(notice.share_log)
        if log is None or log.missing is not None:
            missing = notice.share_log if log is None or log.missing is None else log.missing
            detail = f"the pool does not hand out page {missing.hex()[:12]} of its share log"
            yield Finding(Kind.LOG_MISSING, notice.round, detail)
        elif not log.is_deep:
            detail = "the share log does not reach back far enough to compute the payout again"
            yield Finding(Kind.LOG_SHALLOW, notice.round, detail)
        else:
            yield from _recount(notice, log)


def _rewritten(notices: Sequence[PayoutNotice], logs: Mapping[bytes, Log]) -> Iterator[Finding]:
    """What a pool has committed to once is a part of its log for good."""
    for notice in notices:
        log = logs.get(notice.share_log)
        if log is None or not log.pages:
            continue
        first = 0 if log.pages[0].before == FIRST_PAGE else log.pages[0].round + 1
        named = {page.before for page in log.pages}
        if any(
            first <= earlier.round < notice.round and earlier.share_log not in named
            for earlier in notices
        ):
            detail = "the share log leaves out pages that the pool has committed to before"
            yield Finding(Kind.LOG_REWRITTEN, notice.round, detail)


def _recount(notice: PayoutNotice, log: Log) -> Iterator[Finding]:
    newest = log.pages[-1].round
    try:
        is_same = compute_payout_root(lines_of_log(log.pages)) == notice.payout_root
        detail = "the payout lines don't follow from the share log"
        if newest != notice.round:
            is_same, detail = False, f"the share log ends in round {newest} already"
    except ShareLogError as error:
        is_same, detail = False, str(error)
    if not is_same:
        yield Finding(Kind.LINES_DIFFER, notice.round, detail)


def _shares(
    receipts: Sequence[Receipt],
    notices: Sequence[PayoutNotice],
    logs: Mapping[bytes, Log],
    logged: Mapping[bytes, Share],
) -> Iterator[Finding]:
    for receipt in due_in_logs(receipts, notices, logs):
        if receipt.share not in logged:
            yield _lost(receipt, logged.values())


def _underpaid(
    receipts: Iterable[Receipt], logged: Mapping[bytes, Share], most_work: MostWork
) -> Iterator[Finding]:
    for receipt in receipts:
        share = logged.get(receipt.share)
        if share is None or receipt.worth != Worth.FULL.encode():
            continue
        full = most_work(receipt.round, share)
        if full is not None and share.work < full:
            detail = f"receipted as paid in full, but {share.work} is less than the price of {full}"
            yield Finding(Kind.WORK_BELOW_PRICE, receipt.round, detail)


def due_in_logs(
    receipts: Sequence[Receipt], notices: Sequence[PayoutNotice], logs: Mapping[bytes, Log]
) -> Iterator[Receipt]:
    """The receipts whose results must be in one of the logs.

    Results after the commitment of a round are in the next round's first pages, and the oldest
    round of a log may begin in a page that is not here.
    """
    spans = [
        (logs[notice.share_log].pages[0], notice.round)
        for notice in notices
        if notice.share_log in logs and logs[notice.share_log].pages
    ]
    for receipt in receipts:
        if any(
            (oldest.round < receipt.round or oldest.before == FIRST_PAGE) and receipt.round < newest
            for oldest, newest in spans
        ):
            yield receipt


def _lost(receipt: Receipt, logged: Iterable[Share]) -> Finding:
    for share in logged:
        named = (share.miner, share.model_hash, share.correct, share.size)
        asked = (receipt.miner, receipt.model_hash, receipt.correct, receipt.size)
        if receipt.model_hash and named == asked and share.work < receipt.work:
            detail = f"the log credits {share.work} for a result that was receipted {receipt.work}"
            return Finding(Kind.WORK_LOWERED, receipt.round, detail)
    detail = f"the receipted result {receipt.share.hex()[:12]} is not in the share log"
    return Finding(Kind.SHARE_MISSING, receipt.round, detail)


def _withheld(miner: bytes, pages: Iterable[Page]) -> Iterator[Finding]:
    for page in pages:
        for forfeit in page.forfeits:
            if forfeit.miner == miner:
                reason = forfeit.reason.decode("ascii", "replace")
                detail = f"the pool took all work before back: {reason}"
                yield Finding(Kind.WORK_FORFEITED, page.round, detail)
        for entry in page.held:
            if entry.miner == miner:
                detail = f"the newest {entry.shares} shares wait for an audit of this miner"
                yield Finding(Kind.HELD_BACK, page.round, detail)
