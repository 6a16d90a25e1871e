"""A validator with claims of round 1 to walk, and of round 2 that call others false."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ParamSpec, TypeVar

from nas.jobs import Counted, Refuted, Verify
from node.aside import inline
from node.chain.block import Block
from node.chain.context import RoundContext
from node.chain.envelope import Signed, sign
from node.chain.errors import Reason, SafetyAlarm
from node.chain.messages import Claim, Envelope, Evidence
from node.chain.params import FAST
from node.chain.timing import Phase, deadline
from node.clock import LoopClock
from node.consensus.blobs import Blobs
from node.consensus.book import Rounds
from node.consensus.chain import Chain
from node.consensus.counter import Counter
from node.consensus.importer import Importer
from node.consensus.validator import Validator
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

TRUE = 200
HASH = b"h" * 32
Answer = Callable[[Verify], Counted | Refuted]


P = ParamSpec("P")
T = TypeVar("T")


def honestly(job: Verify) -> Counted | Refuted:
    return Counted(TRUE, 360, HASH) if job.claimed == TRUE else Refuted(7)


@dataclass
class Recorder:
    """An executor that notes the claims it was asked about."""

    answer: Answer = honestly
    asked: list[int] = field(default_factory=list)

    async def run(self, job: Any) -> Any:
        self.asked.append(job.claimed)
        # A worker takes its time.
        await asyncio.sleep(0)
        return self.answer(job)

    async def close(self) -> None:
        """Holds nothing."""


class Spy:
    """Implements `node.aside.Aside`; counts the pieces of work that it is given."""

    pieces = 0

    async def __call__(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        self.pieces += 1
        return work(*args, **kwargs)


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
        self.aside = Spy()
        self.fetched: set[bytes] = set()
        self.rounds = Rounds()
        self.designs = Designs()
        store = MemoryStore()
        self.chain = Chain(
            self.world.network,
            self.designs,
            store,
            InlineWriter(store),
            TaskOwner(),
            inline,
            _raise,
        )
        designs: Any = self.designs
        library = TaskLibrary(store, InlineWriter(store), _nobody, MemoryShelf())
        blobs = Blobs(self.chain, self.rounds, designs, self.fetch, clock)
        self.counter = Counter(self.chain, self.rounds, designs, library, blobs, self.executor)
        self.importer = Importer(
            self.chain, self.rounds, designs, blobs, self.counter, self.aside, clock
        )
        self.validator = Validator(self.chain, self.rounds, self.importer, clock)

    async def fetch(self, blob_hash: bytes, max_bytes: int, _: Envelope | None) -> bytes:
        """Peers that have nothing."""
        self.fetched.add(blob_hash)
        raise NotFound(blob_hash.hex())

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
        await self.chain.adopt(block, await self.importer.apply(block))

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


class Trial(Bench):
    """Round 2: a claim whose block calls another of round 1 false."""

    async def judge(
        self, accused: Block, correct: int = TRUE, winner: Block | None = None
    ) -> Reason | str:
        """The verdict on the claim; without a winner round 1 has a fallback block."""
        before = winner or self.world.fallback_block(self.world.genesis, 1)
        await self.adopt(before)
        self.executor.asked.clear()
        self.aside.pieces = 0
        plan = ClaimPlan(
            producer=PRODUCERS[0], correct=correct, transactions=(self.accusation(accused),)
        )
        block = self.claim_on(before.id, 2, plan)
        assert len(block.transactions) == 1
        await self.validator.walk(self.chain.context(2))
        return self.rounds.book(2).verdicts[block.id]
