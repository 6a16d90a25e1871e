"""Bodies and models by the hashes that headers name them by: from this node, or from peers."""

import asyncio
from collections.abc import Awaitable, Callable

from node.chain.context import RoundContext
from node.chain.envelope import Signed
from node.chain.hashing import blob_hash as hash_blob
from node.chain.messages import MAX_BODY_BYTES, Claim, Envelope, Fallback
from node.chain.timing import phase_at
from node.chain.validity import DesignRules, check_model
from node.clock import Clock
from node.consensus.book import Rounds
from node.consensus.chain import Chain
from node.net.blobs import NotFound

Header = Signed[Claim | Fallback]

Fetch = Callable[[bytes, int], Awaitable[bytes]]
"""A blob by hash and greatest length, from the peers; raises `node.net.blobs.NotFound`."""

FetchNamed = Callable[[bytes, int, Envelope | None], Awaitable[bytes]]
"""As `Fetch`, first from whoever told of the object that names the blob, if one does."""

# A blob spreads from peer to peer: one that nobody near has yet is asked for again.
_ASK_AGAIN_MS = 100
# The body of a block that carries nothing needs no transfer.
_EMPTY = hash_blob(b"")


class Blobs:
    """Has what is asked for at hand until a time is over, by the node's clock in ms."""

    def __init__(
        self, chain: Chain, rounds: Rounds, designs: DesignRules, fetch: FetchNamed, clock: Clock
    ) -> None:
        self._chain = chain
        self._rounds = rounds
        self._designs = designs
        self._fetch = fetch
        self._clock = clock

    async def body(self, header: Header, give_up_ms: int) -> bytes:
        """The body of a block. Raises NotFound."""
        message, named_by = header.message, header.envelope
        return await self.blob(
            message.round, message.body_hash, MAX_BODY_BYTES, give_up_ms, named_by
        )

    async def model(self, context: RoundContext, claim: Signed[Claim], give_up_ms: int) -> bytes:
        """The model of a claim. Raises Rejected and NotFound."""
        message, named_by = claim.message, claim.envelope
        length = self._designs.model_length(context, message.genotype)
        model = await self.blob(message.round, message.model_hash, length, give_up_ms, named_by)
        check_model(context, message, model, self._designs)
        return model

    async def blob(
        self,
        round_number: int,
        blob_hash: bytes,
        max_bytes: int,
        give_up_ms: int,
        named_by: Envelope | None = None,
    ) -> bytes:
        """A blob by its hash, to be served on while a round is near. Raises NotFound."""
        if blob_hash == _EMPTY:
            return b""
        while True:
            if (held := self.held(blob_hash)) is not None:
                return held
            left_ms = give_up_ms - self._clock.now_ms()
            if left_ms <= 0:
                raise NotFound(f"blob {blob_hash.hex()} did not come in time")
            try:
                async with asyncio.timeout(left_ms / 1_000):
                    fetched = await self._fetch(blob_hash, max_bytes, named_by)
            except (NotFound, TimeoutError):
                await self._clock.sleep_until(self._clock.now_ms() + _ASK_AGAIN_MS)
            else:
                # What is fetched late must not be gone before its block is judged.
                now = phase_at(self._chain.network, self._clock.now_ms()).round
                self._rounds.shelve(max(round_number, now), fetched)
                return fetched

    def held(self, blob_hash: bytes) -> bytes | None:
        """A blob that this node has."""
        held = self._rounds.blob(blob_hash)
        return self._chain.blob(blob_hash) if held is None else held
