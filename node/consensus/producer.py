"""A producer's part in a round: commit the pool's best model, then claim its count."""

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import structlog
from nacl.signing import SigningKey

from nas.jobs import Counted, JobFailed
from node.aside import Aside
from node.chain.commits import commit_id, commit_of, compute_payout_root
from node.chain.context import RoundContext
from node.chain.envelope import Signed, sign
from node.chain.errors import Rejected
from node.chain.hashing import blob_hash
from node.chain.lists import certified
from node.chain.messages import Claim, Commit
from node.chain.proposal import complete
from node.chain.timing import Phase, deadline, round_start
from node.chain.units import fold_body
from node.clock import Clock
from node.consensus.attester import Send
from node.consensus.book import Rounds
from node.consensus.chain import Chain
from node.consensus.counter import Counter
from node.consensus.designs import NasDesigns
from node.consensus.false_claims import credible
from node.consensus.importer import Importer
from node.consensus.mempool import Mempool
from node.consensus.moments import SAMPLES, commit_lead_ms, train_end_lead_ms
from node.consensus.signed_before import SignedBefore
from node.consensus.waiting import comes
from node.consensus.winnings import Paid, Winnings
from node.net.blobs import NotFound
from node.publishing.library import TaskLibrary
from node.publishing.policy import MINES_FOR_ALL, PublisherPolicy
from pool.manager.manager import ConfirmedBest, Promised
from pool.records.state import RoundTask

_log = structlog.get_logger("producer")

# The unit that it commits with.
_UNIT = 0
_LOOK_EVERY_MS = 1_000


class Pool(Paid, Protocol):
    """What a producer asks of the pool it commits for."""

    @property
    def sync_delays_ms(self) -> Sequence[int]: ...

    def start_round(self, task: RoundTask) -> None: ...

    def close_round(self) -> None: ...

    def best(self) -> ConfirmedBest | None: ...

    async def promise(self, claim: Claim, best: ConfirmedBest, commitment: bytes) -> None: ...

    def promised(self) -> Promised | None: ...


class Producer:
    """Commits once a round with its first unit, as late as is safe (consensus B5).

    `why_silent` is asked before a model is promised, committed and claimed: a reason not to sign
    now, or nothing.
    """

    def __init__(
        self,
        key: SigningKey,
        chain: Chain,
        rounds: Rounds,
        mempool: Mempool,
        counter: Counter,
        importer: Importer,
        library: TaskLibrary,
        designs: NasDesigns,
        pool: Pool,
        signed_before: SignedBefore,
        aside: Aside,
        clock: Clock,
        rng: random.Random,
        send: Send,
        why_silent: Callable[[], str],
        publishers: PublisherPolicy = MINES_FOR_ALL,
    ) -> None:
        self._publishers = publishers
        self._key = key
        self._chain = chain
        self._rounds = rounds
        self._mempool = mempool
        self._counter = counter
        self._importer = importer
        self._library = library
        self._designs = designs
        self._pool = pool
        self._signed_before = signed_before
        self._aside = aside
        self._clock = clock
        self._rng = rng
        self._send = send
        self._why_silent = why_silent
        self._winnings = Winnings(bytes(key.verify_key), chain, pool)
        self._delays_ms: deque[int] = deque(maxlen=SAMPLES)

    @property
    def committed(self) -> Promised | None:
        """What was promised last, also before a restart."""
        return self._pool.promised()

    def has_committed(self, round_number: int) -> bool:
        """Whether a model was promised in the round."""
        committed = self.committed
        return committed is not None and committed.claim.round == round_number

    async def train(self, round_number: int) -> None:
        """Let the pool search, and commit its best model near the end of the train phase.

        A round that was promised a model before a restart is not searched again; its commitment
        is only sent again, for the crash may have come before it left. Once committed, the pool
        prepares the next round.
        """
        if not self.has_committed(round_number):
            context = await self._search(round_number)
            self._pool.close_round()
            await self._promise(context)
        if self.committed is not None and self.has_committed(round_number):
            await self._commit(self.committed)
        self._start(self._chain.context(round_number + 1))

    async def _promise(self, context: RoundContext) -> None:
        if reason := self._why_not(context):
            _log.info("round_declined", round=context.round, reason=reason)
            return
        # What is promised would have to be claimed.
        if not await self._may_sign(context):
            return
        best = self._pool.best()
        if best is None or best.round != context.round:
            _log.warning("nothing_to_commit", round=context.round, reason="no confirmed model")
            return
        claim = self._claim_of(context, best)
        commit = commit_of(context, claim, bytes(self._key.verify_key))
        # First on disk: what was committed has to be claimed, or the round is lost.
        await self._pool.promise(claim, best, commit.commitment)
        _log.info("promised", round=context.round, correct=best.correct, of=best.size)

    async def _commit(self, promised: Promised) -> None:
        claim = promised.claim
        if not await self._may_sign(self._chain.context(claim.round)):
            return
        commit = Commit(claim.round, claim.unit, promised.commitment)
        self._send(sign(commit, self._key, self._chain.network.id).envelope)
        _log.info("committed", round=claim.round, commitment=commit.commitment.hex())

    async def _may_sign(self, context: RoundContext) -> bool:
        """Whether there is no reason to be silent, or it goes before commitments are due."""
        due_ms = deadline(context.network, context.round, Phase.TRAIN)
        may = await comes(lambda: not self._why_silent(), due_ms, self._clock)
        if not may:
            _log.warning("not_committing", round=context.round, reason=self._why_silent())
        return may

    async def _search(self, round_number: int) -> RoundContext:
        """Run the pool until it is time to commit; the context in which it has searched.

        A node that has just started may learn only now which chain it is on: with the ancestor
        the space changes, and the search begins anew.
        """
        context: RoundContext | None = None
        is_started = False
        while context is None or self._clock.now_ms() < self._commit_at_ms(round_number):
            current = self._chain.context(round_number)
            is_other = context is None or current.ancestor_id != context.ancestor_id
            context = current
            if is_other or not is_started:
                is_started = self._start(context)
            self._winnings.tell()
            due_ms = min(self._commit_at_ms(round_number), self._clock.now_ms() + _LOOK_EVERY_MS)
            await self._clock.sleep_until(due_ms)
            self._delays_ms.append(max(0, self._clock.now_ms() - due_ms))
        return context

    def _start(self, context: RoundContext) -> bool:
        """Let the pool begin the search of a round, or prepare it if it lies ahead.

        False while the images of a published task are not here, or if nobody mines for its
        publisher.
        """
        if self._why_not(context):
            return False
        if context.paid is not None and not self._library.can_train(context.paid.terms):
            return False
        phase_ms, end_ms = self._phase(context.round)
        lead_ms = train_end_lead_ms(self._all_delays_ms(), phase_ms)
        self._pool.start_round(
            RoundTask(
                context.round,
                self._designs.task_of(context, bytes(self._key.verify_key), _UNIT),
                self._designs.space(context),
                end_ms - lead_ms,
                end_ms - phase_ms,
            )
        )
        return True

    def _why_not(self, context: RoundContext) -> str:
        """Why this producer leaves out a round; empty if it does not."""
        if not context.units(bytes(self._key.verify_key)):
            return "this node's key holds no unit"
        paid = context.paid
        if paid is not None and not self._publishers.accepts(paid.record.publisher):
            return "its publisher is not to be mined for"
        return ""

    def _commit_at_ms(self, round_number: int) -> int:
        phase_ms, end_ms = self._phase(round_number)
        return end_ms - commit_lead_ms(self._all_delays_ms(), phase_ms)

    def _all_delays_ms(self) -> Sequence[int]:
        return [*self._delays_ms, *self._pool.sync_delays_ms]

    def _phase(self, round_number: int) -> tuple[int, int]:
        """Length of the round's train phase, and when it ends, in ms."""
        end_ms = deadline(self._chain.network, round_number, Phase.TRAIN)
        return end_ms - round_start(self._chain.network, round_number), end_ms

    async def claim(self, round_number: int) -> None:
        """Count the committed model on the test images and claim it, if a quorum listed it."""
        producer, committed = bytes(self._key.verify_key), self.committed
        if committed is None or committed.claim.round != round_number:
            return
        context = self._chain.context(round_number)
        own = commit_id(context.network.id, producer, commit_of(context, committed.claim, producer))
        book = self._rounds.book(round_number)
        if not await self._comes(context, lambda: own in certified(context, book.lists.values())):
            _log.warning("not_claimed", round=context.round, reason="no quorum listed the commit")
            return
        if not await self._comes(context, lambda: book.secrets(context) is not None):
            _log.warning("not_claimed", round=context.round, reason="the test images are sealed")
            return
        if not await self._comes(context, lambda: not self._why_silent()):
            _log.warning("not_claimed", round=context.round, reason=self._why_silent())
            return
        claim = replace(committed.claim, secrets=book.secrets(context) or ())
        try:
            incumbent = await self._counter.count_incumbent(context, claim)
            counted = await self._counter.count(context, producer, claim, committed.model)
        except JobFailed as error:
            _log.error("not_claimed", round=context.round, reason=str(error))
            return
        if counted.correct < max(context.min_correct, incumbent + context.margin):
            _log.warning("not_claimed", round=context.round, reason="the model is below the floor")
            return
        claim = replace(claim, incumbent_correct=incumbent)
        await self._propose(context, replace(committed, claim=claim), counted)

    async def _comes(self, context: RoundContext, is_there: Callable[[], bool]) -> bool:
        """Wait for what a claim needs, until claims are due: after a restart, lists and seals
        still have to come."""
        due_ms = deadline(context.network, context.round, Phase.CLAIM)
        return await comes(is_there, due_ms, self._clock)

    async def build(
        self, context: RoundContext, committed: Promised, correct: int
    ) -> tuple[Signed[Claim], bytes]:
        """The signed claim of a count on top of this node's head, and its body.

        Raises Rejected(UNITS) if a certified commit has not come here.
        """
        parent = self._chain.head(context.round)
        book = self._rounds.book(context.round)
        body = replace(
            fold_body(context, book.lists.values(), book.commits.values()),
            payouts=committed.lines,
            parent_logits_hash=self._chain.logits_hash(parent.id),
        )
        header, body_bytes = await self._aside(
            complete,
            context,
            parent.state,
            replace(committed.claim, parent=parent.id, correct=correct),
            bytes(self._key.verify_key),
            body,
            self._chain.tree.votes(),
            credible(self._mempool.transactions(), self._rounds, self._chain.tree, parent.id),
        )
        return sign(header, self._key, context.network.id), body_bytes

    def reveal(self, claim: Signed[Claim], body: bytes, model: bytes) -> None:
        """Send a claim and serve what it names."""
        self._shelve(claim.message.round, body, model)
        self._send(claim.envelope)
        _log.info(
            "claimed", round=claim.message.round, block=claim.id, correct=claim.message.correct
        )

    def _shelve(self, round_number: int, *blobs: bytes) -> None:
        for blob in blobs:
            self._rounds.shelve(round_number, blob)

    async def _propose(self, context: RoundContext, committed: Promised, counted: Counted) -> None:
        due_ms = deadline(context.network, context.round, Phase.CLAIM)
        try:
            claim, body = await self.build(context, committed, counted.correct)
            self._shelve(context.round, body, committed.model)
            block, state = await self._importer.open(claim, due_ms)
            prepared = await self._importer.prepare(block, state, due_ms)
        except (Rejected, NotFound) as error:
            # A rule that others would refuse it by; sending it would only cost them time.
            _log.error("own_block_invalid", round=context.round, reason=str(error))
            return
        # Two claims of a round are an offence, also with a restart between them.
        if not await self._signed_before.allows_claim(context.round):
            _log.warning("not_claimed", round=context.round, reason="a claim was sent before")
            return
        await self._importer.keep(prepared, counted.logits_hash)
        self.reveal(claim, body, committed.model)

    def _claim_of(self, context: RoundContext, best: ConfirmedBest) -> Claim:
        """The claim of a best, which lacks its count and the hashes of its block."""
        return Claim(
            round=context.round,
            parent=bytes(32),
            unit=_UNIT,
            genotype=best.genotype.to_bytes(),
            model_hash=blob_hash(best.model),
            payout_root=compute_payout_root(best.lines),
            salt=self._rng.randbytes(32),
            correct=0,
            secrets=(),
            body_hash=bytes(32),
            state_root=bytes(32),
        )
