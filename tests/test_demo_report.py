import dataclasses
import json

import pytest

from node.demo.layout import MEMBERS
from node.demo.report import Evidence, Flaw, is_complete, judge
from ponas.v1 import query_service_pb2 as query
from tests.demo_world import MANAGER, MINER, SUBSIDY, evidence, status, won_block


def _flaws(judged: Evidence, wanted: int = 3) -> dict[Flaw, str]:
    report = judge(judged, wanted, SUBSIDY)
    assert report.ok == (not report.problems)
    return {problem.flaw: problem.detail for problem in report.problems}


def _with_block(good: Evidence, block: query.GetBlockResponse) -> Evidence:
    """Everybody has this block at its height."""
    chain = [block if old.height == block.height else old for old in good.paid]
    return dataclasses.replace(good, paid=chain, chains=dict.fromkeys(good.chains, chain))


def test_agreement_on_three_paid_wins_is_a_success() -> None:
    report = judge(evidence(), 3, SUBSIDY)
    assert report.ok
    assert report.problems == ()
    assert [won.height for won in report.rounds] == [1, 2, 3]
    assert report.rounds[0].verified_correct == 330
    assert report.rounds[0].payouts[1].amount == 4_000_000_000
    assert {node.role for node in report.nodes} == {"full", "manager", "miner"}
    assert {(node.tip, node.height, node.final_height) for node in report.nodes} == {
        ("block-3", 3, 2)
    }
    assert (report.shared_bests, report.weak_improvements) == (5, 2)


def test_the_report_has_the_documented_shape_as_json() -> None:
    document = json.loads(json.dumps(dataclasses.asdict(judge(evidence(), 3, SUBSIDY))))
    assert document["ok"] is True
    assert document["rounds"][2] == {
        "round": 3,
        "height": 3,
        "winner": MANAGER,
        "genotype": "0503",
        "verified_correct": 330,
        "test_size": 360,
        "luts": 12_345,
        "images_per_s": 99,
        "payouts": [
            {"address": MANAGER, "weight": 1, "amount": 500_000_000},
            {"address": MINER, "weight": 8, "amount": 4_000_000_000},
        ],
    }
    assert document["nodes"][0] == {
        "role": "full",
        "tip": "block-3",
        "height": 3,
        "final_height": 2,
    }


def test_more_blocks_than_wanted_are_a_success_of_the_wanted_ones() -> None:
    assert [won.height for won in judge(evidence(), 2, SUBSIDY).rounds] == [1, 2]


def test_a_missing_win_is_a_flaw() -> None:
    assert _flaws(evidence(), wanted=4) == {
        Flaw.TOO_FEW_WINS: "3 of 4 blocks were won by a verified model."
    }


@pytest.mark.parametrize("correct", [0, 361])
def test_a_count_that_no_model_can_have_is_no_win(correct: int) -> None:
    block = won_block(3)
    block.winner.verified_correct = correct
    assert set(_flaws(_with_block(evidence(), block))) == {Flaw.TOO_FEW_WINS}


def test_a_fallback_block_is_no_win() -> None:
    good = evidence()
    block = query.GetBlockResponse(id="block-3", height=3, round=3, fallback=True)
    balances = {address: amount * 2 // 3 for address, amount in good.balances.items()}
    judged = dataclasses.replace(_with_block(good, block), balances=balances)
    assert set(_flaws(judged)) == {Flaw.TOO_FEW_WINS}


def test_a_silent_node_is_a_flaw() -> None:
    good = evidence()
    statuses = {name: answer for name, answer in good.statuses.items() if name != "weak"}
    assert _flaws(dataclasses.replace(good, statuses=statuses)) == {
        Flaw.NODE_SILENT: "weak does not answer."
    }


def test_another_block_is_a_flaw() -> None:
    good = evidence()
    other = won_block(2)
    other.id = "another"
    chains = {**good.chains, "full-2": [good.paid[0], other, good.paid[2]]}
    assert _flaws(dataclasses.replace(good, chains=chains)) == {
        Flaw.CHAINS_DIFFER: "full-2 has another block, or none, at height 2."
    }


def test_a_missing_block_is_a_flaw() -> None:
    good = evidence()
    chains = {**good.chains, "strong-1": good.paid[:2]}
    assert _flaws(dataclasses.replace(good, chains=chains)) == {
        Flaw.CHAINS_DIFFER: "strong-1 has another block, or none, at height 3."
    }


def test_blocks_beyond_the_wanted_ones_may_differ_still() -> None:
    good = evidence()
    chains = {**good.chains, "strong-1": good.paid[:2]}
    assert _flaws(dataclasses.replace(good, chains=chains), wanted=2) == {}


def test_an_unjustified_block_is_a_flaw() -> None:
    good = evidence()
    statuses = {**good.statuses, "manager": status("manager", justified_round=2)}
    assert _flaws(dataclasses.replace(good, statuses=statuses)) == {
        Flaw.NOT_JUSTIFIED: "manager has not seen block 3 justified by the attesters' votes."
    }


@pytest.mark.parametrize("difference", [-1, 1])
def test_payouts_must_be_nine_tenths_of_the_subsidy(difference: int) -> None:
    good = evidence()
    block = won_block(2)
    block.payouts[1].amount += difference
    balances = {**good.balances, MINER: good.balances[MINER] + difference}
    judged = dataclasses.replace(_with_block(good, block), balances=balances)
    assert _flaws(judged) == {
        Flaw.PAYOUTS_WRONG: (
            f"Block 2 pays its pool {4_500_000_000 + difference:,} "
            "instead of 4,500,000,000 base units."
        )
    }


def test_attesters_get_at_most_a_tenth() -> None:
    good = evidence()
    block = won_block(1)
    block.attester_rewards[0].amount = 500_000_001
    address = block.attester_rewards[0].address
    balances = {**good.balances, address: good.balances[address] + 62_500_001}
    judged = dataclasses.replace(_with_block(good, block), balances=balances)
    assert _flaws(judged) == {
        Flaw.ATTESTERS_OVERPAID: (
            "Block 1 pays its attesters 500,000,001 of at most 500,000,000 base units."
        )
    }


@pytest.mark.parametrize("held", [11_999_999_999, 12_000_000_001])
def test_balances_are_exactly_what_was_paid(held: int) -> None:
    good = evidence()
    assert _flaws(dataclasses.replace(good, balances={**good.balances, MINER: held})) == {
        Flaw.BALANCE_WRONG: f"{MINER} holds {held:,} base units, but was paid 12,000,000,000."
    }


def test_coins_that_nobody_paid_are_a_flaw() -> None:
    good = evidence()
    judged = dataclasses.replace(good, balances={**good.balances, "pn-stranger": 1})
    assert set(_flaws(judged)) == {Flaw.BALANCE_WRONG}


def test_a_demo_is_complete_when_every_node_saw_the_last_win_justified() -> None:
    good = evidence()
    names = [member.name for member in MEMBERS]
    assert is_complete(names, good.statuses, good.paid, 3)
    assert not is_complete(names, good.statuses, good.paid, 4)
    late = {**good.statuses, "weak": status("miner", justified_round=2)}
    assert not is_complete(names, late, good.paid, 3)
    assert is_complete(names, late, good.paid, 2)
    assert not is_complete([*names, "silent"], good.statuses, good.paid, 3)
