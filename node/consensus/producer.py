"""A producer's part in a round: commit the pool's best model, then claim its count."""

import random
from dataclasses import dataclass, replace
from typing import Protocol

import structlog
from nacl.signing import SigningKey

from nas.jobs import Counted, JobFailed
from node.chain.block import open_block
from node.chain.commits import commit_id, commit_of, compute_payout_root
from node.chain.context import RoundContext
from node.chain.envelope import Signed, sign
from node.chain.errors import Rejected
from node.chain.hashing import blob_hash
from node.chain.lists import certified, fold
from node.chain.messages import Body, Claim, PayoutLine
from node.chain.proposal import complete
from node.chain.timing import Phase, deadline, round_start
from node.clock import Clock
from node.consensus.attester import Send
from node.consensus.book import Rounds
from node.consensus.chain import Chain
from node.consensus.designs import NasDesigns
from node.consensus.importer import Importer
from node.consensus.mempool import Mempool
from pool.manager.manager import ConfirmedBest
from pool.records.state import RoundTask

_log = structlog.get_logger("producer")

# Of the train phase, in thousandths: when results stop counting, and when the best is committed.
# What lies between is for confirming the last of them, what follows for the commit to spread.
_TRAIN_END, _COMMIT_AT = 940, 970
_LOOK_EVERY_MS = 1_000


class Pool(Protocol):
    """What a producer asks of the pool it commits for."""

    def start_round(self, task: RoundTask) -> None: ...

    def close_round(self) -> None: ...

    def best(self) -> ConfirmedBest | None: ...


@dataclass(frozen=True)
class Committed:
    """What a commitment promised, kept until it is claimed; `claim` lacks count and hashes."""

    claim: Claim
    model: bytes
    lines: tuple[PayoutLine, ...]


class Producer:
    """Commits once a round with its first unit, as late as is safe (consensus B5)."""

    def __init__(
        self,
        key: SigningKey,
        chain: Chain,
        rounds: Rounds,
        mempool: Mempool,
        importer: Importer,
        designs: NasDesigns,
        pool: Pool,
        clock: Clock,
        rng: random.Random,
        send: Send,
    ) -> None:
        self._key = key
        self._chain = chain
        self._rounds = rounds
        self._mempool = mempool
        self._importer = importer
        self._designs = designs
        self._pool = pool
        self._clock = clock
        self._rng = rng
        self._send = send
        self.committed: Committed | None = None

    def has_committed(self, round_number: int) -> bool:
        """Whether a model was promised in the round."""
        return self.committed is not None and self.committed.claim.round == round_number

    async def train(self, round_number: int) -> None:
        """Let the pool search, and commit its best model near the end of the train phase."""
        context = await self._search(round_number)
        self._pool.close_round()
        best = self._pool.best()
        if best is None:
            _log.warning("nothing_to_commit", round=round_number, reason="no confirmed model")
            return
        self.committed = self._promise(context, best)
        commit = commit_of(context, self.committed.claim, bytes(self._key.verify_key))
        self._send(sign(commit, self._key, context.network.id).envelope)
        _log.info("committed", round=round_number, correct=best.correct, of=best.size)

    async def _search(self, round_number: int) -> RoundContext:
        """Run the pool until it is time to commit; the context in which it has searched.

        A node that has just started may learn only now which chain it is on: with the ancestor
        the space changes, and the search begins anew.
        """
        context: RoundContext | None = None
        commit_at_ms = self._moment(round_number, _COMMIT_AT)
        while context is None or self._clock.now_ms() < commit_at_ms:
            current = self._chain.context(round_number)
            if context is None or current.ancestor_id != context.ancestor_id:
                context = current
                train_end_ms = self._moment(round_number, _TRAIN_END)
                space = self._designs.space(context)
                self._pool.start_round(
                    RoundTask(round_number, self._designs.task, space, train_end_ms)
                )
            next_look_ms = self._clock.now_ms() + _LOOK_EVERY_MS
            await self._clock.sleep_until(min(commit_at_ms, next_look_ms))
        return context

    async def claim(self, round_number: int) -> None:
        """Count the committed model on the test images and claim it, if a quorum listed it."""
        producer, committed = bytes(self._key.verify_key), self.committed
        if committed is None or committed.claim.round != round_number:
            return
        context = self._chain.context(round_number)
        lists = self._rounds.book(context.round).lists.values()
        own = commit_id(context.network.id, producer, commit_of(context, committed.claim, producer))
        if own not in certified(context, lists):
            _log.warning("not_claimed", round=context.round, reason="no quorum listed the commit")
            return
        try:
            counted = await self._importer.count(committed.claim, committed.model)
        except JobFailed as error:
            _log.error("not_claimed", round=context.round, reason=str(error))
            return
        if counted.correct < context.network.parameters.task.min_correct:
            _log.warning("not_claimed", round=context.round, reason="the model is below the floor")
            return
        await self._propose(context, committed, counted)

    def build(
        self, context: RoundContext, committed: Committed, correct: int
    ) -> tuple[Signed[Claim], bytes]:
        """The signed claim of a count on top of this node's head, and its body."""
        parent = self._chain.head(context.round)
        commit_ids, proofs = fold(self._rounds.book(context.round).lists.values())
        body = Body(
            commit_ids=commit_ids,
            lists=proofs,
            payouts=committed.lines,
            parent_logits_hash=self._chain.logits_hash(parent.id),
        )
        header, body_bytes = complete(
            context,
            parent.state,
            replace(committed.claim, parent=parent.id, correct=correct),
            bytes(self._key.verify_key),
            body,
            self._chain.tree.votes(),
            self._mempool.transfers(),
        )
        return sign(header, self._key, context.network.id), body_bytes

    def reveal(self, claim: Signed[Claim], body: bytes, model: bytes) -> None:
        """Send a claim and serve what it names."""
        for blob in (body, model):
            self._rounds.shelve(claim.message.round, blob)
        self._send(claim.envelope)
        _log.info(
            "claimed", round=claim.message.round, block=claim.id, correct=claim.message.correct
        )

    async def _propose(self, context: RoundContext, committed: Committed, counted: Counted) -> None:
        claim, body = self.build(context, committed, counted.correct)
        try:
            block = open_block(claim.envelope, body, context.network.id)
            state = self._chain.apply(block)
        except Rejected as error:
            # A rule that others would refuse it by; sending it would only cost them time.
            _log.error("own_block_invalid", round=context.round, reason=str(error))
            return
        await self._chain.adopt(block, state, committed.model, counted.logits_hash)
        self.reveal(claim, body, committed.model)

    def _promise(self, context: RoundContext, best: ConfirmedBest) -> Committed:
        claim = Claim(
            round=context.round,
            parent=bytes(32),
            unit=0,
            genotype=best.genotype.to_bytes(),
            model_hash=blob_hash(best.model),
            payout_root=compute_payout_root(best.lines),
            salt=self._rng.randbytes(32),
            correct=0,
            secrets=(),
            body_hash=bytes(32),
            state_root=bytes(32),
        )
        return Committed(claim, best.model, best.lines)

    def _moment(self, round_number: int, thousandths: int) -> int:
        start = round_start(self._chain.network, round_number)
        end = deadline(self._chain.network, round_number, Phase.TRAIN)
        return start + (end - start) * thousandths // 1_000
