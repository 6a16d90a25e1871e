"""What a miner makes of its manager's word: checks receipts and notices, and keeps them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from node.chain.errors import Rejected
from node.chain.messages import Envelope
from node.store.base import Change, Store
from node.wire import envelope_from_proto
from ponas.v1 import types_pb2 as pb
from pool.miner.registration import Applicant
from pool.proofs.receipts import Objection, ProofError, check_notice, check_receipt
from pool.proofs.sharelog import Share
from pool.proofs.shelf import KEPT_ROUNDS, ReceiptShelf
from pool.rules.reports import Report

# A clock that is a little off is no fault of the manager.
_ROUNDS_AROUND = 1

_log = structlog.get_logger("pool.miner")


class Evidence:
    """A miner's receipts and payout notices in `store`, to which `write` brings them in time.

    `round_now` tells the round by the node's clock.
    """

    def __init__(
        self,
        applicant: Applicant,
        store: Store,
        write: Callable[[Sequence[Change]], None],
        round_now: Callable[[], int],
    ) -> None:
        self._applicant = applicant
        self._shelf = ReceiptShelf(store)
        self._write = write
        self._round_now = round_now

    def keep_receipt(
        self, manager: bytes, round_number: int, report: Report, message: pb.Envelope
    ) -> None:
        """Take the receipt for a result of a round. Raises ProofError."""
        share = Share(
            miner=self._applicant.public_key,
            address=self._applicant.payout_address,
            assignment=report.assignment_id,
            episode=report.episode,
            genotype=report.genotype,
            training_seed=report.training_seed,
            epochs=report.epochs,
            correct=report.correct,
            size=report.size,
            model_hash=report.model_hash,
            work=0,
        )
        network_id = self._applicant.network_id
        receipt = check_receipt(_envelope(message), network_id, manager, round_number, share)
        self._write(self._shelf.keep_receipt(receipt))

    def keep_notice(self, manager: bytes, message: pb.Envelope) -> None:
        """Take a notice of one of the newest rounds. Raises ProofError.

        Managers send it again to whoever comes back, and what they last won may be long ago: an
        older notice is checked and not kept.
        """
        now = self._round_now()
        rounds = range(now + _ROUNDS_AROUND + 1)
        address, network_id = self._applicant.payout_address, self._applicant.network_id
        notice = check_notice(_envelope(message), network_id, manager, address, rounds)
        if notice.message.round <= now - KEPT_ROUNDS:
            return
        changes = self._shelf.keep_notice(notice)
        if not changes:
            return
        self._write(changes)
        _log.info("payout_announced", round=notice.message.round, weight=notice.message.weight)


def _envelope(message: pb.Envelope) -> Envelope:
    try:
        return envelope_from_proto(message)
    except Rejected as error:
        raise ProofError(Objection.ENVELOPE, str(error)) from error
