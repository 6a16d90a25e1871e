"""What a node shows of accounts, and how it takes transactions in."""

import asyncio
from collections.abc import Iterator
from enum import StrEnum

from node.chain.block import Block
from node.chain.bonds import BondKey, BondKind
from node.chain.eras import Seats
from node.chain.errors import Rejected
from node.chain.inclusion import prove_account
from node.chain.messages import AddBond, Envelope, Faucet, Kind, Transaction, Transfer
from node.chain.published.terms import Publish
from node.consensus.chain import Chain
from node.consensus.submissions import Submissions
from node.identity import AddressError, format_address, parse_address
from node.inspection.blocks import rewards_of, seats_known
from node.views.ledger import (
    AccountProofView,
    AccountView,
    BondsView,
    BondView,
    EntryView,
    HistoryView,
    SubmittedView,
    UnbondingView,
)
from node.views.status import InvalidQuery, UnknownItem

SCANNED = 64
"""Blocks that one answer looks through; there is no index."""


class EntryKind(StrEnum):
    """How a block changed an account, beside its own transactions and what `MovementKind` has."""

    RECEIVED = "received"
    MINED = "mined"
    ATTESTED = "attested"


class ChainLedger:
    """Implements `node.views.ledger.Ledger` over a node's chain."""

    def __init__(self, chain: Chain, submissions: Submissions) -> None:
        self._chain = chain
        self._submissions = submissions

    def account(self, address: str, block: bytes | None) -> AccountView:
        key = _parse(address)
        block_id = self._chain.tree.head().id if block is None else block
        if block_id not in self._chain.tree:
            raise UnknownItem(f"this node keeps no state of block {block_id.hex()}")
        state = self._chain.tree.entry(block_id).state
        account, proof = state.account(key), prove_account(state, key)
        return AccountView(
            address=address,
            balance=account.balance,
            nonce=account.nonce,
            proof=AccountProofView(
                block=block_id,
                round=state.round,
                final=self._is_final(state.height, block_id),
                root_parts=proof.root_parts,
                siblings=proof.way.siblings,
                other_key=proof.way.other_key,
                other_record=proof.way.other_record,
            ),
            next_nonce=self._submissions.next_nonce(key),
            faucet_era=account.faucet_era,
        )

    def bonds(self, address: str) -> BondsView:
        key, state = _parse(address), self._chain.tree.head().state
        found = ((BondKey.from_bytes(name), bond) for name, bond in state.bonds.items())
        shown = [
            BondView(
                kind=of.kind.name.lower(),
                identity=format_address(of.identity),
                owner=format_address(bond.owner),
                amount=bond.amount,
                unbonding=[UnbondingView(e.amount, e.release_era) for e in bond.unbonding],
                weight=_weight(state.eras.current, of),
                next_weight=_weight(state.eras.next, of),
            )
            for of, bond in found
            if key in (of.identity, bond.owner)
        ]
        return BondsView(state.eras.era, sorted(shown, key=lambda b: (b.kind, b.identity)))

    async def history(self, address: str, below: int) -> HistoryView:
        key = _parse(address)
        top = self._chain.tree.head().state.height
        first = min(below - 1, top) if below else top
        last = max(1, first - SCANNED + 1)
        ids = [(height, self._chain.id_at(height)) for height in range(first, last - 1, -1)]
        # Reading and decoding many blocks is for a thread, since the node has to go on.
        entries = await asyncio.to_thread(
            lambda: [
                entry
                for height, block_id in ids
                if block_id is not None
                for entry in self._entries(key, height, block_id)
            ]
        )
        return HistoryView(entries, last if last > 1 else 0)

    async def submit(self, envelope: Envelope) -> SubmittedView:
        try:
            signed = await self._submissions.submit(envelope)
        except Rejected as refusal:
            return SubmittedView(b"", refusal.reason, refusal.detail)
        return SubmittedView(signed.id, "", "")

    def _is_final(self, height: int, block_id: bytes) -> bool:
        return height <= self._chain.final_height and self._chain.id_at(height) == block_id

    def _entries(self, key: bytes, height: int, block_id: bytes) -> Iterator[EntryView]:
        record = self._chain.record(block_id)
        if record is None:
            return
        moved = [each for each in self._chain.movements(block_id) if each.address == key]
        # Most blocks do not name the account anywhere, and need not be decoded.
        if not moved and key not in record.row.header and key not in record.body:
            return
        block = record.open(self._chain.network.id)
        final = self._is_final(height, block_id)
        beside: list[Event] = [(each.kind, each.amount, 0, "", b"") for each in reversed(moved)]
        faucet = self._chain.network.parameters.faucet
        for event in (*beside, *_earned(self._chain, block, key), *_moved(block, key, faucet)):
            yield EntryView(height, block.round, final, block_id, *event)


Event = tuple[str, int, int, str, bytes]
"""Kind, amount, fee, the other's address and the transaction's id, as in `EntryView`."""


def _earned(chain: Chain, block: Block, key: bytes) -> Iterator[Event]:
    """What the block paid an account for work."""
    payouts, for_attesters = rewards_of(
        chain.network.parameters, seats_known(chain, block.round), block, chain.win(block.id)
    )
    for kind, lines in ((EntryKind.MINED, payouts), (EntryKind.ATTESTED, for_attesters)):
        for line in lines:
            if line.address == format_address(key):
                yield kind, line.amount, 0, "", b""


def _moved(block: Block, key: bytes, faucet: int) -> Iterator[Event]:
    """Transactions of the account and payments to it, newest first."""
    for signed in reversed(block.transactions):
        message, kind = signed.message, Kind(signed.envelope.kind).name.lower()
        match message:
            case Transfer(recipient=recipient, amount=amount) if signed.signer == key:
                yield kind, amount, message.fee, format_address(recipient), signed.id
            case Transfer(recipient=recipient, amount=amount) if recipient == key:
                payer = format_address(signed.signer)
                yield EntryKind.RECEIVED, amount, 0, payer, signed.id
            case _ if signed.signer == key:
                yield kind, _amount(message, faucet), message.fee, "", signed.id


def _amount(message: Transaction, faucet: int) -> int:
    """Base units that a transaction takes from its signer, or gives it, beside the fee."""
    match message:
        case AddBond(amount=amount):
            return amount
        case Publish() as terms:
            return terms.escrow
        case Faucet():
            return faucet
    return 0


def _weight(seats: Seats, of: BondKey) -> int:
    return seats.weights.get(of.identity, 0) if of.kind is BondKind.ATTEST else 0


def _parse(address: str) -> bytes:
    try:
        return parse_address(address)
    except AddressError as error:
        raise InvalidQuery(str(error)) from error
