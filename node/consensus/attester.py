"""An attester's duties in a round: a list, a fallback block if nobody won, a vote."""

from collections.abc import Callable

import structlog
from nacl.signing import SigningKey

from node.chain.commits import choose_listed
from node.chain.context import RoundContext
from node.chain.envelope import sign
from node.chain.errors import Rejected
from node.chain.finality import Watermark, advance, is_safe_to_sign, link_of
from node.chain.hashing import u64
from node.chain.messages import Body, Envelope, Fallback, List, Vote
from node.chain.proposal import complete
from node.chain.timing import Phase, deadline
from node.chain.votes import compute_logits_digest
from node.clock import Clock
from node.consensus.book import Rounds
from node.consensus.chain import Chain
from node.consensus.importer import Importer
from node.consensus.mempool import Mempool
from node.net.blobs import NotFound
from node.store.base import Put, Store, Table
from node.store.writer import Writer

_log = structlog.get_logger("attester")

_LAST_LIST = b"list"
_LAST_VOTE = b"vote"

Send = Callable[[Envelope], None]
"""Hands an object of this node's own to itself and to all peers."""


class SignedBefore:
    """What this attester has signed, synced before it is sent, so that it never contradicts it."""

    def __init__(self, store: Store, writer: Writer) -> None:
        self._writer = writer
        self._list_round = int.from_bytes(store.get(Table.SIGNED, _LAST_LIST) or b"", "big")
        vote = store.get(Table.SIGNED, _LAST_VOTE) or bytes(16)
        self._votes = Watermark(int.from_bytes(vote[:8], "big"), int.from_bytes(vote[8:], "big"))

    async def allows_list(self, round_number: int) -> bool:
        """Whether a list of the round may be signed; once it may, it never may again."""
        if round_number <= self._list_round:
            return False
        self._list_round = round_number
        await self._writer.write([Put(Table.SIGNED, _LAST_LIST, u64(round_number))])
        return True

    async def allows_vote(self, vote: Vote) -> bool:
        """Whether a vote contradicts none before; from then on it counts as signed."""
        if not is_safe_to_sign(self._votes, link_of(vote)):
            return False
        self._votes = advance(self._votes, link_of(vote))
        mark = u64(self._votes.source_round) + u64(self._votes.target_round)
        await self._writer.write([Put(Table.SIGNED, _LAST_VOTE, mark)])
        return True


class Attester:
    """Signs for one key. Everything it sends goes through `send`."""

    def __init__(
        self,
        key: SigningKey,
        chain: Chain,
        rounds: Rounds,
        mempool: Mempool,
        importer: Importer,
        signed_before: SignedBefore,
        clock: Clock,
        send: Send,
    ) -> None:
        self._key = key
        self._chain = chain
        self._rounds = rounds
        self._mempool = mempool
        self._importer = importer
        self._signed_before = signed_before
        self._clock = clock
        self._send = send

    async def sign_list(self, context: RoundContext) -> None:
        """List the commits that are here at the deadline."""
        commits = self._rounds.book(context.round).commits.values()
        listed = List(context.round, choose_listed(context, commits))
        if await self._signed_before.allows_list(context.round):
            self._send(sign(listed, self._key, context.network.id).envelope)

    async def propose_fallback(self, context: RoundContext) -> None:
        """Propose a block without a winner, unless one of a lower order came before our turn."""
        network = context.network
        order = context.fallback_order()
        place = order.index(bytes(self._key.verify_key))
        claim_end, vote_at = (
            deadline(network, context.round, phase) for phase in (Phase.CLAIM, Phase.VALIDATE)
        )
        # Turns lie in the second half of the phase, so that the first has time to spread.
        turn_ms = claim_end + (vote_at - claim_end) * (len(order) + place) // (2 * len(order))
        await self._clock.sleep_until(turn_ms)
        fallbacks = self._rounds.book(context.round).fallbacks
        if any(signer in fallbacks for signer in order[:place]):
            return
        parent = self._chain.head(context.round)
        draft = Fallback(context.round, parent.id, place, (), bytes(32), bytes(32))
        header, body = complete(
            context,
            parent.state,
            draft,
            bytes(self._key.verify_key),
            Body(),
            self._chain.tree.votes(),
            self._mempool.transfers(),
        )
        self._rounds.shelve(context.round, body)
        self._send(sign(header, self._key, network.id).envelope)

    async def adopt_fallback(self, context: RoundContext) -> bytes | None:
        """Id of the valid fallback block of lowest order, or None."""
        fallbacks = self._rounds.book(context.round).fallbacks
        head = self._chain.head(context.round).id
        for attester in context.fallback_order():
            fallback = fallbacks.get(attester)
            if fallback is None or fallback.message.parent != head:
                continue
            try:
                block = await self._importer.open(fallback, self._clock.now_ms())
                await self._importer.adopt(block)
            except (Rejected, NotFound) as error:
                _log.info("fallback_refused", block=fallback.id, reason=str(error))
            else:
                return fallback.id
        return None

    async def vote(self, context: RoundContext, target: bytes) -> None:
        """Vote for a block of the round, from the checkpoint that its state has justified."""
        source = self._chain.tree.source_for(target)
        digest = compute_logits_digest(bytes(self._key.verify_key), self._chain.logits_hash(target))
        vote = Vote(source.round, source.id, context.round, target, digest, b"")
        if await self._signed_before.allows_vote(vote):
            self._send(sign(vote, self._key, context.network.id).envelope)
