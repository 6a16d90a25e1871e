"""An attester's duties in a round: a list, a fallback block if nobody won, a vote."""

from collections.abc import Callable, Sequence

import structlog
from nacl.signing import SigningKey

from node.aside import Aside
from node.chain.commits import choose_listed
from node.chain.context import RoundContext
from node.chain.envelope import sign
from node.chain.errors import Rejected
from node.chain.messages import Envelope, Fallback, List, Vote
from node.chain.proposal import complete
from node.chain.published.queue import make_bitmap
from node.chain.seals import make_end, needs_chain
from node.chain.state import seats_of_all
from node.chain.timing import Phase, deadline
from node.chain.units import fold_body
from node.chain.votes import compute_logits_digest
from node.clock import Clock
from node.consensus.book import Rounds
from node.consensus.chain import Chain
from node.consensus.false_claims import credible
from node.consensus.mempool import Mempool
from node.consensus.signed_before import SignedBefore
from node.publishing.library import TaskLibrary

_log = structlog.get_logger("attester")

Send = Callable[[Envelope], None]
"""Hands an object of this node's own to itself and to all peers."""


class Attester:
    """Signs for one key in the rounds in which it has a seat.

    Everything it sends goes through `send`. `why_silent` is asked before each signature: a reason
    not to sign now, such as a clock that is off, or nothing.
    """

    def __init__(
        self,
        key: SigningKey,
        chain: Chain,
        rounds: Rounds,
        mempool: Mempool,
        library: TaskLibrary,
        signed_before: SignedBefore,
        aside: Aside,
        clock: Clock,
        send: Send,
        why_silent: Callable[[], str],
    ) -> None:
        self._key = key
        self._public_key = bytes(key.verify_key)
        self._chain = chain
        self._rounds = rounds
        self._mempool = mempool
        self._library = library
        self._signed_before = signed_before
        self._aside = aside
        self._clock = clock
        self._send = send
        self._why_silent = why_silent

    async def sign_list(self, context: RoundContext) -> None:
        """List the commits that are here at the deadline."""
        if not self._is_seated(context) or self._is_silent(context.round):
            return
        commits = self._rounds.book(context.round).commits.values()
        listed = List(context.round, choose_listed(context, commits))
        if await self._signed_before.allows_list(context.round):
            self._send(sign(listed, self._key, context.network.id).envelope)

    async def propose_fallback(self, context: RoundContext) -> None:
        """Propose a block without a winner, unless one of a lower order came before our turn."""
        if not self._is_seated(context):
            return
        network = context.network
        order = context.fallback_order()
        place = order.index(self._public_key)
        claim_end, vote_at = (
            deadline(network, context.round, phase) for phase in (Phase.CLAIM, Phase.VALIDATE)
        )
        # Turns lie in the second half of the phase, so that the first has time to spread.
        turn_ms = claim_end + (vote_at - claim_end) * (len(order) + place) // (2 * len(order))
        await self._clock.sleep_until(turn_ms)
        # Only a valid block on this node's head is reason to stand back.
        if self._clock.now_ms() >= vote_at or self._fallback_of(context, order[:place]):
            return
        if self._is_silent(context.round):
            return
        parent, book = self._chain.head(context.round), self._rounds.book(context.round)
        missing = book.missing(context)
        draft = Fallback(context.round, parent.id, place, missing, bytes(32), bytes(32))
        # Lists are the proof that what is missing should have been revealed.
        lists = book.lists.values() if missing else ()
        try:
            listed = fold_body(context, lists, book.commits.values())
        except Rejected as error:
            _log.warning("no_fallback", round=context.round, reason=str(error))
            return
        header, body = await self._aside(
            complete,
            context,
            parent.state,
            draft,
            self._public_key,
            listed,
            self._chain.tree.votes(),
            credible(self._mempool.transactions(), self._rounds, self._chain.tree, parent.id),
        )
        self._rounds.shelve(context.round, body)
        self._send(sign(header, self._key, network.id).envelope)

    def choose_fallback(self, context: RoundContext) -> bytes | None:
        """Id of the adopted fallback block of lowest order on this node's head, or None."""
        return self._fallback_of(context, context.fallback_order())

    def _fallback_of(self, context: RoundContext, attesters: Sequence[bytes]) -> bytes | None:
        """The first of these attesters' fallback blocks that is in the tree, on the head, and
        says of the seals nothing that this node knows better."""
        book, head = self._rounds.book(context.round), self._chain.head(context.round).id
        for attester in attesters:
            fallback = book.fallbacks.get(attester)
            if (
                fallback is not None
                and fallback.message.parent == head
                and fallback.id in self._chain.tree
                and not book.contradicts(context, fallback.message.missing)
            ):
                return fallback.id
        return None

    async def vote(self, context: RoundContext, target: bytes) -> None:
        """Vote for a block of the round, from the checkpoint that its state has justified."""
        if not self._is_seated(context) or self._is_silent(context.round):
            return
        self._look_around(context)
        source = self._chain.tree.source_for(target)
        digest = compute_logits_digest(self._public_key, self._chain.logits_hash(target))
        chain = self._new_chain(context, target)
        held = make_bitmap(self._library.held_places(context.state.tasks.items()))
        vote = Vote(source.round, source.id, context.round, target, digest, held, chain)
        if await self._signed_before.allows_vote(vote):
            self._send(sign(vote, self._key, context.network.id).envelope)

    def _look_around(self, context: RoundContext) -> None:
        """Say if so many seats were lost by absence that their attesters may be elsewhere, with a
        chain of their own (consensus A7)."""
        seats = sum(context.weights.values())
        everybody = seats_of_all(context.state, context.network.parameters.max_weight).weights
        if 3 * seats < sum(everybody.values()):
            _log.warning("few_attest", round=context.round, seats=seats, of=sum(everybody.values()))

    def _new_chain(self, context: RoundContext, target: bytes) -> tuple[bytes, ...]:
        """The chain of seals that a vote registers: mostly none."""
        known = self._chain.tree.entry(target).state.seals.get(self._public_key)
        if not context.network.parameters.seals or not needs_chain(known, context.round):
            return ()
        return (make_end(self._key, context.network.id, context.round),)

    def _is_seated(self, context: RoundContext) -> bool:
        return self._public_key in context.weights

    def _is_silent(self, round_number: int) -> bool:
        if reason := self._why_silent():
            _log.warning("not_signing", round=round_number, reason=reason)
        return bool(reason)
