"""Blocks of others, from a header to a place in the chain."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from nas.jobs import JobFailed
from node.aside import Aside
from node.chain.block import Block, open_block
from node.chain.envelope import Signed
from node.chain.errors import InvalidBlock, Reason, Rejected
from node.chain.hashing import blob_hash
from node.chain.messages import Claim, Fallback
from node.chain.state import State
from node.chain.validity import DesignRules
from node.clock import Clock
from node.consensus.blobs import Blobs, Header
from node.consensus.book import Rounds
from node.consensus.chain import Chain
from node.consensus.counter import Counter
from node.consensus.false_claims import accused, is_refuted, was_walked
from node.net.blobs import NotFound

T = TypeVar("T")


@dataclass(frozen=True)
class Prepared:
    """A block that obeys every rule but the counts; `model` is None for a fallback block.

    `calls_false` are claims that the block calls false.
    """

    block: Block
    state: State
    model: bytes | None
    calls_false: tuple[Signed[Claim], ...]


class Importer:
    """Fetches what a header names, checks it by every rule and hands it to the chain.

    A node that does not judge the claims of others takes their counts only on a quorum's word; it
    may still have its own model counted.
    """

    def __init__(
        self,
        chain: Chain,
        rounds: Rounds,
        designs: DesignRules,
        blobs: Blobs,
        counter: Counter,
        aside: Aside,
        clock: Clock,
        judges_others: bool = True,
    ) -> None:
        self.chain = chain
        self.can_count = counter.can_count and judges_others
        self._rounds = rounds
        self._designs = designs
        self._blobs = blobs
        self._counter = counter
        self._aside = aside
        self._clock = clock

    async def fetch(self, claim: Signed[Claim], give_up_ms: int) -> None:
        """Have at hand, and serve on, what a claim names, if its design may win at all.

        Raises Rejected and NotFound.
        """
        message = claim.message
        context = self.chain.tree.context_for(message.parent, message.round)
        if refusal := self._designs.refuse(context, message.genotype):
            self._rounds.book(message.round).refusals[claim.id] = refusal
            raise InvalidBlock(*refusal)
        await self._blobs.body(claim, give_up_ms)
        # One whose body is known to be wrong may never have shown its model.
        if claim.id not in self._rounds.book(message.round).refusals:
            await self._blobs.model(context, claim, give_up_ms)

    async def open(self, header: Header, give_up_ms: int) -> tuple[Block, State]:
        """The block of a header and the state after it, by every rule but the count.

        The body is asked for until `give_up_ms`. Raises Rejected and NotFound.
        """
        body = await self._blobs.body(header, give_up_ms)
        judge, network_id = self.chain.judge_of(header.message), self.chain.network.id

        def work() -> tuple[Block, State]:
            block = open_block(header.envelope, body, network_id)
            return block, judge(block)

        return await self._judged(header, work)

    async def apply(self, block: Block) -> State:
        """The state after a block, by every rule but the count. Raises Rejected."""
        judge = self.chain.judge_of(block.header.message)
        return await self._judged(block.header, lambda: judge(block))

    async def _judged(self, header: Header, work: Callable[[], T]) -> T:
        """What came of judging a block. A refusal is noted: what a header names never changes."""
        book = self._rounds.book(header.message.round)
        if refusal := book.refusals.get(header.id):
            raise InvalidBlock(*refusal)
        try:
            return await self._aside(work)
        except Rejected as error:
            book.refusals[header.id] = error.reason, error.detail
            raise

    async def prepare(self, block: Block, state: State, give_up_ms: int) -> Prepared:
        """What it takes to count for a block that stands by all other rules.

        Raises Rejected and NotFound.
        """
        header = block.header
        calls_false = tuple(accused(block.transactions, self.chain.network.id))
        for other in calls_false:
            await self._fetch_accused(block, other, give_up_ms)
        if isinstance(header.message, Fallback):
            return Prepared(block, state, None, calls_false)
        claim = Signed(header.envelope, header.message, header.id)
        context = self.chain.tree.context_for(block.parent, block.round)
        model = await self._blobs.model(context, claim, give_up_ms)
        return Prepared(block, state, model, calls_false)

    async def adopt_counted(self, prepared: Prepared) -> None:
        """Adopt a block whose model counts as claimed, and those that it calls false otherwise.

        Raises Rejected, NotFound and JobFailed.
        """
        claim, logits_hash = prepared.block.header, b""
        if isinstance(claim.message, Claim) and prepared.model is not None:
            signed = Signed(claim.envelope, claim.message, claim.id)
            logits_hash = await self._counter.verify(signed, prepared.model)
        # Only for a block that holds itself, so that an accusation costs who makes it a winner.
        for other in prepared.calls_false:
            await self._check_false(prepared.block.round, other)
        await self.keep(prepared, logits_hash)

    async def keep(self, prepared: Prepared, logits_hash: bytes) -> None:
        """Adopt a block that was counted, with all by which others can judge it."""
        named = [] if prepared.model is None else [blob_hash(prepared.model)]
        for other in prepared.calls_false:
            named += [other.message.body_hash, other.message.model_hash]
        blobs = [blob for each in named if (blob := self._blobs.held(each))]
        await self.chain.adopt(prepared.block, prepared.state, blobs, logits_hash)

    async def _fetch_accused(self, block: Block, other: Signed[Claim], give_up_ms: int) -> None:
        """Have what it takes to judge a claim that a block calls false.

        Raises Rejected and NotFound.
        """
        if not was_walked(self.chain.tree, block.parent, other):
            raise InvalidBlock(Reason.NO_OFFENCE, "nobody had to count for this claim")
        try:
            await self.fetch(other, give_up_ms)
        except InvalidBlock:
            # Its design shows it.
            if not is_refuted(other, self._rounds):
                raise
        except NotFound:
            # Without its model its body may show it.
            await self._blobs.body(other, give_up_ms)

    async def _check_false(self, round_number: int, claim: Signed[Claim]) -> None:
        """Whether a claim counts otherwise than it states, or its block breaks another rule; for a
        block of a round, which calls it false.

        Raises Rejected, with NO_OFFENCE if it stands; NotFound and JobFailed.
        """
        if is_refuted(claim, self._rounds):
            return
        book = self._rounds.book(round_number)
        if self._rounds.count_verdict(claim.id) is None:
            book.recounts += 1
            if book.recounts > self.chain.network.parameters.max_walked:
                raise JobFailed("enough claims of the round before were judged again")
            try:
                await self._judge_again(claim)
            except Rejected:
                if is_refuted(claim, self._rounds):
                    return
                raise
        raise InvalidBlock(Reason.NO_OFFENCE, "the claim stands")

    async def _judge_again(self, claim: Signed[Claim]) -> None:
        """Judge a claim, whose body and model are here, as in a walk."""
        message, now_ms = claim.message, self._clock.now_ms()
        await self.open(claim, now_ms)
        context = self.chain.tree.context_for(message.parent, message.round)
        await self._counter.verify(claim, await self._blobs.model(context, claim, now_ms))
