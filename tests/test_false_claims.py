"""A claim whose block breaks a rule costs others little, and its producer a unit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.chain.block import Block
from node.chain.errors import Reason, Rejected
from node.chain.messages import Body, Claim
from node.consensus.false_claims import is_refuted
from node.consensus.validator import NOT_SERVED, VALID
from tests.chain_world import GENOTYPE, PRODUCERS, ClaimPlan
from tests.virtual_time import virtual_time
from tests.walk_world import TRUE, Bench, Trial, claims_close, signed_claim


def wrong_root(claim: Claim) -> Claim:
    return replace(claim, state_root=bytes(32))


def cheat(bench: Bench, producer: int = 0, correct: int = TRUE) -> Block:
    """A claim that names a state which its body does not lead to."""
    plan = ClaimPlan(producer=PRODUCERS[producer], correct=correct, edit_claim=wrong_root)
    return bench.claim_on(bench.world.genesis, 1, plan)


@virtual_time
async def test_a_wrong_state_is_judged_once_and_no_model_of_it_is_evaluated() -> None:
    bench = Bench(await claims_close())
    block = cheat(bench)
    for _ in range(2):
        assert await bench.walk() is None
        assert bench.verdicts == {block.id: Reason.STATE_ROOT}
    assert bench.aside.pieces == 1
    assert bench.executor.asked == []


@virtual_time
async def test_a_synced_block_that_was_refused_before_is_not_judged_again() -> None:
    bench = Bench(await claims_close())
    block = cheat(bench)
    await bench.walk()
    with pytest.raises(Rejected) as refused:
        await bench.importer.apply(block)
    assert refused.value.reason is Reason.STATE_ROOT
    assert bench.aside.pieces == 1


@virtual_time
async def test_bodies_beyond_the_best_are_not_opened() -> None:
    bench = Bench(await claims_close(), max_walked=1)
    cheat(bench, 0, TRUE + 1)
    cheat(bench, 1, TRUE)
    assert await bench.walk() is None
    assert bench.aside.pieces == 1


@virtual_time
async def test_what_depends_on_what_is_here_is_not_held_against_anybody() -> None:
    bench = Bench(await claims_close())
    fallback = bench.world.add(bench.world.fallback_block(bench.world.genesis, 1))
    block = bench.world.claim_block(fallback.id, 2)
    with pytest.raises(Rejected) as refused:
        await bench.importer.apply(block)
    assert refused.value.reason is Reason.UNKNOWN_PARENT
    assert not is_refuted(signed_claim(block), bench.rounds)
    await bench.adopt(fallback)
    assert await bench.importer.apply(block)


@virtual_time
async def test_who_has_seen_a_wrong_state_needs_nothing_to_believe_its_accuser() -> None:
    trial = Trial(await claims_close())
    block = cheat(trial, 1)
    await trial.walk()
    assert await trial.judge(block) == VALID
    # Its own block alone.
    assert trial.aside.pieces == 1
    assert trial.executor.asked == [TRUE]


@virtual_time
async def test_who_has_not_seen_it_judges_it_once_the_accusers_own_count_holds() -> None:
    trial = Trial(await claims_close())
    block = cheat(trial, 1)
    assert await trial.judge(block) == VALID
    assert trial.aside.pieces == 2
    assert trial.executor.asked == [TRUE]


@virtual_time
async def test_a_liar_has_nobody_judge_another() -> None:
    trial = Trial(await claims_close())
    assert await trial.judge(cheat(trial, 1), correct=TRUE + 1) == Reason.COUNT_DIFFERS
    assert trial.aside.pieces == 1


@virtual_time
async def test_a_design_that_can_not_win_is_false_before_any_blob_moves() -> None:
    trial = Trial(await claims_close())
    refused = bytes(reversed(GENOTYPE))
    plan = ClaimPlan(producer=PRODUCERS[1], correct=TRUE, genotype=refused)
    block = trial.world.claim_block(trial.world.genesis, 1, plan)
    trial.designs.refused[refused] = (Reason.INFEASIBLE, "too slow")
    trial.rounds.book(1).add_claim(signed_claim(block))
    assert await trial.judge(block) == VALID
    assert trial.aside.pieces == 1


@virtual_time
async def test_a_body_that_nobody_serves_is_no_offence() -> None:
    def other_body(body: Body) -> Body:
        return replace(body, parent_logits_hash=b"l" * 32)

    trial = Trial(await claims_close())
    plan = ClaimPlan(producer=PRODUCERS[1], correct=TRUE, edit_body=other_body)
    block = trial.world.claim_block(trial.world.genesis, 1, plan)
    trial.rounds.book(1).add_claim(signed_claim(block))
    assert await trial.judge(block) == NOT_SERVED
    assert not is_refuted(signed_claim(block), trial.rounds)
