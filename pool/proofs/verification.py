"""Does a manager's word hold? Receipts and notices against the chain and the public share log.

Findings are for people. Nothing is slashed for them: a miner that sends its model to a pool and
commits the same model under a second key would frame the manager (consensus F2).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from node.chain.block import Block
from node.chain.commits import commit_id, compute_payout_root
from node.chain.messages import Claim, Commit, PayoutLine, PayoutNotice, Receipt
from pool.proofs.recount import lines_of_log, work_of_log
from pool.proofs.sharelog import FIRST_PAGE, Page, Share, ShareLogError, share_hash
from pool.rules.window import LOG_ROUNDS


@dataclass(frozen=True)
class WonBlock:
    """A block won by a model, as the chain has it: its claim, and two fields of its body."""

    producer: bytes
    claim: Claim
    commit_ids: tuple[bytes, ...]
    lines: tuple[PayoutLine, ...]


class Payment(StrEnum):
    """What became of a notice's line."""

    PAID = "paid"
    NOT_WON = "not-won"
    OTHER_COMMITMENT = "other-commitment"
    OTHER_ROOT = "other-root"
    NOT_IN_BLOCK = "not-in-block"


class Kind(StrEnum):
    """What a manager's records don't agree on."""

    NOT_PAID = "not-paid"
    OTHER_COMMITMENT = "other-commitment"
    OTHER_ROOT = "other-root"
    MODEL_WON_ELSEWHERE = "model-won-elsewhere"
    LOG_MISSING = "log-missing"
    SHARE_MISSING = "share-missing"
    WORK_LOWERED = "work-lowered"
    WORK_FORFEITED = "work-forfeited"
    LINES_DIFFER = "lines-differ"


@dataclass(frozen=True)
class Finding:
    """One disagreement; `detail` is a sentence for people."""

    kind: Kind
    round: int
    detail: str


@dataclass(frozen=True)
class Log:
    """The pages that a manager handed out for a notice's share log, old to new, with their hashes.

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


def won_block(block: Block) -> WonBlock | None:
    """A block as it is checked here; None for a fallback block, which pays no lines."""
    claim = block.header.message
    if not isinstance(claim, Claim):
        return None
    return WonBlock(block.header.signer, claim, block.body.commit_ids, block.body.payouts)


def verify_payout(
    notice: PayoutNotice, network_id: bytes, manager: bytes, block: WonBlock | None
) -> Payment:
    """What became of the line that a notice of `manager` promises; `block` is that round's.

    A unit backs one commitment, and a block names those that its claim could be of, so the notice's
    commitment is the claim's if the block names it.
    """
    if block is None or block.producer != manager:
        return Payment.NOT_WON
    promised = Commit(notice.round, block.claim.unit, notice.commitment)
    if commit_id(network_id, manager, promised) not in block.commit_ids:
        return Payment.OTHER_COMMITMENT
    if block.claim.payout_root != notice.payout_root:
        return Payment.OTHER_ROOT
    if PayoutLine(notice.address, notice.weight) not in block.lines:
        return Payment.NOT_IN_BLOCK
    return Payment.PAID


def audit_manager(
    network_id: bytes,
    manager: bytes,
    receipts: Sequence[Receipt],
    notices: Sequence[PayoutNotice],
    blocks: Mapping[int, WonBlock],
    logs: Mapping[bytes, Log],
) -> tuple[Finding, ...]:
    """Everything that does not agree, by round.

    Receipts and notices are one miner's, signed by `manager`; `blocks` are by round, `logs` by the
    `share_log` of a notice. A round without a block, or whose block is somebody else's, owes
    nothing.
    """
    findings = [
        *_payments(network_id, manager, notices, blocks),
        *_models(manager, receipts, blocks),
        *_logs(notices, logs),
        *_shares(receipts, notices, logs),
    ]
    return tuple(sorted(findings, key=lambda finding: (finding.round, finding.kind)))


_KIND_OF = {
    Payment.OTHER_COMMITMENT: (
        Kind.OTHER_COMMITMENT,
        "the block is of a commitment without notice",
    ),
    Payment.OTHER_ROOT: (Kind.OTHER_ROOT, "the block's payout root is not the one of the notice"),
    Payment.NOT_IN_BLOCK: (Kind.NOT_PAID, "the block does not hold the line of the notice"),
}


def _payments(
    network_id: bytes,
    manager: bytes,
    notices: Sequence[PayoutNotice],
    blocks: Mapping[int, WonBlock],
) -> Iterator[Finding]:
    by_round = defaultdict(list)
    for notice in notices:
        by_round[notice.round].append(notice)
    for round_number, of_round in by_round.items():
        # A pool with several units commits several times; one of its notices has to be right.
        block = blocks.get(round_number)
        found = [verify_payout(notice, network_id, manager, block) for notice in of_round]
        wrong = [payment for payment in found if payment in _KIND_OF]
        nearest = [payment for payment in wrong if payment is not Payment.OTHER_COMMITMENT]
        if Payment.PAID not in found and wrong:
            kind, detail = _KIND_OF[(nearest or wrong)[0]]
            yield Finding(kind, round_number, detail)


def _models(
    manager: bytes, receipts: Sequence[Receipt], blocks: Mapping[int, WonBlock]
) -> Iterator[Finding]:
    for receipt in receipts:
        block = blocks.get(receipt.round)
        if block and receipt.model_hash == block.claim.model_hash and block.producer != manager:
            detail = (
                f"the model {receipt.model_hash.hex()[:12]} was handed to the pool, "
                f"but won under {block.producer.hex()[:12]}"
            )
            yield Finding(Kind.MODEL_WON_ELSEWHERE, receipt.round, detail)


def _logs(notices: Sequence[PayoutNotice], logs: Mapping[bytes, Log]) -> Iterator[Finding]:
    for notice in notices:
        log = logs.get(notice.share_log)
        if log is None or log.missing is not None:
            missing = notice.share_log if log is None or log.missing is None else log.missing
            detail = f"the pool does not hand out page {missing.hex()[:12]} of its share log"
            yield Finding(Kind.LOG_MISSING, notice.round, detail)
        elif log.is_deep:
            yield from _recount(notice, log)


def _recount(notice: PayoutNotice, log: Log) -> Iterator[Finding]:
    try:
        is_same = compute_payout_root(lines_of_log(log.pages)) == notice.payout_root
        detail = "the payout lines don't follow from the share log"
    except ShareLogError as error:
        is_same, detail = False, str(error)
    if not is_same:
        yield Finding(Kind.LINES_DIFFER, notice.round, detail)


def _shares(
    receipts: Sequence[Receipt], notices: Sequence[PayoutNotice], logs: Mapping[bytes, Log]
) -> Iterator[Finding]:
    if not receipts:
        return
    # Logs overlap; what they share is the same pages.
    pages = {id(page): page for log in logs.values() for page in log.pages}.values()
    logged = {share_hash(share): share for page in pages for share in page.shares}
    yield from _forfeits(receipts[0].miner, pages)
    spans = [
        (logs[notice.share_log].pages[0], notice.round)
        for notice in notices
        if notice.share_log in logs and logs[notice.share_log].pages
    ]
    for receipt in receipts:
        # Results after the commitment of a round are in the next round's first pages; and the
        # oldest round may begin in a page that is not here.
        is_covered = any(
            (oldest.round < receipt.round or oldest.before == FIRST_PAGE) and receipt.round < newest
            for oldest, newest in spans
        )
        if is_covered and receipt.share not in logged:
            yield _lost(receipt, logged.values())


def _lost(receipt: Receipt, logged: Iterable[Share]) -> Finding:
    for share in logged:
        named = (share.miner, share.model_hash, share.correct, share.size)
        asked = (receipt.miner, receipt.model_hash, receipt.correct, receipt.size)
        if receipt.model_hash and named == asked and share.work < receipt.work:
            detail = f"the log credits {share.work} for a result that was receipted {receipt.work}"
            return Finding(Kind.WORK_LOWERED, receipt.round, detail)
    detail = f"the receipted result {receipt.share.hex()[:12]} is not in the share log"
    return Finding(Kind.SHARE_MISSING, receipt.round, detail)


def _forfeits(miner: bytes, pages: Iterable[Page]) -> Iterator[Finding]:
    for page in pages:
        for forfeit in page.forfeits:
            if forfeit.miner == miner:
                reason = forfeit.reason.decode("ascii", "replace")
                detail = f"the pool took all work before back: {reason}"
                yield Finding(Kind.WORK_FORFEITED, page.round, detail)
