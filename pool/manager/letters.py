"""What a manager writes to its miners after an event: a function of the event and the state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from nacl.signing import SigningKey

from node.chain.codec import encode
from node.chain.envelope import object_id, sign
from node.chain.messages import Envelope, Kind, Lease, PayoutNotice, Receipt
from node.wire import envelope_to_proto
from ponas.v1 import pool_service_pb2 as pb
from pool.link.leases import subspace_hash
from pool.link.wire import assignment_to_wire, best_to_wire, strength_to_wire
from pool.manager.receipts import Receipts
from pool.proofs.receipts import make_notices
from pool.proofs.shelf import KEPT_ROUNDS
from pool.records import events
from pool.records.events import AnyEvent
from pool.records.refusals import Refusal
from pool.records.state import (
    KEPT_PROMISES,
    Assignment,
    Exploration,
    KeptLease,
    MinerState,
    PoolState,
    Promise,
    RoundState,
    RoundTask,
)

HEARTBEATS_A_PHASE = 8
"""Signs of life that a silent miner gives in a train phase, within the bounds of its time."""

MIN_HEARTBEAT_MS, MAX_HEARTBEAT_MS = 1_000, 30_000
"""Least and most time between signs of life."""

EVERYBODY = b""
"""Stands for the key of each connected miner."""


class Letter(NamedTuple):
    """A message to one miner, or to EVERYBODY."""

    miner: bytes
    message: pb.MineResponse


def heartbeat_ms(task: RoundTask | None) -> int:
    """Milliseconds between a miner's signs of life, by the length of the train phase."""
    if task is None:
        return MIN_HEARTBEAT_MS
    wanted = task.phase_ms // HEARTBEATS_A_PHASE
    return min(MAX_HEARTBEAT_MS, max(MIN_HEARTBEAT_MS, wanted))


def lease_of(assignment: Assignment, round_: RoundState) -> Lease:
    """The lease that goes with an assignment; that of an exploitation is of the round's space."""
    work, space = assignment.work, round_.task.space
    if isinstance(work, Exploration):
        space = round_.searches[work.search].subspace
    return Lease(
        round=round_.task.round,
        miner=assignment.miner,
        assignment=assignment.id,
        subspace_hash=subspace_hash(space),
        search_seed=assignment.seed,
        episodes=assignment.budget,
        last_round=round_.task.round,
    )


class Letters:
    """Writes and signs for one manager; `receipts` are those of the newest results."""

    def __init__(self, key: SigningKey, network_id: bytes) -> None:
        self._key = key
        self._public_key = bytes(key.verify_key)
        self._network_id = network_id
        self.receipts = Receipts()
        self._notices: dict[bytes, Mapping[bytes, PayoutNotice]] = {}

    def lease_id(self, lease: Lease) -> bytes:
        """Id of the manager's envelope of a lease, by which a miner accepts it."""
        return object_id(self._network_id, Kind.LEASE, self._public_key, encode(lease))

    def keep_lease(self, lease: Lease, acceptance: Envelope) -> KeptLease:
        """A lease and its acceptance as evidence of what the miner has promised."""
        granted = sign(lease, self._key, self._network_id).envelope
        return KeptLease(lease.last_round, encode(granted), encode(acceptance))

    def after(self, happened: Iterable[AnyEvent], pool: PoolState, now_ms: int) -> list[Letter]:
        """The letters that these events call for; `pool` is the state after them."""
        return [
            letter
            for event in happened
            if (write := _WRITERS.get(type(event))) is not None
            for letter in write(self, event, pool, now_ms)
        ]

    def joined(self, event: events.Joined, pool: PoolState, now_ms: int) -> Iterable[Letter]:
        """The welcome, and what the miner may have missed while it or the manager was away."""
        yield from self.welcome(event, pool, now_ms)
        miner = pool.miners[event.miner]
        newest = 0 if pool.round is None else pool.round.task.round
        for promise in pool.promises:
            if promise.round > newest - KEPT_ROUNDS:
                yield from self._notice(miner, promise)

    def welcome(
        self, event: events.Joined | events.Retyped, pool: PoolState, now_ms: int
    ) -> Iterable[Letter]:
        task = None if pool.round is None else pool.round.task
        welcome = pb.Welcome(
            strength=strength_to_wire(event.strength),
            reason=event.reason,
            heartbeat_ms=heartbeat_ms(task),
        )
        yield Letter(event.miner, pb.MineResponse(welcome=welcome))

    def assignment(
        self,
        event: events.LeaseGranted | events.BackupActivated | events.ExploitationGiven,
        pool: PoolState,
        now_ms: int,
    ) -> Iterable[Letter]:
        if pool.round is None:
            raise ValueError("no round has started")
        assignment = pool.miners[event.miner].assignment(event.assignment)
        message = assignment_to_wire(assignment, pool.round, now_ms)
        lease = sign(lease_of(assignment, pool.round), self._key, self._network_id)
        message.lease.CopyFrom(envelope_to_proto(lease.envelope))
        yield Letter(event.miner, pb.MineResponse(assignment=message))

    def idle(self, event: events.Rested, pool: PoolState, now_ms: int) -> Iterable[Letter]:
        yield Letter(event.miner, pb.MineResponse(idle=pb.Idle(reason=event.reason)))

    def best(self, event: events.BestConfirmed, pool: PoolState, now_ms: int) -> Iterable[Letter]:
        if pool.round is None:
            raise ValueError("no round has started")
        shared = best_to_wire(event.best, pool.round.task.round)
        yield Letter(EVERYBODY, pb.MineResponse(shared_best=shared))

    def accepted(
        self, event: events.ResultAccepted, pool: PoolState, now_ms: int
    ) -> Iterable[Letter]:
        letter = _acknowledgement(event, pb.ACCEPTANCE_ACCEPTED, "")
        yield self._with_receipt(letter, self.receipts.give(event, pool))

    def refused(
        self, event: events.ResultRefused, pool: PoolState, now_ms: int
    ) -> Iterable[Letter]:
        letter = _acknowledgement(event, pb.ACCEPTANCE_REFUSED, f"{event.reason}: {event.detail}")
        receipt = self.receipts.again(event) if event.reason is Refusal.DUPLICATE else None
        yield letter if receipt is None else self._with_receipt(letter, receipt)

    def _with_receipt(self, letter: Letter, receipt: Receipt) -> Letter:
        envelope = sign(receipt, self._key, self._network_id).envelope
        letter.message.acknowledgement.receipt.CopyFrom(envelope_to_proto(envelope))
        return letter

    def notices(self, event: events.Committed, pool: PoolState, now_ms: int) -> Iterable[Letter]:
        for miner in sorted(pool.miners.values(), key=lambda miner: miner.number):
            if miner.connected:
                yield from self._notice(miner, event.promise)

    def _notice(self, miner: MinerState, promise: Promise) -> Iterable[Letter]:
        notice = self._notices_of(promise).get(miner.payout_address)
        if notice is not None:
            envelope = sign(notice, self._key, self._network_id).envelope
            yield Letter(miner.key, pb.MineResponse(payout_notice=envelope_to_proto(envelope)))

    def _notices_of(self, promise: Promise) -> Mapping[bytes, PayoutNotice]:
        # A crowd that comes back after a restart asks for the same proofs.
        notices = self._notices.get(promise.share_log)
        if notices is None:
            notices = make_notices(
                promise.round, promise.commitment, promise.share_log, promise.lines
            )
            self._notices[promise.share_log] = notices
            if len(self._notices) > KEPT_PROMISES:
                del self._notices[next(iter(self._notices))]
        return notices

    def stale(self, event: events.ResultStale, pool: PoolState, now_ms: int) -> Iterable[Letter]:
        yield _acknowledgement(event, pb.ACCEPTANCE_STALE, event.detail)


def _acknowledgement(
    event: events.ResultAccepted | events.ResultRefused | events.ResultStale,
    acceptance: pb.Acceptance.ValueType,
    reason: str,
) -> Letter:
    acknowledgement = pb.Acknowledgement(
        assignment_id=event.assignment,
        episode=event.episode,
        acceptance=acceptance,
        reason=reason,
    )
    return Letter(event.miner, pb.MineResponse(acknowledgement=acknowledgement))


_WRITERS: dict[type, Callable[..., Iterable[Letter]]] = {
    events.Joined: Letters.joined,
    events.Retyped: Letters.welcome,
    events.LeaseGranted: Letters.assignment,
    events.BackupActivated: Letters.assignment,
    events.ExploitationGiven: Letters.assignment,
    events.Rested: Letters.idle,
    events.BestConfirmed: Letters.best,
    events.ResultAccepted: Letters.accepted,
    events.ResultRefused: Letters.refused,
    events.ResultStale: Letters.stale,
    events.Committed: Letters.notices,
}
