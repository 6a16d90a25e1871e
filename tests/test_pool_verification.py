"""Checking a manager's word: an honest pool has no findings, each lie has its own."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.chain.messages import PayoutLine
from pool.proofs.receipts import make_receipt
from pool.proofs.sharelog import Terms, pack_page
from pool.proofs.verification import (
    Finding,
    Kind,
    Log,
    Payment,
    audit_manager,
    verify_payout,
)
from pool.rules.window import LOG_ROUNDS
from tests.pool_world import NETWORK_ID, public
from tests.proof_world import MANAGER, PoolRecords, claim, share


def played(rounds: int = 3) -> PoolRecords:
    records = PoolRecords()
    for number in range(1, rounds + 1):
        records.play(number, {"a": [100, 50], "b": [70], "c": [10 * number]})
    return records


def audit(records: PoolRecords, miner: str = "a", **changes: object) -> tuple[Finding, ...]:
    known: dict[str, object] = {
        "receipts": records.receipts[miner],
        "notices": records.notices[miner],
        "blocks": records.blocks,
        "logs": records.logs(miner),
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
        assert audit(records, miner) == ()


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
    lost = make_receipt(2, share("a", 9, 100, 2), False)

    found = audit(records, receipts=[*records.receipts["a"], lost])

    assert kinds(found) == [(Kind.SHARE_MISSING, 2)]


def test_results_after_the_newest_commitment_are_not_due_yet() -> None:
    records = played()
    late = make_receipt(3, share("a", 9, 100, 3), False)

    assert audit(records, receipts=[*records.receipts["a"], late]) == ()


def test_a_result_logged_with_less_work_is_shown() -> None:
    records = played()
    logged = share("a", 0, 100, 1)
    promised = make_receipt(1, msgspec.structs.replace(logged, work=101), False)

    assert kinds(audit(records, receipts=[promised])) == [(Kind.WORK_LOWERED, 1)]


def test_a_page_that_is_not_handed_out_is_shown() -> None:
    records = played(2)
    (first, second) = (notice.share_log for notice in records.notices["a"])
    del records.pages[first]

    assert kinds(audit(records)) == [(Kind.LOG_MISSING, 1), (Kind.LOG_MISSING, 2)]
    assert kinds(audit(records, logs={first: Log(()), second: records.log(second)})) == [
        (Kind.LOG_MISSING, 2)
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
    assert audit(records, notices=[newest], logs=logs) == ()
