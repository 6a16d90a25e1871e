"""The manager of a pool: hands out work, confirms what comes back, and knows the best.

A shell: decisions are made by `plan` and `check`, records by `pool.records.transition`; this file
moves messages, models and time. Results of one miner are judged one after the other, those of
different miners side by side.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from nas.designs.genotype import Genotype
from nas.designs.space import Space
from nas.jobs import Executor
from node.chain.messages import PayoutLine
from node.clock import Clock
from node.net.link import LinkClosed, ManagerLink
from ponas.v1 import pool_service_pb2 as pb
from pool.link.blobs import BlobError, max_weights_bytes
from pool.link.wire import assignment_to_wire, best_to_wire
from pool.manager.confirmation import counted_model
from pool.manager.session import Greeting, Session, TurnedAway
from pool.partition.algorithm1 import holds_usable_design
from pool.partition.base import Partition, PartitionKind
from pool.partition.registry import make_partition
from pool.records import transition
from pool.records.state import Best, PoolState, RoundState, RoundTask, Strength
from pool.rules.payout import payout_lines
from pool.rules.reports import Checked, Refused, Report, Stale, check, claims_best
from pool.rules.strategy import Rest, plan

BLOB_TIMEOUT_MS = 10_000
"""How long a miner may take to hand over a model or weights."""

# Weights of so many bests are kept: miners may still ask for those of an earlier assignment.
_KEPT_WEIGHTS = 4

_log = structlog.get_logger("pool.manager")


@dataclass(frozen=True)
class ConfirmedBest:
    """The model that a manager may commit: its count on the validation images is exact.

    `lines` are the payout lines by the work accepted until now.
    """

    round: int
    genotype: Genotype
    model: bytes
    correct: int
    size: int
    finder: bytes
    lines: tuple[PayoutLine, ...]


class Manager:
    """Serves miners over links and keeps one round at a time.

    `rng` draws nonces and the seed of all searches; `fee_permille` is the manager's part of a
    reward. `executor` evaluates models. `partition` splits the space of a round.
    """

    def __init__(
        self,
        *,
        public_key: bytes,
        payout_address: bytes,
        network_id: bytes,
        executor: Executor,
        clock: Clock,
        rng: random.Random,
        fee_permille: int = 0,
        partition: PartitionKind = PartitionKind.ALGORITHM1,
    ) -> None:
        self._greeting = Greeting(public_key, network_id, rng)
        self._payout_address = payout_address
        self._fee_permille = fee_permille
        self._executor = executor
        self._kind = partition
        self._partition: Partition | None = None
        self._clock = clock
        self._seed = rng.randbytes(32)
        self._pool = PoolState()
        self._sessions: dict[bytes, Session] = {}
        self._model = b""
        self._weights: dict[bytes, bytes] = {}

    @property
    def state(self) -> PoolState:
        """Everything known of miners and round; see `pool.records.view` for its views."""
        return self._pool

    def start_round(self, task: RoundTask) -> None:
        """Open a round and hand out its work."""
        self._model, self._weights = b"", {}
        before = self._pool
        self._pool = transition.started(before, task, self._seed, self._now())
        self._partition = make_partition(
            self._kind,
            task.space,
            max(1, len(self._pool.connected(Strength.STRONG))),
            self._round.seed,
            lambda space: holds_usable_design(space, task.task),
        )
        for key, session in self._sessions.items():
            if self._pool.miners[key].strength is not before.miners[key].strength:
                session.welcome(self._pool.miners[key])
        self._hand_out()

    def close_round(self) -> None:
        """End the train phase: later results are stale; best and shares stay for now."""
        self._pool = transition.closed(self._pool)

    def best(self) -> ConfirmedBest | None:
        """The best model confirmed in this round, with the payout lines as of now."""
        round_ = self._pool.round
        if round_ is None or round_.best is None:
            return None
        best = round_.best
        return ConfirmedBest(
            round_.task.round,
            best.genotype,
            self._model,
            best.correct,
            best.size,
            best.finder,
            self._lines(round_.work, best),
        )

    async def serve(self, link: ManagerLink) -> None:
        """Register the miner at the other end and work with it until the link ends."""
        try:
            registration = await self._greeting.register(link)
        except TurnedAway as refusal:
            self._pool = transition.turned_away(self._pool, refusal.reason)
            _log.warning("miner_turned_away", remote=link.remote, reason=refusal.detail)
            await link.close(refusal.detail)
            return
        except LinkClosed:
            return
        key = registration.key
        if key in self._sessions:
            self._sessions[key].channel.end("the same miner has connected again")
        session = Session(key, link, self._weights_of)
        self._sessions[key] = session
        self._pool = transition.joined(
            self._pool, key, registration.payout_address, registration.strength, self._now()
        )
        session.welcome(self._pool.miners[key])
        self._hand_out()
        try:
            await session.run(self._judge)
        finally:
            # A newer connection of the same miner may have taken over.
            if self._sessions.get(key) is session:
                del self._sessions[key]
                self._pool = transition.left(self._pool, key)
                self._hand_out()

    @property
    def _round(self) -> RoundState:
        if self._pool.round is None:
            raise RuntimeError("no round has started")
        return self._pool.round

    def _now(self) -> int:
        return self._clock.now_ms()

    def _weights_of(self, hash_: bytes) -> bytes | None:
        return self._weights.get(hash_)

    def _lines(self, work: Mapping[bytes, int], best: Best) -> tuple[PayoutLine, ...]:
        finder = self._pool.miners[best.finder].payout_address
        return payout_lines(work, finder, self._payout_address, self._fee_permille)

    async def _judge(self, session: Session, report: Report) -> None:
        """Accept, refuse or set aside one result, and say so."""
        try:
            checked = check(report, self._pool, session.key, self._now())
            model = await self._confirm(session, checked)
        except Stale as late:
            self._pool = transition.came_late(self._pool, session.key)
            session.acknowledge(report, pb.ACCEPTANCE_STALE, str(late))
            return
        except Refused as refusal:
            self._refuse(session, report, refusal)
            return
        self._pool = transition.accepted(self._pool, checked, self._now())
        session.acknowledge(report, pb.ACCEPTANCE_ACCEPTED)
        if model is not None:
            await self._share(session, checked, model)
        self._hand_out()

    def _refuse(self, session: Session, report: Report, refusal: Refused) -> None:
        _log.warning(
            "result_refused",
            miner=session.key.hex(),
            reason=str(refusal.reason),
            detail=refusal.detail,
        )
        self._pool = transition.refused(self._pool, session.key, refusal.reason)
        if refusal.takes_place:
            self._pool = transition.placed(self._pool, report.assignment_id, 0.0)
        session.acknowledge(report, pb.ACCEPTANCE_REFUSED, f"{refusal.reason}: {refusal.detail}")
        self._hand_out()

    async def _confirm(self, session: Session, checked: Checked) -> bytes | None:
        """The model of a result that claims to be the best, its count confirmed; else None.

        Also None if it could not be counted here: the result is then believed like any other that
        is no best. Raises Refused if model or count are not as claimed, Stale if the phase ended
        meanwhile.
        """
        if not claims_best(checked, self._round):
            return None
        dataset = self._round.task.task.dataset
        refusal: Refused | None = None
        model = None

        async def fetch(hash_: bytes, max_bytes: int) -> bytes:
            return await session.channel.fetch(hash_, max_bytes, BLOB_TIMEOUT_MS)

        try:
            model = await counted_model(checked, dataset, fetch, self._executor)
        except Refused as problem:
            refusal = problem
        # Fetching and counting took time: the phase may be over, another best may be ahead.
        check(checked.report, self._pool, session.key, self._now())
        if refusal is not None:
            raise refusal
        return model if claims_best(checked, self._round) else None

    async def _share(self, session: Session, checked: Checked, model: bytes) -> None:
        """Tell all miners of a new best; then get its weights, for the weak miners."""
        report = checked.report
        best = Best(
            genotype=checked.design.genotype,
            training_seed=report.training_seed,
            correct=report.correct,
            size=report.size,
            finder=session.key,
            model_hash=report.model_hash,
            weights_hash=report.weights_hash,
            from_weak_miner=self._pool.miners[session.key].strength is Strength.WEAK,
        )
        self._model = model
        self._pool = transition.confirmed(self._pool, best)
        task = self._round.task
        _log.info("best_confirmed", round=task.round, correct=best.correct, size=best.size)
        shared = pb.MineResponse(shared_best=best_to_wire(best, task.round))
        for other in self._sessions.values():
            other.channel.send(shared)
        try:
            weights = await session.channel.fetch(
                best.weights_hash, max_weights_bytes(len(model)), BLOB_TIMEOUT_MS
            )
        except BlobError as error:
            _log.warning("weights_missing", miner=session.key.hex(), reason=str(error))
            return
        if self._round.task is task:
            self._weights[best.weights_hash] = weights
            for old in list(self._weights)[:-_KEPT_WEIGHTS]:
                del self._weights[old]
            self._pool = transition.with_base(self._pool, best)

    def _hand_out(self) -> None:
        """Send every miner whose work has changed its new piece, or tell it why it rests."""
        for key, step in plan(self._pool).items():
            session, current = self._sessions[key], self._pool.assignment_of(key)
            if isinstance(step, Rest):
                self._pool = transition.rested(self._pool, key)
                session.idle(step.reason)
            elif current is None or current.work != step:
                self._pool = transition.assigned(
                    self._pool, key, step, self._draw_subspace, self._now()
                )
                assignment = self._round.assignments[self._round.current[key]]
                session.assign(assignment_to_wire(assignment, self._round, self._now()))

    def _draw_subspace(self, number: int) -> Space:
        if self._partition is None:
            raise RuntimeError("no round has started")
        drawn = self._partition.subspace(number)
        _log.info(
            "subspace_drawn",
            number=number,
            redraws=drawn.redraws,
            merged=drawn.merged,
            repeat=drawn.repeat,
            is_whole=drawn.is_whole,
        )
        return drawn.space
