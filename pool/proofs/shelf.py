"""What is kept of a pool's word on disk: receipts and notices by the miner, pages by the manager.

A bounded number of rounds is kept, the newest. What comes in was checked by `pool.proofs.receipts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from node.chain.codec import decode, encode
from node.chain.envelope import Signed
from node.chain.hashing import MAX_INT, u64
from node.chain.messages import Envelope, Kind, PayoutNotice, Receipt
from node.store.base import Change, Delete, Put, Store, Table
from pool.rules.window import LOG_ROUNDS

KEPT_ROUNDS = 64
"""Newest rounds whose receipts and notices a miner keeps."""

KEPT_PAGE_ROUNDS = KEPT_ROUNDS + LOG_ROUNDS
"""Newest rounds with pages whose pages a manager keeps: a log that reaches back far enough for each
notice, also of a pool that had no work for long."""

MAX_NOTICES = 8
"""Notices of one manager that a miner keeps for a round: one for each commitment."""

_ROUND_BYTES = 8


class ReceiptShelf:
    """A miner's receipts and payout notices, of every pool it worked for."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def keep_receipt(self, receipt: Signed[Receipt]) -> Sequence[Change]:
        """What to write so that a receipt is kept."""
        return self._keep(receipt.message.round, Kind.RECEIPT, receipt.id, receipt.envelope)

    def keep_notice(self, notice: Signed[PayoutNotice]) -> Sequence[Change]:
        """What to write so that a notice is kept; nothing for one that is, nor beyond MAX_NOTICES
        of its round."""
        round_number = notice.message.round
        kept = [n for n in self.notices(round_number) if n.public_key == notice.signer]
        if notice.envelope in kept or len(kept) >= MAX_NOTICES:
            return ()
        return self._keep(round_number, Kind.PAYOUT_NOTICE, notice.id, notice.envelope)

    def receipts(self, round_number: int) -> Iterator[Envelope]:
        """The receipts of a round, in an order of their own."""
        return self._read(round_number, Kind.RECEIPT)

    def notices(self, round_number: int) -> Iterator[Envelope]:
        """The notices of a round, in an order of their own."""
        return self._read(round_number, Kind.PAYOUT_NOTICE)

    def rounds(self) -> Iterator[int]:
        """The rounds of which anything is kept, ascending."""
        return _rounds(self._store, Table.RECEIPTS)

    def _keep(
        self, round_number: int, kind: Kind, id_: bytes, envelope: Envelope
    ) -> Sequence[Change]:
        put = Put(Table.RECEIPTS, u64(round_number) + bytes([kind]) + id_, encode(envelope))
        oldest = round_number - KEPT_ROUNDS + 1
        return (*_older(self._store, Table.RECEIPTS, oldest), put)

    def _read(self, round_number: int, kind: Kind) -> Iterator[Envelope]:
        prefix = u64(round_number) + bytes([kind])
        for key, value in self._store.scan(Table.RECEIPTS, prefix):
            if not key.startswith(prefix):
                return
            yield decode(Envelope, value)


class PageShelf:
    """The closed pages of a manager's share log."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def keep(self, round_number: int, hash_: bytes, data: bytes) -> Sequence[Change]:
        """What to write so that a page is kept, in the batch of the event that closed it."""
        rounds = {*_rounds(self._store, Table.SHARE_INDEX), round_number}
        oldest = sorted(rounds)[-KEPT_PAGE_ROUNDS:][0]
        outdated = list(_older(self._store, Table.SHARE_INDEX, oldest))
        pages = [Delete(Table.SHARE_PAGES, row.key[_ROUND_BYTES:]) for row in outdated]
        indexed = Put(Table.SHARE_INDEX, u64(round_number) + hash_, b"")
        return (*outdated, *pages, indexed, Put(Table.SHARE_PAGES, hash_, data))

    def page(self, hash_: bytes) -> bytes | None:
        """The canonical bytes of a page, or None if it is not kept."""
        return self._store.get(Table.SHARE_PAGES, hash_)


def _rounds(store: Store, table: Table) -> Iterator[int]:
    start = u64(0)
    while (found := next(store.scan(table, start), None)) is not None:
        number = _round_of(found[0])
        yield number
        if number == MAX_INT:
            return
        start = u64(number + 1)


def _older(store: Store, table: Table, oldest: int) -> Iterator[Delete]:
    for key, _ in store.scan(table):
        if _round_of(key) >= oldest:
            return
        yield Delete(table, key)


def _round_of(key: bytes) -> int:
    return int.from_bytes(key[:_ROUND_BYTES], "big")
