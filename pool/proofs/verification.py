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
from node.chain.commits import commit_id
from node.chain.messages import Claim, Commit, PayoutLine, PayoutNotice, Receipt
from pool.proofs.entries import MostWork
from pool.proofs.fees import audit_fees, payout_fees
from pool.proofs.findings import Finding, Kind
from pool.proofs.logaudit import Log, audit_logs
from pool.rules.payout import MAX_LINES
from pool.rules.window import WINDOW_ROUNDS


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
    most_work: MostWork,
    fee_permille: int,
) -> tuple[Finding, ...]:
    """Everything that does not agree, by round.

    Receipts and notices are one miner's, signed by `manager`; `blocks` are by round, `logs` by the
    `share_log` of a notice, and `most_work` bounds the entries of rounds whose task is known.
    `fee_permille` is what the pool shows as its fee now. A round without a block, or whose block is
    somebody else's, owes nothing.
    """
    of_logs = tuple(audit_logs(receipts, notices, logs, most_work))
    lost = max((each.round for each in of_logs if each.kind is Kind.WORK_FORFEITED), default=0)
    held = {each.round for each in of_logs if each.kind is Kind.HELD_BACK}
    left = [receipt for receipt in receipts if receipt.round > lost]
    findings = [
        *_payments(network_id, manager, notices, blocks),
        *_models(manager, receipts, blocks),
        *_finders(network_id, manager, receipts, notices, blocks, logs),
        *(hint for hint in _untold(manager, left, notices, blocks) if hint.round not in held),
        *audit_fees(payout_fees(notices, logs), fee_permille),
        *of_logs,
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


def _finders(
    network_id: bytes,
    manager: bytes,
    receipts: Sequence[Receipt],
    notices: Sequence[PayoutNotice],
    blocks: Mapping[int, WonBlock],
    logs: Mapping[bytes, Log],
) -> Iterator[Finding]:
    confirmed = {(each.round, each.model_hash) for each in receipts if each.confirmed}
    for notice in notices:
        block, log = blocks.get(notice.round), logs.get(notice.share_log)
        if block is None or (notice.round, block.claim.model_hash) not in confirmed:
            continue
        is_paid = verify_payout(notice, network_id, manager, block) is Payment.PAID
        terms = log.pages[-1].terms if log is not None and log.pages else ()
        if is_paid and terms and terms[0].finder != notice.address:
            detail = "the pool won with this miner's model, and gave the finder's part to another"
            yield Finding(Kind.FINDER_DIFFERS, notice.round, detail)


def rounds_untold(
    manager: bytes,
    receipts: Iterable[Receipt],
    notices: Iterable[PayoutNotice],
    blocks: Mapping[int, WonBlock],
) -> tuple[int, ...]:
    """Rounds won by a manager that receipted work of the rounds before, and sent no notice.

    A hint, no proof: `blocks` that others won are passed over, and what a block pays goes by rounds
    with work, so that a pool that has just grown pays fewer rounds back than are looked at here.
    """
    told = {notice.round for notice in notices}
    worked = {receipt.round for receipt in receipts if receipt.work > 0}
    return tuple(
        number
        for number, block in sorted(blocks.items())
        if block.producer == manager
        and number not in told
        and not worked.isdisjoint(range(number - WINDOW_ROUNDS + 1, number + 1))
    )


def _untold(
    manager: bytes,
    receipts: Sequence[Receipt],
    notices: Sequence[PayoutNotice],
    blocks: Mapping[int, WonBlock],
) -> Iterator[Finding]:
    detail = (
        "the pool won after work that it has receipted, and sent no notice; a payout leaves out "
        f"less than a millionth, all but {MAX_LINES:,} lines, and what was taken or held back"
    )
    for number in rounds_untold(manager, receipts, notices, blocks):
        yield Finding(Kind.NOTICE_MISSING, number, detail)
