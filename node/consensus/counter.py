"""Counting the test images that a model has right, for claims of others and of one's own."""

import asyncio
from weakref import WeakValueDictionary

from nas.designs.genotype import Genotype
from nas.jobs import Count, Counted, Executor, FailureKind, JobFailed, Refuted, Verify
from node.chain.context import RoundContext
from node.chain.counting import check_verdict, judge_count
from node.chain.envelope import Signed
from node.chain.errors import Rejected
from node.chain.messages import Claim
from node.chain.timing import Phase, deadline
from node.consensus.blobs import Blobs
from node.consensus.book import Rounds
from node.consensus.chain import Chain
from node.consensus.designs import NasDesigns
from node.net.blobs import NotFound
from node.publishing.engine import shard_data
from node.publishing.library import TaskLibrary


class Counter:
    """Has models counted exactly by `executor`, and none of a round twice."""

    def __init__(
        self,
        chain: Chain,
        rounds: Rounds,
        designs: NasDesigns,
        library: TaskLibrary,
        blobs: Blobs,
        executor: Executor | None,
    ) -> None:
        self._chain = chain
        self._rounds = rounds
        self._designs = designs
        self._library = library
        self._blobs = blobs
        self._executor = executor
        self._turns: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    @property
    def can_count(self) -> bool:
        """Whether this node has what evaluates models."""
        return self._executor is not None

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
                model = await self._blobs.blob(context.round, blob_hash, length, give_up_ms)
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

    async def verify(self, claim: Signed[Claim], model: bytes) -> bytes:
        """Hash of the logits of a model that counts as claimed; evaluated once.

        Raises Rejected(COUNT_DIFFERS), and JobFailed for a fault of this machine.
        """
        # Several peers may bring one block at the same time.
        async with self._turns.setdefault(claim.id, asyncio.Lock()):
            book = self._rounds.book(claim.message.round)
            if claim.id not in book.counts:
                book.logits[claim.id] = logits_hash = await self._evaluate(claim, model)
                book.counts[claim.id] = judge_count(claim, holds=bool(logits_hash))
            check_verdict(book.counts[claim.id])
            return book.logits[claim.id]

    async def _evaluate(self, claim: Signed[Claim], model: bytes) -> bytes:
        try:
            return await self._logits_if_true(claim, model)
        except JobFailed as error:
            if error.kind is FailureKind.OTHER:
                raise
            # What no machine can evaluate counts nothing.
            return b""

    async def _logits_if_true(self, claim: Signed[Claim], model: bytes) -> bytes:
        """Hash of the logits if model and incumbent count as claimed, else nothing."""
        message = claim.message
        context = self._chain.tree.context_for(message.parent, message.round)
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
