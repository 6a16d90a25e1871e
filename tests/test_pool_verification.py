"""Checking a manager's word: an honest pool has no findings, each lie has its own."""

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.chain.commits import commit_id
from node.chain.hashing import blake, u64
from node.chain.messages import Commit, PayoutLine, PayoutNotice
from pool.proofs.findings import Finding, Kind
from pool.proofs.logaudit import MAX_LOG_PAGES, Log, read_log
from pool.proofs.receipts import make_notices, make_receipt
from pool.proofs.sharelog import FIRST_PAGE, Page, Terms, open_page, pack_page
from pool.proofs.verification import Payment, WonBlock, audit_manager, verify_payout
from pool.rules.audits import Suspicion
from pool.rules.payout import TOTAL_WEIGHT
from pool.rules.window import LOG_ROUNDS, WINDOW_ROUNDS
from pool.rules.worth import Worth
from tests.pool_world import NETWORK_ID, public
from tests.proof_world import MANAGER, UNIT, PoolRecords, claim, share


def played(rounds: int = 3) -> PoolRecords:
    records = PoolRecords()
    for number in range(1, rounds + 1):
        records.play(number, {"a": [100, 50], "b": [70], "c": [10 * number]})
    return records


def audit(records: PoolRecords, miner: str = "a", **changes: object) -> tuple[Finding, ...]:
    known: dict[str, object] = {
        "receipts": records.receipts.get(miner, []),
        "notices": records.notices.get(miner, []),
        "blocks": records.blocks,
        "logs": records.logs(miner),
        "most_work": lambda number, share: None,
        "fee_permille": records.fee_permille,
    }
    return audit_manager(NETWORK_ID, MANAGER, **(known | changes))  # type: ignore[arg-type]


def kinds(found: tuple[Finding, ...]) -> list[tuple[Kind, int]]:
    return [(finding.kind, finding.round) for finding in found]


works = st.dictionaries(
    st.sampled_from("abc"), st.lists(st.integers(0, 10**15), min_size=1, max_size=4), min_size=1
)


@given(st.lists(works, min_size=1, max_size=5), st.booleans())
def test_an_honest_pool_has_no_findings(rounds: list[dict[str, list[int]]], wins: bool) -> None:
    records = PoolRecords()
    for number, work in enumerate(rounds, start=1):
        records.play(number, work, producer=MANAGER if wins else public("rival"))

    for miner in records.notices:
        for finding in audit(records, miner):
            # A hint alone: the payout has left out what is dust, or too old.
            assert finding.kind is Kind.NOTICE_MISSING
            assert public(miner) not in {
                line.address for line in records.blocks[finding.round].lines
            }


def test_shares_that_are_held_back_are_told_to_their_miner_and_the_lines_follow() -> None:
    records = played(2)
    records.play(3, {"a": [100, 50], "b": [70]}, held={"a": 1})

    assert kinds(audit(records, "a")) == [(Kind.HELD_BACK, 3)]
    assert audit(records, "b") == ()


def test_a_line_in_the_block_is_paid() -> None:
    records = played(1)
    (notice,) = records.notices["a"]

    assert verify_payout(notice, NETWORK_ID, MANAGER, records.blocks[1]) is Payment.PAID


@pytest.mark.parametrize(
    ("change", "payment"),
    [
        ({"producer": public("rival")}, Payment.NOT_WON),
        ({"commit_ids": (bytes(32),)}, Payment.OTHER_COMMITMENT),
        ({"claim": claim(1, ())}, Payment.OTHER_ROOT),
        ({"lines": (PayoutLine(public("a"), 1),)}, Payment.NOT_IN_BLOCK),
    ],
)
def test_any_other_block_does_not_pay_it(change: dict[str, object], payment: Payment) -> None:
    records = played(1)
    records.change_block(1, **change)
    (notice,) = records.notices["a"]

    assert verify_payout(notice, NETWORK_ID, MANAGER, records.blocks[1]) is payment


def test_a_round_without_a_block_pays_nobody() -> None:
    (notice,) = played(1).notices["a"]

    assert verify_payout(notice, NETWORK_ID, MANAGER, None) is Payment.NOT_WON


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"commit_ids": ()}, Kind.OTHER_COMMITMENT),
        ({"claim": claim(2, ())}, Kind.OTHER_ROOT),
        ({"lines": ()}, Kind.NOT_PAID),
    ],
)
def test_a_block_against_the_notice_is_shown(change: dict[str, object], kind: Kind) -> None:
    records = played()
    records.change_block(2, **change)

    assert kinds(audit(records)) == [(kind, 2)]


def test_a_pool_with_several_units_owes_one_of_its_notices() -> None:
    records = played(1)
    (notice,) = records.notices["a"]
    other = replace(notice, commitment=bytes(32))

    assert audit(records, notices=[other, notice]) == ()
    assert kinds(audit(records, notices=[other])) == [(Kind.OTHER_COMMITMENT, 1)]


def test_a_model_that_wins_under_another_key_is_shown() -> None:
    records = played()
    handed_in = records.receipts["a"][2]
    records.change_block(2, producer=public("phantom"))
    records.change_claim(2, model_hash=handed_in.model_hash)

    assert kinds(audit(records)) == [(Kind.MODEL_WON_ELSEWHERE, 2)]


def test_a_receipted_result_that_is_not_logged_is_shown() -> None:
    records = played()
    lost = make_receipt(2, share("a", 9, 100, 2), False, Worth.FULL)

    found = audit(records, receipts=[*records.receipts["a"], lost])

    assert kinds(found) == [(Kind.SHARE_MISSING, 2)]


def test_results_after_the_newest_commitment_are_not_due_yet() -> None:
    records = played()
    late = make_receipt(3, share("a", 9, 100, 3), False, Worth.FULL)

    assert audit(records, receipts=[*records.receipts["a"], late]) == ()


def test_a_result_logged_with_less_work_is_shown() -> None:
    records = played()
    logged = share("a", 0, 100, 1)
    promised = make_receipt(1, msgspec.structs.replace(logged, work=101), False, Worth.FULL)

    assert kinds(audit(records, receipts=[promised])) == [(Kind.WORK_LOWERED, 1)]


def test_a_page_that_is_not_handed_out_is_shown() -> None:
    records = played(2)
    (first, second) = (notice.share_log for notice in records.notices["a"])
    del records.pages[first]

    assert kinds(audit(records)) == [(Kind.LOG_MISSING, 1), (Kind.LOG_MISSING, 2)]
    assert kinds(audit(records, logs={first: records.log(first), second: Log((), second)})) == [
        (Kind.LOG_MISSING, 1),
        (Kind.LOG_MISSING, 2),
    ]
    assert kinds(audit(records, logs={})) == [(Kind.LOG_MISSING, 1), (Kind.LOG_MISSING, 2)]


def test_a_forfeit_is_told_with_its_reason() -> None:
    records = PoolRecords()
    records.play(1, {"a": [100], "b": [100]})
    records.play(2, {"a": [100], "b": [100]}, caught=("a",))
    records.play(3, {"a": [100], "b": [100]})

    found = audit(records)

    assert kinds(found) == [(Kind.WORK_FORFEITED, 2)]
    assert "count-differs" in found[0].detail
    assert audit(records, "b") == ()


def test_lines_that_do_not_follow_from_the_log_are_shown() -> None:
    records = played(1)
    (notice,) = records.notices["a"]
    (page,) = records.log(notice.share_log).pages
    # The manager logs another fee than it took.
    altered = replace(page, terms=(Terms(public("finder"), MANAGER, 0),))
    hash_, data = pack_page(altered)
    records.pages[hash_] = data
    records.notices["a"] = [replace(notice, share_log=hash_)]

    assert kinds(audit(records)) == [(Kind.LINES_DIFFER, 1)]


@pytest.mark.parametrize(
    ("fee", "shown", "is_found"),
    [(10, 10, False), (10, 11, False), (10, 9, True), (100, 100, False), (101, 101, True)],
)
def test_a_fee_above_what_the_pool_shows_or_any_node_takes_is_shown(
    fee: int, shown: int, is_found: bool
) -> None:
    records = PoolRecords(fee_permille=fee)
    records.play(1, {"a": [100], "b": [70]})

    found = audit(records, fee_permille=shown)

    assert kinds(found) == ([(Kind.FEE_DIFFERS, 1)] if is_found else [])
    assert all(f"takes {fee} thousandths" in finding.detail for finding in found)


def test_a_log_without_terms_is_shown() -> None:
    records = played(1)
    (notice,) = records.notices["a"]
    (page,) = records.log(notice.share_log).pages
    log = Log((replace(page, terms=()),))

    assert kinds(audit(records, logs={notice.share_log: log})) == [(Kind.LINES_DIFFER, 1)]


def test_a_log_that_reaches_back_far_enough_needs_no_first_page() -> None:
    records = played(LOG_ROUNDS + 3)
    newest = records.notices["a"][-1]
    pages = records.log(newest.share_log).pages

    assert not Log(pages[-LOG_ROUNDS:]).is_deep
    assert Log(pages[-LOG_ROUNDS - 1 :]).is_deep
    logs = {newest.share_log: Log(pages[-LOG_ROUNDS - 1 :])}
    assert audit(records, notices=[newest], blocks={}, logs=logs) == ()


def test_a_won_block_after_receipted_work_without_a_notice_is_shown() -> None:
    """The manager keeps everything: its block pays nobody else, and nobody is told."""
    records = played(1)
    records.change_block(1, lines=(PayoutLine(MANAGER, TOTAL_WEIGHT),))

    assert kinds(audit(records, notices=[], logs={})) == [(Kind.NOTICE_MISSING, 1)]


@pytest.mark.parametrize(
    ("number", "work", "is_due"),
    [(2, 1, True), (5, 1, True), (2, 0, False), (1, 1, False), (6, 1, False)],
)
def test_only_work_that_a_block_pays_calls_for_a_notice(
    number: int, work: int, is_due: bool
) -> None:
    records = played(1)
    records.blocks = {WINDOW_ROUNDS + 1: records.blocks[1]}
    receipt = replace(records.receipts["a"][0], round=number, work=work)

    found = audit(records, receipts=[receipt], notices=[], logs={})

    assert kinds(found) == ([(Kind.NOTICE_MISSING, WINDOW_ROUNDS + 1)] if is_due else [])


def test_a_block_that_somebody_else_won_calls_for_no_notice() -> None:
    records = played(1)
    records.change_block(1, producer=public("rival"))

    assert audit(records, notices=[], logs={}) == ()


def page_of(records: PoolRecords) -> Callable[[bytes], Page | None]:
    return lambda hash_: open_page(records.pages[hash_], hash_) if hash_ in records.pages else None


def test_rounds_without_work_are_no_gap_in_a_log() -> None:
    records = PoolRecords()
    for number in range(1, 3 * LOG_ROUNDS):
        records.play(number, {"a": [100 if number % 5 else 0], "b": [100 if number % 5 else 0]})
    newest = records.notices["a"][-1]

    log = read_log(newest.share_log, page_of(records))

    assert log.is_deep
    assert log.pages[0].before != FIRST_PAGE
    assert audit(records, notices=[newest], blocks={}, logs={newest.share_log: log}) == ()


def skimmed(records: PoolRecords, number: int, before: bytes) -> PayoutNotice:
    """A round whose lines leave nearly nothing to a miner, although its log holds all shares; the
    log goes on with a page that the manager names."""
    shares = tuple(share("a", episode, 100, number) for episode in range(3))
    terms = (Terms(MANAGER, MANAGER, 0),)
    hash_, data = pack_page(Page(MANAGER, number, before, shares, (), terms))
    records.pages[hash_] = data
    mine = PayoutLine(public("a"), 1_000)
    rest = PayoutLine(MANAGER, TOTAL_WEIGHT - mine.weight)
    lines = tuple(sorted((mine, rest), key=lambda line: line.address))
    commitment = blake("test/commitment", u64(number))
    id_ = commit_id(NETWORK_ID, MANAGER, Commit(number, UNIT, commitment))
    records.blocks[number] = WonBlock(MANAGER, claim(number, lines), (id_,), lines)
    return make_notices(number, commitment, hash_, lines)[public("a")]


@pytest.mark.parametrize("pages", [1, MAX_LOG_PAGES])
def test_a_log_that_does_not_reach_back_hides_no_skimming(pages: int) -> None:
    """Empty pages of old rounds, after an invented one, are no reason to compute nothing."""
    records = PoolRecords()
    before = bytes([7]) * 32
    for _ in range(pages):
        before, data = pack_page(Page(MANAGER, 1, before))
        records.pages[before] = data
    notice = skimmed(records, 40, before)

    logs = {notice.share_log: read_log(notice.share_log, page_of(records))}
    found = audit(records, notices=[notice], logs=logs)

    assert kinds(found) == [
        (Kind.LOG_MISSING if pages == 1 else Kind.LOG_SHALLOW, 40),
    ]


def test_a_log_that_reaches_back_shows_the_skimming() -> None:
    records = PoolRecords()
    notice = skimmed(records, 40, FIRST_PAGE)

    logs = {notice.share_log: read_log(notice.share_log, page_of(records))}

    assert kinds(audit(records, notices=[notice], logs=logs)) == [(Kind.LINES_DIFFER, 40)]


def test_a_notice_names_the_log_of_its_own_round() -> None:
    records = played(2)
    first, second = records.notices["a"]
    # Paid again by the work of the round before.
    stale = replace(second, share_log=first.share_log, payout_root=first.payout_root)
    records.blocks.pop(2)

    found = audit(records, notices=[first, stale])

    assert (Kind.LINES_DIFFER, 2) in kinds(found)


@pytest.mark.parametrize(
    ("worth", "price", "is_less"),
    [
        (Worth.FULL, 101, True),
        (Worth.FULL, 100, False),
        (Suspicion.TOO_FAST, 101, False),
        (Worth.REPEATED, 101, False),
        # Nobody knows the round's task.
        (Worth.FULL, None, False),
    ],
)
def test_less_than_the_price_under_the_name_of_all_is_shown(
    worth: str, price: int | None, is_less: bool
) -> None:
    records = PoolRecords()
    records.play(1, {"a": [100]})
    (receipt,) = records.receipts["a"]

    found = audit(
        records,
        receipts=[replace(receipt, worth=worth.encode())],
        most_work=lambda number, share: price,
    )

    assert kinds(found) == ([(Kind.WORK_BELOW_PRICE, 1)] if is_less else [])


@pytest.mark.parametrize(
    ("finder", "confirmed", "is_shown"),
    [("finder", 1, True), ("a", 1, False), ("finder", 0, False)],
)
def test_the_finder_of_the_winning_model_is_paid(
    finder: str, confirmed: int, is_shown: bool
) -> None:
    records = PoolRecords(finder=finder)
    records.play(1, {"a": [100], "b": [100]})
    (receipt,) = records.receipts["a"]
    records.change_claim(1, model_hash=receipt.model_hash)

    found = audit(records, receipts=[replace(receipt, confirmed=confirmed)])

    assert kinds(found) == ([(Kind.FINDER_DIFFERS, 1)] if is_shown else [])


def test_a_log_that_drops_what_was_committed_to_is_shown() -> None:
    """Pages with work for the manager's friends come in the place of what everybody has seen."""
    records, other = PoolRecords(), PoolRecords()
    records.play(1, {"a": [100]})
    other.play(1, {"friend": [100]})
    other.play(2, {"a": [100]})
    records.pages |= other.pages
    records.notices["a"] += other.notices["a"]
    records.receipts["a"] += other.receipts["a"]

    found = audit(records)

    assert kinds(found) == [(Kind.LOG_REWRITTEN, 2)]
