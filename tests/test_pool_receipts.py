"""Receipts and notices: what a miner takes from a manager, and what it keeps."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.chain.envelope import sign
from node.chain.hashing import MAX_INT
from node.chain.messages import MAX_PAYOUT_LINES, Payload, PayoutLine, PayoutNotice, Receipt
from node.store.memory import MemoryStore
from pool.manager.receipts import Receipts
from pool.proofs.receipts import (
    Objection,
    ProofError,
    check_notice,
    check_receipt,
    make_notices,
    make_receipt,
)
from pool.proofs.shelf import (
    KEPT_PAGE_ROUNDS,
    KEPT_ROUNDS,
    MAX_NOTICES,
    PageShelf,
    ReceiptShelf,
)
from pool.records import events
from pool.rules.audits import Suspicion
from pool.rules.worth import Worth
from tests.pool_states import handed_out, open_round
from tests.pool_world import NETWORK_ID, key_of, public
from tests.proof_world import MANAGER, share

SHARE = share("a", work=700)
REPORTED = msgspec.structs.replace(SHARE, work=0)
COMMITMENT, SHARE_LOG = bytes(range(32)), bytes(range(1, 33))


def refusal_of_receipt(receipt: Payload, signer: str = "manager") -> Objection | None:
    envelope = sign(receipt, key_of(signer), NETWORK_ID).envelope
    try:
        check_receipt(envelope, NETWORK_ID, MANAGER, 1, REPORTED)
    except ProofError as error:
        return error.objection
    return None


def test_a_receipt_for_what_was_reported_is_taken_whatever_the_work() -> None:
    envelope = sign(
        make_receipt(1, SHARE, True, Worth.FULL), key_of("manager"), NETWORK_ID
    ).envelope

    taken = check_receipt(envelope, NETWORK_ID, MANAGER, 1, REPORTED)

    assert (taken.message.work, taken.message.confirmed) == (700, 1)


@pytest.mark.parametrize(
    ("change", "objection"),
    [
        ({"round": 2}, Objection.OTHER_RESULT),
        ({"miner": public("b")}, Objection.OTHER_RESULT),
        ({"model_hash": bytes(32)}, Objection.OTHER_RESULT),
        ({"correct": 299}, Objection.OTHER_RESULT),
        ({"size": 361}, Objection.OTHER_RESULT),
        ({"share": bytes(32)}, Objection.OTHER_SHARE),
        ({"work": 701}, Objection.OTHER_SHARE),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_receipt_for_anything_else_is_not(
    change: dict[str, bytes | int], objection: Objection
) -> None:
    receipt = replace(make_receipt(1, SHARE, False, Worth.FULL), **change)  # type: ignore[arg-type]

    assert refusal_of_receipt(receipt) is objection


def test_a_receipt_of_somebody_else_is_not_taken() -> None:
    assert refusal_of_receipt(make_receipt(1, SHARE, False, Worth.FULL), "b") is Objection.SIGNER


def test_what_is_no_receipt_is_not_taken() -> None:
    assert refusal_of_receipt(notices(3)[public("a")]) is Objection.ENVELOPE


def notices(count: int, round_number: int = 1) -> dict[bytes, PayoutNotice]:
    named = sorted([public("a"), *(bytes([n % 251, n // 251]) * 16 for n in range(count - 1))])
    lines = [PayoutLine(address, 10 + at) for at, address in enumerate(named)]
    return dict(make_notices(round_number, COMMITMENT, SHARE_LOG, lines))


def refusal_of_notice(notice: Payload, signer: str = "manager") -> Objection | None:
    envelope = sign(notice, key_of(signer), NETWORK_ID).envelope
    try:
        check_notice(envelope, NETWORK_ID, MANAGER, public("a"), range(1, 2))
    except ProofError as error:
        return error.objection
    return None


@pytest.mark.parametrize("lines", [1, 2, 7, MAX_PAYOUT_LINES])
def test_every_line_has_a_notice_that_proves_it(lines: int) -> None:
    made = notices(lines)

    assert len(made) == lines
    assert refusal_of_notice(made[public("a")]) is None
    assert all(notice.lines == lines for notice in made.values())


@pytest.mark.parametrize(
    ("change", "objection"),
    [
        ({"address": public("b")}, Objection.OTHER_ADDRESS),
        ({"round": 2}, Objection.OTHER_ROUND),
        ({"weight": 1}, Objection.NO_PROOF),
        ({"index": 0}, Objection.NO_PROOF),
        ({"lines": 6}, Objection.NO_PROOF),
        ({"path": ()}, Objection.NO_PROOF),
        ({"payout_root": bytes(32)}, Objection.NO_PROOF),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_notice_that_proves_nothing_is_not_taken(
    change: dict[str, bytes | int], objection: Objection
) -> None:
    notice = notices(7)[public("a")]
    assert notice.index != 0

    assert refusal_of_notice(replace(notice, **change)) is objection  # type: ignore[arg-type]


def test_a_notice_of_somebody_else_is_not_taken() -> None:
    assert refusal_of_notice(notices(7)[public("a")], "b") is Objection.SIGNER
    assert refusal_of_notice(make_receipt(1, SHARE, False, Worth.FULL)) is Objection.ENVELOPE


def test_receipts_and_notices_are_kept_by_round() -> None:
    store = MemoryStore()
    shelf = ReceiptShelf(store)
    receipt = sign(make_receipt(3, SHARE, False, Worth.FULL), key_of("manager"), NETWORK_ID)
    notice = sign(notices(3, 3)[public("a")], key_of("manager"), NETWORK_ID)
    store.write(shelf.keep_receipt(receipt))
    store.write(shelf.keep_receipt(receipt))
    store.write(shelf.keep_notice(notice))

    assert list(shelf.rounds()) == [3]
    assert list(shelf.receipts(3)) == [receipt.envelope]
    assert list(shelf.notices(3)) == [notice.envelope]
    assert list(shelf.receipts(2)) == list(shelf.notices(4)) == []


@given(st.lists(st.integers(1, 300), min_size=1, max_size=12))
def test_the_newest_rounds_are_kept(rounds: list[int]) -> None:
    store = MemoryStore()
    shelf = ReceiptShelf(store)
    for number in sorted(rounds):
        signed = sign(make_receipt(number, SHARE, False, Worth.FULL), key_of("manager"), NETWORK_ID)
        store.write(shelf.keep_receipt(signed))

    newest = max(rounds)
    assert list(shelf.rounds()) == sorted({n for n in rounds if n > newest - KEPT_ROUNDS})


def test_the_last_round_of_all_can_be_kept() -> None:
    store = MemoryStore()
    shelf = ReceiptShelf(store)
    receipt = replace(make_receipt(1, SHARE, False, Worth.FULL), round=MAX_INT)
    store.write(shelf.keep_receipt(sign(receipt, key_of("manager"), NETWORK_ID)))

    assert list(shelf.rounds()) == [MAX_INT]


def test_a_manager_can_fill_no_disk_with_notices() -> None:
    store = MemoryStore()
    shelf = ReceiptShelf(store)
    notice = notices(3)[public("a")]
    for number in range(MAX_NOTICES + 3):
        other = replace(notice, commitment=bytes([number]) * 32)
        store.write(shelf.keep_notice(sign(other, key_of("manager"), NETWORK_ID)))
    of_another = sign(notice, key_of("other manager"), NETWORK_ID)
    store.write(shelf.keep_notice(of_another))

    kept = [envelope.public_key for envelope in shelf.notices(1)]
    assert kept.count(MANAGER) == MAX_NOTICES
    assert kept.count(public("other manager")) == 1


def test_pages_are_found_by_hash_also_after_a_restart() -> None:
    store = MemoryStore()
    shelf = PageShelf(store)
    store.write(shelf.keep(1, b"\x01" * 32, b"first"))
    store.write(shelf.keep(2, b"\x02" * 32, b"second"))

    for found in (shelf, PageShelf(store)):
        assert found.page(b"\x01" * 32) == b"first"
        assert found.page(b"\x02" * 32) == b"second"
        assert found.page(b"\x03" * 32) is None


def test_the_pages_of_the_newest_rounds_with_any_are_kept() -> None:
    """A pool that has had no work for long pays by what it had before."""
    store = MemoryStore()
    shelf = PageShelf(store)
    hashes = [bytes([number]) * 32 for number in range(KEPT_PAGE_ROUNDS + 1)]
    for number, hash_ in enumerate(hashes[:-1]):
        store.write(shelf.keep(1_000 * number, hash_, b"page"))
    assert shelf.page(hashes[0]) == b"page"
    store.write(shelf.keep(1_000 * KEPT_PAGE_ROUNDS, hashes[-1], b"page"))

    for found in (shelf, PageShelf(store)):
        assert [hash_ for hash_ in hashes if found.page(hash_) is None] == hashes[:1]


def test_a_receipt_names_the_result() -> None:
    receipt = make_receipt(1, SHARE, False, Worth.FULL)

    assert isinstance(receipt, Receipt)
    assert (receipt.correct, receipt.size, receipt.work, receipt.confirmed) == (300, 360, 700, 0)
    assert receipt.worth == b"full"


@pytest.mark.parametrize(
    ("worth", "suspicions", "word"),
    [
        (Worth.FULL, (), b"full"),
        (Worth.FULL, (Suspicion.OUT_OF_CLASS,), b"full"),
        (Worth.FULL, (Suspicion.TOO_FAST,), b"too-fast"),
        (Worth.REPEATED, (), b"repeated"),
    ],
)
def test_a_receipt_says_why_it_is_so_much_work(
    worth: Worth, suspicions: tuple[Suspicion, ...], word: bytes
) -> None:
    accepted = events.ResultAccepted(
        at_ms=0,
        miner=public("s"),
        assignment=1,
        episode=0,
        genotype=SHARE.genotype,
        training_seed=1,
        correct=300,
        size=360,
        epochs=10,
        model_hash=SHARE.model_hash,
        work=700,
        worth=worth,
        trainings=(),
        suspicions=suspicions,
        is_confirmed=False,
        audit=None,
    )

    assert Receipts().give(accepted, handed_out(open_round(strong="s"))).worth == word
