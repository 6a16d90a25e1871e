"""What a node tells of accounts, their history, and the transactions it takes in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.chain.block import open_header
from node.chain.bonds import BondKind
from node.chain.codec import decode
from node.chain.envelope import sign
from node.chain.inclusion import AccountProof, verify_account
from node.chain.messages import AddBond, Envelope, Faucet, Transaction, Transfer
from node.chain.params import DIGITS, FAST
from node.chain.state import Account
from node.chain.table import TableProof
from node.identity import format_address
from node.inspection import ledger as ledger_inspection
from node.inspection.ledger import ChainLedger
from node.views.ledger import AccountView
from node.views.status import InvalidQuery, UnknownItem
from tests.chain_world import (
    ATTESTERS,
    ENDOWMENT,
    FEE,
    PAYOUTS,
    PRODUCERS,
    World,
    make_network,
    public,
)
from tests.desk import Desk

PAYER, PRODUCER = PRODUCERS
PAYEE = b"r" * 32
AMOUNT = FAST.account_deposit
LOSSES = ("transfer", "add_bond", "unit-fee", "swept")


@pytest.fixture
def desk() -> Desk:
    return Desk(World())


def ledger_of(desk: Desk) -> ChainLedger:
    return ChainLedger(desk.chain, desk.submissions)


def is_proved(desk: Desk, view: AccountView, address: bytes, account: Account | None) -> bool:
    """Whether the header of the proof's block has the account."""
    record = desk.chain.record(view.proof.block)
    assert record is not None
    header = open_header(decode(Envelope, record.row.header), desk.world.network.id)
    way = TableProof(tuple(view.proof.siblings), view.proof.other_key, view.proof.other_record)
    proof = AccountProof(tuple(view.proof.root_parts), way)
    return verify_account(header.message.state_root, address, account, proof)


async def test_an_account_is_shown_with_a_proof(desk: Desk) -> None:
    signed = desk.world.transfer(PAYER, PAYEE, AMOUNT, 0)
    first = await desk.mine(signed)
    ledger = ledger_of(desk)
    view = ledger.account(format_address(public(PAYER)), None)
    assert (view.balance, view.nonce) == (ENDOWMENT - AMOUNT - FEE, 1)
    assert (view.proof.block, view.proof.round, view.proof.final) == (first.id, 1, False)
    assert is_proved(desk, view, public(PAYER), Account(view.balance, view.nonce))
    nobody = ledger.account(format_address(b"n" * 32), None)
    assert (nobody.balance, nobody.nonce) == (0, 0)
    assert is_proved(desk, nobody, b"n" * 32, None)
    for _ in range(2):
        await desk.mine()
    assert ledger.account(format_address(PAYEE), first.id).proof.final


async def test_history_tells_newest_first_what_changed(desk: Desk) -> None:
    signed = desk.world.transfer(PAYER, PAYEE, AMOUNT, 0)
    await desk.mine()
    block = await desk.mine(signed)
    ledger = ledger_of(desk)
    (sent,) = (await ledger.history(format_address(public(PAYER)), 0)).entries
    assert (sent.kind, sent.amount, sent.fee) == ("transfer", AMOUNT, FEE)
    assert (sent.other, sent.transaction) == (format_address(PAYEE), signed.id)
    assert (sent.height, sent.round, sent.block, sent.final) == (2, 2, block.id, False)
    (received,) = (await ledger.history(format_address(PAYEE), 0)).entries
    assert (received.kind, received.amount, received.fee) == ("received", AMOUNT, 0)
    assert received.other == format_address(public(PAYER))


async def test_history_tells_what_work_was_paid(desk: Desk) -> None:
    await desk.mine()
    await desk.mine(desk.world.transfer(PAYER, PAYEE, AMOUNT, 0))
    ledger, state = ledger_of(desk), desk.chain.tree.head().state
    for key in (PAYOUTS[0].address, public(ATTESTERS[0]), public(PRODUCER)):
        entries = (await ledger.history(format_address(key), 0)).entries
        before = ENDOWMENT if key not in {line.address for line in PAYOUTS} else 0
        assert sum(entry.amount for entry in entries) == state.account(key).balance - before
    kinds = [entry.kind for entry in (await ledger.history(format_address(key), 0)).entries]
    assert kinds == ["fees", "attested"]


async def test_history_leads_to_the_balance() -> None:
    parameters = replace(FAST, era_rounds=2, task=DIGITS)
    desk, network = Desk(World(make_network(parameters))), make_network(parameters)
    messages: list[Transaction] = [
        Faucet(0, 40_000),
        AddBond(BondKind.ATTEST, public(PAYER), parameters.unit_bond, 1, 40_000),
        Transfer(PAYEE, AMOUNT - 1, 2, 40_000),
    ]
    await desk.mine()
    for message in messages:
        await desk.mine(sign(message, PAYER, network.id))
    ledger, seen = ledger_of(desk), set[str]()
    for key in (public(PAYER), public(PRODUCER), public(ATTESTERS[0]), PAYEE):
        entries = (await ledger.history(format_address(key), 0)).entries
        seen |= {entry.kind for entry in entries}
        gains = sum((-1 if e.kind in LOSSES else 1) * e.amount - e.fee for e in entries)
        before = 0 if key == PAYEE else ENDOWMENT
        assert before + gains == desk.chain.tree.head().state.account(key).balance
    assert seen == {"faucet", "add_bond", "transfer", "received", "swept"} | {
        "attested",
        "fees",
        "unit-fee",
    }


async def test_history_comes_in_portions(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_inspection, "SCANNED", 2)
    for _ in range(5):
        await desk.mine()
    ledger, below, heights = ledger_of(desk), 0, []
    while True:
        page = await ledger.history(format_address(PAYOUTS[0].address), below)
        heights.append([entry.height for entry in page.entries])
        below = page.next
        if not below:
            break
    assert heights == [[5, 4], [3, 2], [1]]
    assert (await ledger.history(format_address(PAYEE), 99)).next == 4


async def test_what_can_not_be_shown(desk: Desk) -> None:
    ledger = ledger_of(desk)
    with pytest.raises(InvalidQuery):
        ledger.account("pn-typo", None)
    with pytest.raises(InvalidQuery):
        await ledger.history("pn-typo", 0)
    with pytest.raises(UnknownItem, match="keeps no state"):
        ledger.account(format_address(PAYEE), b"?" * 32)


async def test_submitting_says_the_id_or_the_reason(desk: Desk) -> None:
    ledger, signed = ledger_of(desk), desk.world.transfer(PAYER, PAYEE, AMOUNT, 0)
    taken = await ledger.submit(signed.envelope)
    assert (taken.id, taken.reason) == (signed.id, "")
    refused = await ledger.submit(desk.world.transfer(PAYER, PAYEE, AMOUNT, 5).envelope)
    assert (refused.id, refused.reason) == (b"", "orphan-nonce")
    assert "4 is not here" in refused.detail
