"""Blocks of others, from a header to a place in the chain."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from nas.designs.genotype import Genotype
from nas.jobs import Count, Counted, Executor, FailureKind, JobFailed, Refuted, Verify
from node.aside import Aside
from node.chain.block import Block, open_block
from node.chain.context import RoundContext
from node.chain.counting import check_verdict, judge_count
from node.chain.envelope import Signed
from node.chain.errors import InvalidBlock, Reason, Rejected
from node.chain.hashing import blob_hash as hash_blob
from node.chain.messages import MAX_BODY_BYTES, Claim, Fallback
from node.chain.state import State
from node.chain.timing import Phase, deadline
from node.chain.validity import check_model
from node.clock import Clock
from node.consensus.book import Rounds
from node.consensus.chain import Chain
from node.consensus.designs import NasDesigns
from node.consensus.false_claims import accused, is_refuted, was_walked
from node.net.blobs import NotFound
from node.publishing.engine import shard_data
from node.publishing.library import TaskLibrary

T = TypeVar("T")
Header = Signed[Claim | Fallback]

Fetch = Callable[[bytes, int], Awaitable[bytes]]
"""A blob by hash and greatest length, from the peers; raises `node.net.blobs.NotFound`."""

# A blob spreads from peer to peer: one that nobody near has yet is asked for again.
_ASK_AGAIN_MS = 100
# The body of a block that carries nothing needs no transfer.
_EMPTY = hash_blob(b"")


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

    `executor` counts models. A node that does not judge the claims of others takes their counts
    only on a quorum's word; it may still have its own model counted.
    """

    def __init__(
        self,
        chain: Chain,
        rounds: Rounds,
        designs: NasDesigns,
        library: TaskLibrary,
        fetch: Fetch,
        aside: Aside,
        executor: Executor | None,
        clock: Clock,
        judges_others: bool = True,
    ) -> None:
        self.chain = chain
        self.can_count = executor is not None and judges_others
        self._rounds = rounds
        self._designs = designs
        self._library = library
        self._fetch = fetch
        self._aside = aside
        self._executor = executor
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
        await self._body(claim, give_up_ms)
        # One whose body is known to be wrong may never have shown its model.
        if claim.id not in self._rounds.book(message.round).refusals:
            await self._model(context, message, give_up_ms)

    async def open(self, header: Header, give_up_ms: int) -> tuple[Block, State]:
        """The block of a header and the state after it, by every rule but the count.

        The body is asked for until `give_up_ms`. Raises Rejected and NotFound.
        """
        body = await self._body(header, give_up_ms)
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
        claim = block.header.message
        calls_false = tuple(accused(block.transactions, self.chain.network.id))
        for other in calls_false:
            await self._fetch_accused(block, other, give_up_ms)
        if isinstance(claim, Fallback):
            return Prepared(block, state, None, calls_false)
        context = self.chain.tree.context_for(block.parent, block.round)
        model = await self._model(context, claim, give_up_ms)
        return Prepared(block, state, model, calls_false)

    async def adopt_counted(self, prepared: Prepared) -> None:
        """Adopt a block whose model counts as claimed, and those that it calls false otherwise.

        Raises Rejected, NotFound and JobFailed.
        """
        claim, logits_hash = prepared.block.header, b""
        if isinstance(claim.message, Claim) and prepared.model is not None:
            signed = Signed(claim.envelope, claim.message, claim.id)
            logits_hash = await self._verify(signed, prepared.model)
        # Only for a block that holds itself, so that an accusation costs who makes it a winner.
        for other in prepared.calls_false:
            await self._check_false(prepared.block.round, other)
        await self.keep(prepared, logits_hash)

    async def keep(self, prepared: Prepared, logits_hash: bytes) -> None:
        """Adopt a block that was counted, with all by which others can judge it."""
        named = [] if prepared.model is None else [hash_blob(prepared.model)]
        for other in prepared.calls_false:
            named += [other.message.body_hash, other.message.model_hash]
        blobs = [blob for each in named if (blob := self._held(each))]
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
            await self._body(other, give_up_ms)

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
        await self._verify(claim, await self._model(context, message, now_ms))

    async def count(
        self, context: RoundContext, producer: bytes, claim: Claim, model: bytes
    ) -> Counted:
        """Count a model's correct test images exactly. Raises JobFailed."""
        await self._have_images(context, claim)
        return await self._worker().run(self._count_of(context, producer, claim, model))

    async def count_incumbent(self, context: RoundContext, claim: Claim) -> int:
        """What the last winner's model counts on the shard that a claim opens; 0 if none has won
        the task before. Counted once a round. Raises JobFailed."""
        book, paid = self._rounds.book(context.round), context.paid
        if paid is None or (incumbent := paid.record.incumbent) is None:
            return 0
        if book.incumbent_correct is None:
            await self._have_images(context, claim)
            give_up_ms = deadline(context.network, context.round, Phase.VALIDATE)
            length = self._designs.model_length(context, incumbent.genotype)
            try:
                blob_hash = incumbent.model_hash
                model = await self._blob(context.round, blob_hash, length, give_up_ms)
            except NotFound as error:
                raise JobFailed(f"the last winner's model is not here: {error}") from error
            data = shard_data(paid.terms, paid.shard).name
            job = Count(data, "test", Genotype.from_bytes(incumbent.genotype), model)
            book.incumbent_correct = (await self._worker().run(job)).correct
        return book.incumbent_correct

    async def _have_images(self, context: RoundContext, claim: Claim) -> None:
        """Open the shard of a published task for the workers. Raises JobFailed."""
        if context.paid is None:
            return
        try:
            # What somebody is accused of may never have kept the rules of a claim.
            key = claim.secrets[0] if claim.secrets else b""
            await self._library.open(context.paid, key)
        except (Rejected, NotFound) as error:
            raise JobFailed(f"the shard can't be opened: {error}") from error

    async def _verify(self, claim: Signed[Claim], model: bytes) -> bytes:
        """Hash of the logits of a model that counts as claimed; the verdict is noted.

        Raises Rejected(COUNT_DIFFERS), and JobFailed for a fault of this machine.
        """
        book = self._rounds.book(claim.message.round)
        if claim.id in book.counts:
            # One that was found false costs nothing the second time.
            check_verdict(book.counts[claim.id])
        try:
            logits_hash = await self._logits_if_true(claim, model)
        except JobFailed as error:
            if error.kind is FailureKind.OTHER:
                raise
            # What no machine can evaluate counts nothing.
            logits_hash = b""
        verdict = book.counts[claim.id] = judge_count(claim, holds=bool(logits_hash))
        check_verdict(verdict)
        return logits_hash

    async def _logits_if_true(self, claim: Signed[Claim], model: bytes) -> bytes:
        """Hash of the logits if model and incumbent count as claimed, else nothing."""
        message = claim.message
        context = self.chain.tree.context_for(message.parent, message.round)
        if message.incumbent_correct != await self.count_incumbent(context, message):
            return b""
        await self._have_images(context, message)
        count = self._count_of(context, claim.signer, message, model)
        found = await self._worker().run(Verify(count, message.correct))
        return b"" if isinstance(found, Refuted) else found.logits_hash

    def _count_of(
        self, context: RoundContext, producer: bytes, claim: Claim, model: bytes
    ) -> Count:
        data = self._designs.test_data(context, producer, claim)
        return Count(data, "test", Genotype.from_bytes(claim.genotype), model)

    def _worker(self) -> Executor:
        if self._executor is None:
            raise RuntimeError("this node counts no models")
        return self._executor

    async def _body(self, header: Header, give_up_ms: int) -> bytes:
        """The body of a block. Raises NotFound."""
        message = header.message
        return await self._blob(message.round, message.body_hash, MAX_BODY_BYTES, give_up_ms)

    async def _model(self, context: RoundContext, claim: Claim, give_up_ms: int) -> bytes:
        """The model of a claim. Raises Rejected and NotFound."""
        length = self._designs.model_length(context, claim.genotype)
        model = await self._blob(claim.round, claim.model_hash, length, give_up_ms)
        check_model(context, claim, model, self._designs)
        return model

    async def _blob(
        self, round_number: int, blob_hash: bytes, max_bytes: int, give_up_ms: int
    ) -> bytes:
        if blob_hash == _EMPTY:
            return b""
        while True:
            if (held := self._held(blob_hash)) is not None:
                return held
            left_ms = give_up_ms - self._clock.now_ms()
            if left_ms <= 0:
                raise NotFound(f"blob {blob_hash.hex()} did not come in time")
            try:
                async with asyncio.timeout(left_ms / 1_000):
                    fetched = await self._fetch(blob_hash, max_bytes)
            except (NotFound, TimeoutError):
                await self._clock.sleep_until(self._clock.now_ms() + _ASK_AGAIN_MS)
            else:
                self._rounds.shelve(round_number, fetched)
                return fetched

    def _held(self, blob_hash: bytes) -> bytes | None:
        """A blob that this node has."""
        held = self._rounds.blob(blob_hash)
        return self.chain.blob(blob_hash) if held is None else held
