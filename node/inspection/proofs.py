"""What a node shows of receipts, payout notices and share log: views, read from its shelves."""

from itertools import islice

from msgspec.structs import asdict

from node.chain.codec import decode, encode
from node.chain.messages import Envelope, PayoutNotice, Receipt
from node.identity import format_address
from node.views.proofs import (
    ForfeitView,
    HeldView,
    PayoutNoticesView,
    PayoutNoticeView,
    ReceiptsView,
    ReceiptView,
    SharePageView,
    ShareView,
    TermsView,
)
from node.views.status import UnknownItem
from pool.proofs.sharelog import open_page
from pool.proofs.shelf import PageShelf, ReceiptShelf

MOST_RECEIPTS = 1_000
"""Receipts in one answer; the next ones are asked for by their offset."""


class ShelfProofs:
    """Implements `node.views.proofs.Proofs` over a node's shelves."""

    def __init__(self, receipts: ReceiptShelf, pages: PageShelf) -> None:
        self._receipts = receipts
        self._pages = pages

    def receipts(self, number: int | None, offset: int) -> ReceiptsView:
        rounds = list(self._receipts.rounds())
        number = (rounds or [0])[-1] if number is None else number
        found = islice(self._receipts.receipts(number), offset, offset + MOST_RECEIPTS)
        return ReceiptsView(rounds, number, [_receipt_view(envelope) for envelope in found])

    def notices(self) -> PayoutNoticesView:
        return PayoutNoticesView(
            [
                _notice_view(envelope)
                for number in self._receipts.rounds()
                for envelope in self._receipts.notices(number)
            ]
        )

    def share_page(self, hash_: bytes) -> SharePageView:
        data = self._pages.page(hash_)
        if data is None:
            raise UnknownItem(f"this node keeps no page {hash_.hex()} of a share log")
        page = open_page(data, hash_)
        return SharePageView(
            pool=page.pool,
            round=page.round,
            before=page.before,
            shares=[
                ShareView(**(asdict(share) | {"address": format_address(share.address)}))
                for share in page.shares
            ],
            forfeits=[
                ForfeitView(forfeit.miner, forfeit.reason.decode("ascii"), forfeit.after)
                for forfeit in page.forfeits
            ],
            terms=next(
                (
                    TermsView(format_address(t.finder), format_address(t.manager), t.fee_permille)
                    for t in page.terms
                ),
                None,
            ),
            held=[HeldView(entry.miner, entry.shares) for entry in page.held],
        )


def _receipt_view(envelope: Envelope) -> ReceiptView:
    receipt = decode(Receipt, envelope.payload)
    worth = receipt.worth.decode("ascii", "replace")
    fields = vars(receipt) | {"confirmed": bool(receipt.confirmed), "worth": worth}
    return ReceiptView(manager=envelope.public_key, envelope=encode(envelope), **fields)


def _notice_view(envelope: Envelope) -> PayoutNoticeView:
    notice = decode(PayoutNotice, envelope.payload)
    fields = vars(notice) | {"address": format_address(notice.address)}
    del fields["path"]
    return PayoutNoticeView(manager=envelope.public_key, envelope=encode(envelope), **fields)
