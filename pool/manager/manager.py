"""The manager of a pool: hands out work, confirms what comes back, and knows the best.

The face of `pool.manager`: what it decides is in `pool.decisions`, what it knows in its `state`,
which outlives the process.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import structlog
from nacl.signing import SigningKey

from nas.designs.genotype import Genotype
from nas.jobs import Executor
from node.chain.codec import decode, encode
from node.chain.envelope import Signed
from node.chain.messages import Claim, Commit, PayoutLine
from node.clock import Clock
from node.net.link import LinkClosed, ManagerLink
from node.store.base import Store
from node.store.writer import Writer
from ponas.v1 import pool_service_pb2 as pb
from pool.decisions.admission import refuse_join
from pool.decisions.members import decide_join, decide_leave
from pool.decisions.pay import decide_defection
from pool.decisions.rounds import decide_open
from pool.manager.audits import Audits
from pool.manager.core import Core
from pool.manager.journal import Numbered
from pool.manager.results import Results
from pool.manager.session import Greeting, Session, TurnedAway
from pool.manager.subspaces import Subspaces
from pool.manager.watch import Watch
from pool.partition.base import PartitionKind
from pool.proofs.sharelog import Held, Terms
from pool.records import events
from pool.records.books import compute_lines, held_back
from pool.records.floods import Flood
from pool.records.state import Exploitation, PoolState, Promise, RoundTask

MAX_READ = 500
"""Events in one answer, which stays below a megabyte with them."""

DRAIN_WAIT_MS = 2_000
"""What miners are asked to wait before they connect again to a manager that stops."""

_log = structlog.get_logger("pool.manager")


@dataclass(frozen=True)
class ConfirmedBest:
    """The model that a manager may commit: its count on the validation images is exact.

    `lines` are the payout lines by the work accepted until now, `terms` what else they follow from,
    and `held` whose work they leave out.
    """

    round: int
    genotype: Genotype
    model: bytes
    correct: int
    size: int
    finder: bytes
    lines: tuple[PayoutLine, ...]
    terms: Terms
    held: tuple[Held, ...] = ()


@dataclass(frozen=True)
class Promised:
    """What the pool has committed to: the claim, which lacks count and hashes as yet, the model
    and the payout lines. `commitment` is the hash that binds it to them."""

    claim: Claim
    commitment: bytes
    model: bytes
    lines: tuple[PayoutLine, ...]


class Manager:
    """Serves miners over links and keeps one round at a time.

    `key` signs for the pool; `rng` draws nonces; `fee_permille` is the manager's part of a reward.
    `executor` counts bests, `auditing` does the audits on a CPU; `partition` splits spaces. What
    the pool knows is in `store`, and goes there through `writer`.
    """

    def __init__(
        self,
        *,
        key: SigningKey,
        payout_address: bytes,
        network_id: bytes,
        executor: Executor,
        clock: Clock,
        rng: random.Random,
        store: Store,
        writer: Writer,
        auditing: Executor,
        fee_permille: int = 0,
        partition: PartitionKind = PartitionKind.ALGORITHM1,
    ) -> None:
        self._core = Core(key, network_id, store, writer, clock, Subspaces(partition))
        self._results = Results(self._core, network_id, executor)
        self._audits = Audits(self._core, auditing)
        self._greeting = Greeting(bytes(key.verify_key), network_id, rng)
        self._public_key = bytes(key.verify_key)
        self._payout_address = payout_address
        self.fee_permille = fee_permille

    @property
    def state(self) -> PoolState:
        """Everything known of miners and round; see `pool.records.view` for its views."""
        return self._core.pool

    async def run(self) -> None:
        """Watch over the miners until cancelled.

        Raises StoreError when the pool's memory is lost, without which it must not go on.
        """
        self._core.tasks.spawn(Watch(self._core).run(), name="watch over miners")
        self._core.tasks.spawn(self._audits.run(), name="audits")
        await asyncio.shield(self._core.failure)

    async def close(self, reason: str = "the manager stops") -> None:
        """Ask the miners to come back later, and keep what is known. Nothing happens any more."""
        drain = pb.MineResponse(drain=pb.Drain(reason=reason, wait_ms=DRAIN_WAIT_MS))
        for session in self._core.sessions.values():
            session.channel.send(drain)
        await self._core.close()

    @property
    def sync_delays_ms(self) -> Sequence[int]:
        """How long the newest batches of the journal took to be synced."""
        return self._core.journal.sync_delays_ms

    def events(self, since: int) -> Sequence[Numbered]:
        """At most MAX_READ events, from number `since` on."""
        return list(islice(self._core.journal.read(since), MAX_READ))

    def start_round(self, task: RoundTask) -> None:
        """Open a round and hand out its work; after a restart, go on with one that is open."""
        now_ms = self._core.now_ms()
        self._audits.forfeit_overdue()
        opening = decide_open(self._core.pool, task, self._core.secret, now_ms)
        if opening:
            self._core.begin(*opening)

    def close_round(self) -> None:
        """End the train phase: later results are stale; best and shares stay for now."""
        self._core.happen(events.RoundClosed(self._core.now_ms()))

    def best(self) -> ConfirmedBest | None:
        """The best model confirmed in this round, with the payout lines as of now."""
        round_ = self._core.pool.round
        if round_ is None or round_.best is None:
            return None
        best, number = round_.best, round_.task.round
        finder = self._core.pool.miners[best.finder].payout_address
        terms = Terms(finder, self._payout_address, self.fee_permille)
        held = held_back(self._core.pool.books, self._audits.owing())
        return ConfirmedBest(
            number,
            best.genotype,
            self._core.journal.blobs[best.model_hash],
            best.correct,
            best.size,
            best.finder,
            compute_lines(
                self._core.pool.books,
                number,
                finder,
                self._payout_address,
                self.fee_permille,
                held,
            ),
            terms,
            held,
        )

    async def promise(self, claim: Claim, best: ConfirmedBest, commitment: bytes) -> None:
        """Commit the pool to a claim of its best: once this returns, no crash loses the claim.

        Miners are told of their payout lines, which the claim's payout root is of.
        """
        promise = Promise(
            claim.round,
            encode(claim),
            commitment,
            claim.model_hash,
            best.lines,
            self._core.close_log(best.terms, best.held),
        )
        committed = events.Committed(self._core.now_ms(), promise)
        self._core.happen(committed, blobs={claim.model_hash: best.model})
        await self._core.journal.synced()

    def promised(self) -> Promised | None:
        """The newest promise, also one made before a restart."""
        promise = self._core.pool.promise
        if promise is None:
            return None
        model = self._core.journal.blobs[promise.model_hash]
        return Promised(decode(Claim, promise.claim), promise.commitment, model, promise.lines)

    def on_commit(self, commit: Signed[Commit]) -> Sequence[bytes]:
        """Somebody has committed a model to the chain, perhaps a miner of this pool on its own.

        Then the encoded envelopes that show it: the lease, its acceptance and the commit.
        """
        if commit.signer == self._public_key:
            return ()
        broken = decide_defection(
            self._core.pool,
            commit.signer,
            commit.message.round,
            encode(commit.envelope),
            self._core.now_ms(),
        )
        if broken is None:
            return ()
        _log.warning("lease_broken", miner=commit.signer.hex(), round=commit.message.round)
        self._audits.forfeit(broken)
        return broken.evidence

    @property
    def paid_round(self) -> int:
        """The newest round of which it knows that its block is final, 0 for none."""
        return self._core.pool.paid_round

    def paid(self, round_number: int) -> None:
        """A block of the pool is final."""
        self._core.happen(events.Paid(self._core.now_ms(), round_number))

    async def serve(self, link: ManagerLink) -> None:
        """Register the miner at the other end and work with it until the link ends."""
        try:
            registration = await self._greeting.register(link)
        except TurnedAway as fault:
            await self._turn_away(link, b"", fault.reason, fault.detail)
            return
        except LinkClosed:
            return
        if self._core.is_closed:
            # It would have a session without being known.
            await link.close("the manager stops")
            return
        key, sessions = registration.key, self._core.sessions
        refusal = refuse_join(self._core.pool, key, self._core.now_ms())
        if refusal is not None:
            await self._turn_away(link, key, *refusal)
            return
        if key in sessions:
            sessions[key].channel.end("the same miner has connected again")
        session = Session(key, link, lambda hash_: self._weights_for(key, hash_), self._core.steady)
        sessions[key] = session
        address, strength = registration.payout_address, registration.strength
        now_ms = self._core.now_ms()
        self._core.happen(*decide_join(self._core.pool, key, address, strength, now_ms))
        reason = "the manager stops"
        try:
            reason = await session.run(self._results)
            if isinstance(reason, Flood):
                self._core.happen(events.Flooded(self._core.now_ms(), key, reason))
                self._core.ban_if_due(key)
        finally:
            # A newer connection of the same miner may have taken over.
            if sessions.get(key) is session:
                del sessions[key]
                left = decide_leave(self._core.pool, key, reason, self._core.now_ms())
                self._core.happen(*left)

    async def _turn_away(self, link: ManagerLink, key: bytes, reason: str, detail: str) -> None:
        self._core.happen(events.TurnedAway(self._core.now_ms(), key, reason))
        _log.warning("miner_turned_away", remote=link.remote, reason=detail)
        await link.close(f"{reason}: {detail}")

    def _weights_for(self, key: bytes, hash_: bytes) -> bytes | None:
        """Weights that the miner was told to train on from, and has accepted the lease for."""
        for assignment in self._core.pool.miners[key].given:
            work = assignment.work
            if not isinstance(work, Exploitation) or work.weights_hash != hash_:
                continue
            if assignment.is_accepted:
                _log.info("weights_given", miner=key.hex(), weights=hash_.hex())
                return self._core.journal.blobs.get(hash_)
        return None
