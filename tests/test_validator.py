"""The walk over the claims of a round: how many models it evaluates, and what it remembers."""

from __future__ import annotations

import asyncio
import random

import pytest

from nas.jobs import Counted, FailureKind, JobFailed, Refuted, Verify
from node.chain.counting import CountVerdict
from node.chain.errors import Reason
from node.consensus.false_claims import was_walked
from node.consensus.validator import EQUIVOCATED, VALID
from tests.chain_world import (
    MODEL,
    PRODUCERS,
    ClaimPlan,
)
from tests.virtual_time import virtual_time
from tests.walk_world import TRUE, Bench, Trial, claims_close, honestly, signed_claim


@virtual_time
async def test_the_highest_true_claim_wins() -> None:
    bench = Bench(await claims_close())
    lie, truth = bench.claim(0, TRUE + 1), bench.claim(1, TRUE)
    assert await bench.walk() == truth.id
    assert bench.executor.asked == [TRUE + 1, TRUE]
    assert bench.verdicts == {lie.id: Reason.COUNT_DIFFERS, truth.id: VALID}
    assert bench.rounds.count_verdict(lie.id) == CountVerdict(lie.id, 1, holds=False)
    assert bench.rounds.count_verdict(truth.id) == CountVerdict(truth.id, 1, holds=True)
    assert bench.rounds.count_verdict(bytes(32)) is None


@virtual_time
async def test_no_more_models_than_the_bound_are_evaluated() -> None:
    bench = Bench(await claims_close(), max_walked=1)
    bench.claim(0, TRUE + 1)
    bench.claim(1, TRUE)
    assert await bench.walk() is None
    assert bench.executor.asked == [TRUE + 1]


@virtual_time
async def test_a_tie_of_honest_claims_takes_one_evaluation() -> None:
    bench = Bench(await claims_close())
    ids = {bench.claim(0, TRUE).id, bench.claim(1, TRUE).id}
    assert await bench.walk() in ids
    assert bench.executor.asked == [TRUE]


@virtual_time
async def test_claims_of_an_equivocator_are_never_evaluated() -> None:
    bench = Bench(await claims_close())
    bench.claim(0, TRUE, unit=0)
    bench.claim(0, TRUE + 1, unit=1)
    assert await bench.walk() is None
    assert bench.executor.asked == []


@virtual_time
async def test_an_equivocation_that_shows_during_the_walk_counts_too() -> None:
    def show(job: Verify) -> Counted | Refuted:
        bench.claim(1, TRUE - 1, unit=1)
        return honestly(job)

    bench = Bench(await claims_close(), answer=show)
    bench.claim(0, TRUE + 1)
    second = bench.claim(1, TRUE)
    assert await bench.walk() is None
    assert bench.executor.asked == [TRUE + 1]
    assert bench.verdicts[second.id] == EQUIVOCATED


@virtual_time
async def test_what_was_found_false_is_not_evaluated_again() -> None:
    bench = Bench(await claims_close())
    bench.claim(0, TRUE + 1)
    for _ in range(2):
        assert await bench.walk() is None
    assert bench.executor.asked == [TRUE + 1]


@pytest.mark.parametrize("correct", [TRUE, TRUE + 1])
@virtual_time
async def test_a_claim_that_several_peers_bring_at_once_is_evaluated_once(correct: int) -> None:
    bench = Bench(await claims_close())
    claim = signed_claim(bench.claim(0, correct))
    found = await asyncio.gather(
        *(bench.counter.verify(claim, MODEL) for _ in range(3)), return_exceptions=True
    )
    assert len(set(map(str, found))) == 1
    assert bench.executor.asked == [correct]


@pytest.mark.parametrize("kind", [FailureKind.MODEL_FORMAT, FailureKind.MODEL_TOO_WIDE])
@virtual_time
async def test_what_no_machine_can_evaluate_does_not_hold(kind: FailureKind) -> None:
    def fail(_: Verify) -> Counted | Refuted:
        raise JobFailed("no", kind)

    bench = Bench(await claims_close(), answer=fail)
    block = bench.claim(0, TRUE)
    assert await bench.walk() is None
    assert bench.verdicts[block.id] == Reason.COUNT_DIFFERS
    assert bench.rounds.count_verdict(block.id) == CountVerdict(block.id, 1, holds=False)


@virtual_time
async def test_a_fault_of_this_machine_is_no_verdict() -> None:
    def fail(_: Verify) -> Counted | Refuted:
        raise JobFailed("the worker died")

    bench = Bench(await claims_close(), answer=fail)
    block = bench.claim(0, TRUE)
    assert await bench.walk() is None
    assert bench.verdicts[block.id] == "not counted: the worker died"
    assert bench.rounds.count_verdict(block.id) is None


@virtual_time
async def test_verdicts_go_with_their_rounds() -> None:
    bench = Bench(await claims_close())
    block = bench.claim(0, TRUE + random.Random(1).randint(1, 9))
    await bench.walk()
    bench.rounds.forget_before(1)
    assert bench.rounds.count_verdict(block.id) is not None
    bench.rounds.forget_before(2)
    assert bench.rounds.count_verdict(block.id) is None


@virtual_time
async def test_a_claim_called_false_is_counted_once_the_accusers_own_count_holds() -> None:
    trial = Trial(await claims_close())
    lie = trial.claim(1, TRUE + 1)
    assert await trial.judge(lie) == VALID
    assert trial.executor.asked == [TRUE, TRUE + 1]


@virtual_time
async def test_a_liar_has_nobody_counted() -> None:
    trial = Trial(await claims_close())
    assert await trial.judge(trial.claim(1, TRUE), correct=TRUE + 1) == Reason.COUNT_DIFFERS
    assert trial.executor.asked == [TRUE + 1]


@virtual_time
async def test_who_accuses_a_true_claim_wins_nothing() -> None:
    trial = Trial(await claims_close())
    assert await trial.judge(trial.claim(1, TRUE)) == Reason.NO_OFFENCE
    assert trial.executor.asked == [TRUE, TRUE]


@pytest.mark.parametrize("correct", [TRUE, TRUE + 1])
@virtual_time
async def test_what_was_counted_before_is_not_counted_for_an_accuser(correct: int) -> None:
    trial = Trial(await claims_close())
    claim = trial.claim(1, correct)
    holds = correct == TRUE
    trial.rounds.book(1).counts[claim.id] = CountVerdict(claim.id, 1, holds=holds)
    assert await trial.judge(claim) == (Reason.NO_OFFENCE if holds else VALID)
    assert trial.executor.asked == [TRUE]


@virtual_time
async def test_a_claim_behind_the_winner_is_not_counted() -> None:
    trial = Trial(await claims_close())
    winner, behind = trial.claim(0, TRUE), trial.claim(1, TRUE - 1)
    assert await trial.judge(behind, winner=winner) == Reason.NO_OFFENCE
    assert trial.executor.asked == []


@virtual_time
async def test_a_claim_before_the_winner_is_counted() -> None:
    trial = Trial(await claims_close())
    winner, before = trial.claim(0, TRUE), trial.claim(1, TRUE + 1)
    assert await trial.judge(before, winner=winner) == VALID
    assert trial.executor.asked == [TRUE, TRUE + 1]


@virtual_time
async def test_the_winner_itself_is_not_counted_again() -> None:
    trial = Trial(await claims_close())
    winner = trial.claim(1, TRUE)
    assert await trial.judge(winner, winner=winner) == Reason.NO_OFFENCE
    assert trial.executor.asked == []


@virtual_time
async def test_a_claim_on_another_head_is_not_counted() -> None:
    trial = Trial(await claims_close())
    other = trial.world.add(trial.world.fallback_block(trial.world.genesis, 1, place=1))
    beside = trial.claim_on(other.id, 2, ClaimPlan(producer=PRODUCERS[1], correct=TRUE + 1))
    head = trial.world.fallback_block(trial.world.genesis, 1)
    await trial.adopt(head)
    assert not was_walked(trial.chain.tree, head.id, signed_claim(beside))


@virtual_time
async def test_a_round_has_so_many_counts_for_accusers_and_no_more() -> None:
    trial = Trial(await claims_close(), max_walked=2)
    trial.rounds.book(2).recounts = 2
    verdict = await trial.judge(trial.claim(1, TRUE + 1))
    assert verdict == "not counted: enough claims of the round before were judged again"
    assert trial.executor.asked == [TRUE]
