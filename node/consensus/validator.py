"""Who won the round? The walk over the claims, most correct images first (consensus H)."""

import asyncio

import structlog

from nas.jobs import JobFailed
from node.chain.context import RoundContext
from node.chain.envelope import Signed
from node.chain.errors import Rejected
from node.chain.messages import Claim
from node.chain.ranking import rank
from node.chain.timing import Phase, deadline
from node.clock import Clock
from node.consensus.book import Rounds
from node.consensus.chain import Chain
from node.consensus.importer import Importer
from node.net.blobs import NotFound

VALID = "valid"

_log = structlog.get_logger("validator")


class Validator:
    """Walks the claims of a round in descending order and adopts the first that stands."""

    def __init__(self, chain: Chain, rounds: Rounds, importer: Importer, clock: Clock) -> None:
        self._chain = chain
        self._rounds = rounds
        self._importer = importer
        self._clock = clock

    async def walk(self, context: RoundContext) -> bytes | None:
        """Id of the accepted claim's block, or None; ends in time for the vote."""
        end_ms = deadline(self._chain.network, context.round, Phase.VALIDATE)
        # A tenth of the phase is left to vote in.
        start_ms = deadline(self._chain.network, context.round, Phase.CLAIM)
        left_ms = end_ms - (end_ms - start_ms) // 10 - self._clock.now_ms()
        try:
            async with asyncio.timeout(max(0, left_ms) / 1_000):
                return await self._walk(context)
        except TimeoutError:
            _log.warning("walk_out_of_time", round=context.round)
            return None

    async def _walk(self, context: RoundContext) -> bytes | None:
        book = self._rounds.book(context.round)
        head = self._chain.head(context.round).id
        candidates = [c for c in rank(context, book.eligible_claims()) if c.message.parent == head]
        for claim in candidates[: self._chain.network.parameters.max_walked]:
            verdict = await self._judge(claim)
            book.verdicts[claim.id] = verdict
            _log.info(
                "claim_judged", claim=claim.id.hex(), correct=claim.message.correct, verdict=verdict
            )
            if verdict == VALID:
                return claim.id
        return None

    async def _judge(self, claim: Signed[Claim]) -> str:
        if claim.id in self._chain.tree:
            return VALID
        try:
            await self._importer.adopt_counted(await self._importer.open(claim))
        except Rejected as error:
            return str(error.reason)
        except NotFound:
            return "not-served"
        except JobFailed as error:
            return f"not-counted: {error}"
        return VALID
