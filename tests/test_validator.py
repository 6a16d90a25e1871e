"""The walk over the claims of a round: how many models it evaluates, and what it remembers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from nas.jobs import Counted, FailureKind, JobFailed, Refuted, Verify
from node.chain.block import Block
from node.chain.context import RoundContext
from node.chain.counting import CountVerdict
from node.chain.envelope import Signed, sign
from node.chain.errors import Reason, SafetyAlarm
from node.chain.messages import Claim, Evidence
from node.chain.params import FAST
from node.chain.timing import Phase, deadline
from node.clock import LoopClock
from node.consensus.book import Rounds
from node.consensus.chain import Chain
from node.consensus.false_counts import was_walked
from node.consensus.importer import Importer
from node.consensus.validator import EQUIVOCATED, VALID, Validator
from node.net.blobs import NotFound
from node.publishing.library import TaskLibrary
from node.publishing.shelf import MemoryShelf
from node.store.memory import MemoryStore
from node.store.writer import InlineWriter
from node.tasks import TaskOwner
from tests.chain_world import (
    ATTESTERS,
    MODEL,
    PRODUCERS,
    ClaimPlan,
    ScriptedDesigns,
    World,
    make_network,
)
from tests.nas_models import TASK
from tests.virtual_time import virtual_time

TRUE = 200
HASH = b"h" * 32
Answer = Callable[[Verify], Counted | Refuted]


def honestly(job: Verify) -> Counted | Refuted:
    return Counted(TRUE, 360, HASH) if job.claimed == TRUE else Refuted(7)


@dataclass
class Recorder:
    """An executor that notes the claims it was asked about."""

    answer: Answer = honestly
    asked: list[int] = field(default_factory=list)

    async def run(self, job: Any) -> Any:
        self.asked.append(job.claimed)
        return self.answer(job)

    async def close(self) -> None:
        """Holds nothing."""


@dataclass(frozen=True)
class Designs(ScriptedDesigns):
    """Lets every genotype pass, and has one data set for all."""

    def test_data(self, context: RoundContext, producer: bytes, claim: Claim) -> str:
        return TASK.dataset


class Bench:
    """A validator with everything it needs, before the end of round 1's claim phase."""

    def __init__(self, clock: LoopClock, max_walked: int = 16, answer: Answer = honestly) -> None:
        self.world = World(make_network(replace(FAST, max_walked=max_walked)))
        self.executor = Recorder(answer)
        self.rounds = Rounds()
        designs = Designs()
        store = MemoryStore()
        self.chain = Chain(
            self.world.network, designs, store, InlineWriter(store), TaskOwner(), _raise
        )
        self.importer = Importer(
            self.chain,
            self.rounds,
            designs,  # type: ignore[arg-type]
            TaskLibrary(store, InlineWriter(store), _nobody, MemoryShelf()),
            _nobody,
            self.executor,
            clock,
        )
        self.validator = Validator(self.chain, self.rounds, self.importer, clock)

    def claim(self, producer: int, correct: int, unit: int = 0) -> Block:
        """A claim with all that belongs to it at hand."""
        return self.claim_on(
            self.world.genesis,
            1,
            ClaimPlan(producer=PRODUCERS[producer], correct=correct, unit=unit),
        )

    def claim_on(self, parent: bytes, round_number: int, plan: ClaimPlan) -> Block:
        block = self.world.claim_block(parent, round_number, plan)
        self.rounds.book(round_number).add_claim(signed_claim(block))
        self.rounds.shelve(round_number, block.body_bytes)
        self.rounds.shelve(round_number, MODEL)
        return block

    async def adopt(self, block: Block) -> None:
        self.world.add(block)
        await self.importer.adopt(block)

    def accusation(self, block: Block) -> Signed[Evidence]:
        key = ATTESTERS[0]
        return sign(Evidence((block.header.envelope,), 0, 100_000), key, self.world.network.id)

    async def walk(self) -> bytes | None:
        return await self.validator.walk(self.chain.context(1))

    @property
    def verdicts(self) -> dict[bytes, str]:
        return self.rounds.book(1).verdicts


def signed_claim(block: Block) -> Signed[Claim]:
    assert isinstance(block.header.message, Claim)
    return Signed(block.header.envelope, block.header.message, block.id)


def _raise(alarm: SafetyAlarm) -> None:
    raise alarm


async def _nobody(blob_hash: bytes, max_bytes: int) -> bytes:
    raise NotFound(blob_hash.hex())


async def claims_close() -> LoopClock:
    """The clock at the moment at which claims of round 1 are due."""
    clock = LoopClock(asyncio.get_running_loop())
    await clock.sleep_until(deadline(make_network(), 1, Phase.CLAIM))
    return clock


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


class Trial(Bench):
    """Round 2: a claim whose block calls another of round 1 false."""

    async def judge(
        self, accused: Block, correct: int = TRUE, winner: Block | None = None
    ) -> Reason | str:
        """The verdict on the claim; without a winner round 1 has a fallback block."""
        before = winner or self.world.fallback_block(self.world.genesis, 1)
        await self.adopt(before)
        self.executor.asked.clear()
        plan = ClaimPlan(
            producer=PRODUCERS[0], correct=correct, transactions=(self.accusation(accused),)
        )
        block = self.claim_on(before.id, 2, plan)
        assert len(block.transactions) == 1
        await self.validator.walk(self.chain.context(2))
        return self.rounds.book(2).verdicts[block.id]


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
    assert verdict == "not counted: enough claims of the round before were counted again"
    assert trial.executor.asked == [TRUE]
