"""Blocks of others, from a header to a place in the chain."""

from collections.abc import Awaitable, Callable

from nas.genotype import Genotype
from nas.jobs import Count, Counted, Executor
from node.chain.block import Block, open_block
from node.chain.envelope import Signed
from node.chain.messages import MAX_BODY_BYTES, Claim, Fallback
from node.chain.validity import check_count, check_model
from node.consensus.book import Rounds
from node.consensus.chain import Chain
from node.consensus.designs import NasDesigns

Fetch = Callable[[bytes, int], Awaitable[bytes]]
"""A blob by hash and greatest length, from the peers; raises `node.net.blobs.NotFound`."""


class Importer:
    """Fetches what a header names, checks it by every rule and hands it to the chain.

    `executor` counts models; a node without one takes counts only on a quorum's word.
    """

    def __init__(
        self,
        chain: Chain,
        rounds: Rounds,
        designs: NasDesigns,
        fetch: Fetch,
        executor: Executor | None,
    ) -> None:
        self.chain = chain
        self.can_count = executor is not None
        self._rounds = rounds
        self._designs = designs
        self._fetch = fetch
        self._executor = executor

    async def open(self, header: Signed[Claim] | Signed[Fallback]) -> Block:
        """The block of a header, its body fetched. Raises Rejected and NotFound."""
        body = await self._blob(header.message.round, header.message.body_hash, MAX_BODY_BYTES)
        return open_block(header.envelope, body, self.chain.network.id)

    async def adopt(self, block: Block) -> None:
        """Adopt a block without counting: a fallback, or one that a quorum has voted for.

        Raises Rejected.
        """
        await self.chain.adopt(block, self.chain.apply(block))

    async def adopt_counted(self, block: Block) -> None:
        """Adopt a block after counting its model's correct images, if it has a model.

        Cheap rules come first, so that a false claim costs little. Raises Rejected, NotFound and
        JobFailed.
        """
        state, claim = self.chain.apply(block), block.header.message
        if isinstance(claim, Fallback):
            await self.chain.adopt(block, state)
            return
        length = self._designs.model_length(claim.genotype)
        model = await self._blob(claim.round, claim.model_hash, length)
        check_model(claim, model, self._designs)
        counted = await self.count(claim, model)
        check_count(claim, counted.correct)
        await self.chain.adopt(block, state, model, counted.logits_hash)

    async def count(self, claim: Claim, model: bytes) -> Counted:
        """Count a model's correct test images exactly. Raises JobFailed."""
        if self._executor is None:
            raise RuntimeError("this node counts no models")
        genotype = Genotype.from_bytes(claim.genotype)
        return await self._executor.run(Count(self._designs.task.dataset, "test", genotype, model))

    async def _blob(self, round_number: int, blob_hash: bytes, max_bytes: int) -> bytes:
        held = self._rounds.blob(blob_hash) or self.chain.blob(blob_hash)
        if held is None:
            held = await self._fetch(blob_hash, max_bytes)
            self._rounds.shelve(round_number, held)
        return held
