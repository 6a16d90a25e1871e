"""I20: what a pool has promised its miners is in its books and on the chain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TypeVar

from nas.data.datasets import describe
from node.assembly import Node
from node.chain.codec import decode
from node.chain.messages import Envelope, PayoutNotice, Receipt
from pool.proofs.findings import Finding, Kind
from pool.proofs.logaudit import read_log
from pool.proofs.pricing import Training, pricing
from pool.proofs.sharelog import Page, open_page, share_hash
from pool.proofs.shelf import PageShelf, ReceiptShelf
from pool.proofs.verification import WonBlock, audit_manager, won_block
from pool.rules.audits import Fault
from tests.sim.watch import Invariant, Watch

# Who was away when its work was to be looked into, or has lost it since, is not paid for it.
_UNANSWERED = Fault.OVERDUE, Fault.MODEL_MISSING, Fault.STATE_MISSING

M = TypeVar("M", Receipt, PayoutNotice)

HINTS = (Kind.NOTICE_MISSING, Kind.HELD_BACK)
"""What an honest manager may do to who was away: it hears of a payout when it is back, or is paid
when it was audited."""

LOOKED_BACK = 3
"""Final rounds whose receipts and notices are looked at when a round begins."""


class BooksAreTrue(Invariant):
    """I20: every receipted share of an honest miner is in its honest manager's log, once, with the
    work that the receipt names; the log gives the payout lines, and they are the block's.

    What cheaters do to a pool's books is in tests/test_pool_cheaters.py.
    """

    name = "I20"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._pages: dict[bytes, Page] = {}
        self._page_of: dict[bytes, bytes] = {}

    def on_round(self, number: int) -> None:
        nodes = [node for name in self.scene.honest if (node := self.scene.node(name)) is not None]
        for manager in (node for node in nodes if node.runs_public_pool):
            for miner in (node for node in nodes if node.miner is not None):
                for finding in self.audit(manager, miner):
                    if finding.kind in HINTS:
                        continue
                    self.fail(f"{finding.kind} in round {finding.round}: {finding.detail}")

    def audit(self, manager: Node, miner: Node) -> Iterator[Finding]:
        """What of a manager's newest words, as a miner keeps them, does not agree with its log and
        the chain."""
        final, key = miner.chain.tree.final, manager.views.status().public_key
        rounds = range(max(0, final.round - LOOKED_BACK), final.round + 1)
        shelf = ReceiptShelf(miner._outside.store)
        receipts = _signed_by(key, Receipt, rounds, shelf.receipts)
        notices = _signed_by(key, PayoutNotice, rounds, shelf.notices)
        page_of = partial(self._page, manager)
        logs = {each.share_log: read_log(each.share_log, page_of) for each in notices}
        blocks = self._blocks(final.id, rounds)
        most_work = pricing(
            {
                task.round: Training(describe(task.dataset), task.epochs, task.max_mac_images)
                for task in miner.views.published.of_rounds(rounds.start, 0).tasks
            }
        )
        fee = manager.views.pool().fee_permille
        found = audit_manager(
            self.scene.network.id, key, receipts, notices, blocks, logs, most_work, fee
        )
        for finding in found:
            if not finding.detail.endswith(_UNANSWERED):
                yield finding

    def _page(self, manager: Node, page_hash: bytes) -> Page | None:
        """A page of the manager's log, if it keeps it."""
        if page_hash not in self._pages:
            data = PageShelf(manager._outside.store).page(page_hash)
            if data is None:
                return None
            self._enter(page_hash, open_page(data, page_hash))
        return self._pages[page_hash]

    def _enter(self, page_hash: bytes, page: Page) -> None:
        self._pages[page_hash] = page
        for share in page.shares:
            if self._page_of.setdefault(share_hash(share), page_hash) != page_hash:
                self.fail(f"a share of round {page.round} stands in two pages")
        if len(set(page.shares)) < len(page.shares):
            self.fail(f"a share of round {page.round} stands in a page twice")

    def _blocks(self, block_id: bytes, rounds: range) -> Mapping[int, WonBlock]:
        """Won blocks of these rounds, below one."""
        blocks = {}
        for each in self.watch.ancestors(block_id):
            seen = self.watch.blocks.get(each)
            if seen is None or seen.block.round < rounds.start:
                break
            if (won := won_block(seen.block)) is not None:
                blocks[seen.block.round] = won
        return blocks


def _signed_by(
    key: bytes, kind: type[M], rounds: range, read: Callable[[int], Iterable[Envelope]]
) -> list[M]:
    """What a manager has signed of these rounds, as its miner keeps it."""
    return [
        decode(kind, envelope.payload)
        for number in rounds
        for envelope in read(number)
        if envelope.public_key == key
    ]
