"""Transactions handed to this node by its users: none that was taken in is lost to a crash."""

from collections.abc import Callable, Iterator
from itertools import groupby

import structlog

from node.chain.codec import decode, encode
from node.chain.context import RoundContext
from node.chain.draft import Draft
from node.chain.envelope import Signed, open_transaction
from node.chain.errors import Reason, Rejected
from node.chain.messages import Envelope, Transaction
from node.chain.published.terms import Publish
from node.chain.state import State
from node.chain.transactions import apply_transaction
from node.consensus.chain import Chain
from node.consensus.mempool import MAX_HELD, Mempool
from node.consensus.searchable import SearchableCheck
from node.store.base import Delete, Put, Store, Table
from node.store.writer import Writer

# Refusals that say nothing of whether the chain can ever apply a transaction.
_PASSING = {
    Reason.KNOWN,
    Reason.UNDERPRICED,
    Reason.SENDER_FULL,
    Reason.MEMPOOL_FULL,
    Reason.ORPHAN_NONCE,
}

_log = structlog.get_logger("submissions")


class Submissions:
    """Keeps each transaction until it is final, or can't apply any more, and offers it anew.

    `send` passes an envelope on to all peers.
    """

    def __init__(
        self,
        chain: Chain,
        mempool: Mempool,
        store: Store,
        writer: Writer,
        searchable: SearchableCheck,
        send: Callable[[Envelope], None],
    ) -> None:
        self._chain = chain
        self._mempool = mempool
        self._writer = writer
        self._searchable = searchable
        self._send = send
        kept = (decode(Envelope, data) for _, data in store.scan(Table.SUBMITTED))
        opened = (open_transaction(envelope, chain.network.id) for envelope in kept)
        self._kept = {signed.id: signed for signed in opened}

    async def submit(self, envelope: Envelope) -> Signed[Transaction]:
        """Take a transaction in; once this returns, a crash can't lose it.

        Raises Rejected with the rule that it breaks, or why it may not wait.
        """
        signed = open_transaction(envelope, self._chain.network.id)
        if signed.id in self._kept:
            return signed
        if len(self._kept) >= MAX_HELD:
            raise Rejected(Reason.MEMPOOL_FULL, f"{MAX_HELD} transactions of this node wait")
        try:
            if isinstance(signed.message, Publish):
                self._mempool.check(signed, *self._ground())
                await self._searchable.check(signed)
            self._mempool.add(signed, *self._ground())
        except Rejected as refusal:
            # It may have come from a peer before.
            if refusal.reason is not Reason.KNOWN:
                raise
        await self._writer.write([Put(Table.SUBMITTED, signed.id, encode(envelope))])
        self._kept[signed.id] = signed
        self._send(envelope)
        return signed

    def next_nonce(self, sender: bytes) -> int:
        """The nonce of a sender's next transaction, behind all of its that wait."""
        return self._mempool.next_nonce(sender, self._chain.tree.head().state)

    async def follow(self) -> None:
        """Let all that waits follow the chain, and offer the kept ones again, here and to peers."""
        await self._mempool.follow(
            self._chain.next_context(), self._chain.tree.head().state, self._chain.final_state
        )
        settled = [signed for row in self._rows() for signed in self._offer_row(row)]
        for signed in settled:
            del self._kept[signed.id]
        if settled:
            await self._writer.write([Delete(Table.SUBMITTED, signed.id) for signed in settled])

    def _rows(self) -> list[list[Signed[Transaction]]]:
        """The kept ones by sender, each sender's ascending by nonce."""
        ordered = sorted(self._kept.values(), key=lambda s: (s.signer, s.message.nonce))
        return [list(row) for _, row in groupby(ordered, key=lambda signed: signed.signer)]

    def _offer_row(self, row: list[Signed[Transaction]]) -> Iterator[Signed[Transaction]]:
        """Offer one sender's anew; yields those that need not be kept any longer."""
        final, head = self._chain.final_state, self._chain.tree.head().state
        is_broken = False
        for signed in row:
            nonce = signed.message.nonce
            if nonce < final.account(signed.signer).nonce:
                yield signed
            elif nonce >= head.account(signed.signer).nonce:
                refusal = self._refusal(signed)
                is_broken = is_broken or self._is_hopeless(signed, refusal)
                if is_broken:
                    _log.warning("transaction_dropped", id=signed.id, reason=str(refusal))
                    yield signed
                elif refusal is None:
                    self._send(signed.envelope)

    def _refusal(self, signed: Signed[Transaction]) -> Rejected | None:
        """Why the mempool does not hold it, unless it does."""
        try:
            self._mempool.add(signed, *self._ground())
        except Rejected as refusal:
            return None if refusal.reason is Reason.KNOWN else refusal
        return None

    def _is_hopeless(self, signed: Signed[Transaction], refusal: Rejected | None) -> bool:
        """Whether neither the followed chain nor what is final of it can apply a transaction."""
        if refusal is None or refusal.reason in _PASSING:
            return False
        final, context = self._chain.final_state, self._chain.next_context()
        if signed.message.nonce > final.account(signed.signer).nonce:
            # What comes before it is not final yet, and may fail on another fork.
            return False
        try:
            apply_transaction(Draft(final, context.round), context, signed)
        except Rejected:
            return True
        return False

    def _ground(self) -> tuple[RoundContext, State]:
        """What the mempool judges by."""
        return self._chain.next_context(), self._chain.tree.head().state
