"""Who won the round? The walk over the claims, most correct images first (consensus H)."""

import asyncio

import structlog

from nas.jobs import JobFailed
from node.chain.context import RoundContext
from node.chain.envelope import Signed
from node.chain.errors import Rejected
from node.chain.messages import Claim
from node.chain.ranking import choose_walked
from node.chain.timing import Phase, deadline
from node.clock import Clock
from node.consensus.book import Rounds
from node.consensus.chain import Chain
from node.consensus.importer import Importer, Prepared
from node.net.blobs import NotFound

VALID = "valid"
NOT_SERVED = "not-served"
FAULT = "fault-in-this-node"
EQUIVOCATED = "equivocated"

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
        start_ms = deadline(self._chain.network, context.round, Phase.CLAIM)
        end_ms = deadline(self._chain.network, context.round, Phase.VALIDATE)
        # What is not served in the first third is skipped, so that a producer who withholds its
        # model holds up nobody else's; a tenth is left to vote in.
        give_up_ms = start_ms + (end_ms - start_ms) // 3
        left_ms = end_ms - (end_ms - start_ms) // 10 - self._clock.now_ms()
        try:
            async with asyncio.timeout(max(0, left_ms) / 1_000):
                return await self._walk(context, give_up_ms)
        except TimeoutError:
            _log.warning("walk_out_of_time", round=context.round)
            return None

    async def _walk(self, context: RoundContext, give_up_ms: int) -> bytes | None:
        book, head = self._rounds.book(context.round), self._chain.head(context.round).id
        claims = choose_walked(context, book.eligible_claims(), head)
        async with asyncio.TaskGroup() as group:
            ready = [group.create_task(self._prepare(claim, give_up_ms)) for claim in claims]
            for claim, preparing in zip(claims, ready, strict=True):
                prepared = await preparing
                # A second claim may have come since the walk began.
                if claim.signer in book.equivocators:
                    verdict = EQUIVOCATED
                else:
                    verdict = prepared if isinstance(prepared, str) else await self._count(prepared)
                book.verdicts[claim.id] = verdict
                correct = claim.message.correct
                _log.info("claim_judged", claim=claim.id, correct=correct, verdict=verdict)
                if verdict == VALID:
                    for rest in ready:
                        rest.cancel()
                    return claim.id
        return None

    async def _prepare(self, claim: Signed[Claim], give_up_ms: int) -> Prepared | str:
        """The claim's block, or why it can't stand."""
        try:
            block, state = await self._importer.open(claim, give_up_ms)
            return await self._importer.prepare(block, state, give_up_ms)
        except Rejected as error:
            return str(error.reason)
        except NotFound:
            return NOT_SERVED
        except Exception:
            # Whatever a claim brings to light, it must not cost the others their round.
            _log.exception("claim_check_failed", claim=claim.id)
            return FAULT

    async def _count(self, prepared: Prepared) -> str:
        if prepared.block.id in self._chain.tree:
            return VALID
        try:
            await self._importer.adopt_counted(prepared)
        except Rejected as error:
            return str(error.reason)
        except NotFound:
            return NOT_SERVED
        except JobFailed as error:
            return f"not counted: {error}"
        return VALID
