"""Receipts and payout notices: what a manager signs for its miners, and how they check it.

Whoever signs wraps these messages by `node.chain.envelope.sign`.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from enum import StrEnum
from typing import TypeVar

import msgspec

from node.chain.commits import payout_tree, proves_payout
from node.chain.envelope import Signed, open_as
from node.chain.errors import Rejected
from node.chain.messages import Envelope, Payload, PayoutLine, PayoutNotice, Receipt
from pool.proofs.sharelog import Share, share_hash

M = TypeVar("M", bound=Payload)


class Objection(StrEnum):
    """Why a miner does not take a receipt or a notice."""

    ENVELOPE = "envelope"
    SIGNER = "signer"
    OTHER_RESULT = "other-result"
    OTHER_SHARE = "other-share"
    OTHER_ADDRESS = "other-address"
    OTHER_ROUND = "other-round"
    NO_PROOF = "no-proof"
    NO_RECEIPT = "no-receipt"


class ProofError(ValueError):
    """A receipt or notice that proves nothing; `objection` is the rule that it breaks."""

    def __init__(self, objection: Objection, detail: str) -> None:
        super().__init__(detail)
        self.objection = objection


def make_receipt(round_number: int, share: Share, is_confirmed: bool, worth: str) -> Receipt:
    """A manager's word that a share is in its log, to be signed.

    `worth` says why it is so much work: a `pool.rules.worths.Worth`, or `too-fast` for what
    `pool.rules.pace` has bounded.
    """
    return Receipt(
        round=round_number,
        miner=share.miner,
        share=share_hash(share),
        model_hash=share.model_hash,
        correct=share.correct,
        size=share.size,
        work=share.work,
        confirmed=int(is_confirmed),
        worth=worth.encode(),
    )


def check_receipt(
    envelope: Envelope, network_id: bytes, manager: bytes, round_number: int, share: Share
) -> Signed[Receipt]:
    """The receipt for a result, as its miner must have it.

    `share` is what the miner reported, its `work` ignored: the manager computes that. Raises
    ProofError.
    """
    signed = open_receipt(envelope, network_id, manager)
    receipt = signed.message
    credited = msgspec.structs.replace(share, work=receipt.work)
    named = (receipt.round, receipt.miner, receipt.model_hash, receipt.correct, receipt.size)
    asked = (round_number, share.miner, share.model_hash, share.correct, share.size)
    if named != asked:
        raise ProofError(Objection.OTHER_RESULT, "the receipt is for another result")
    if receipt.share != share_hash(credited):
        raise ProofError(Objection.OTHER_SHARE, "the receipt names another entry in the log")
    return signed


def open_receipt(envelope: Envelope, network_id: bytes, manager: bytes) -> Signed[Receipt]:
    """A receipt with this manager's signature, for whatever result. Raises ProofError."""
    return _open(Receipt, envelope, network_id, manager)


def make_notices(
    round_number: int, commitment: bytes, share_log: bytes, lines: Sequence[PayoutLine]
) -> Mapping[bytes, PayoutNotice]:
    """A notice for each paid address, to be signed; `share_log` is the hash of its last page."""
    tree = payout_tree(lines)
    return {
        line.address: PayoutNotice(
            round=round_number,
            commitment=commitment,
            payout_root=tree.root,
            share_log=share_log,
            address=line.address,
            weight=line.weight,
            index=index,
            lines=len(lines),
            path=tree.prove(index),
        )
        for index, line in enumerate(lines)
    }


def check_notice(
    envelope: Envelope,
    network_id: bytes,
    manager: bytes,
    address: bytes,
    rounds: Container[int],
) -> Signed[PayoutNotice]:
    """The notice for an address, its line proved to be under the root.

    `rounds` are those that it may be for. Raises ProofError.
    """
    signed = _open(PayoutNotice, envelope, network_id, manager)
    notice = signed.message
    if notice.round not in rounds:
        raise ProofError(Objection.OTHER_ROUND, f"the notice is for round {notice.round}")
    if notice.address != address:
        raise ProofError(Objection.OTHER_ADDRESS, "the notice is for another address")
    line = PayoutLine(notice.address, notice.weight)
    if not proves_payout(notice.payout_root, line, notice.index, notice.lines, notice.path):
        raise ProofError(Objection.NO_PROOF, "the line is not under the payout root")
    return signed


def _open(cls: type[M], envelope: Envelope, network_id: bytes, manager: bytes) -> Signed[M]:
    try:
        signed = open_as(cls, envelope, network_id)
    except Rejected as error:
        raise ProofError(Objection.ENVELOPE, str(error)) from error
    if signed.signer != manager:
        raise ProofError(Objection.SIGNER, "it is not signed by this pool's manager")
    return signed
