"""A pool played by hand: says what a test tells it to, and notes what miners say."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial

from nas.jobs import Executor
from node.chain.envelope import sign
from node.chain.messages import Lease, Receipt
from node.net.link import LinkClosed, ManagerLink, PeerLink
from node.store.base import Store
from node.wire import envelope_to_proto
from ponas.v1 import pool_service_pb2 as pb
from pool.link.leases import subspace_hash
from pool.link.wire import PROTOCOL_VERSION, assignment_to_wire
from pool.miner.miner import Miner, Route
from pool.miner.promises import Promises
from pool.miner.session import TaskOf
from pool.proofs.receipts import make_receipt
from pool.proofs.sharelog import Share
from pool.records.strengths import Strength
from pool.rules.worth import Worth
from tests.pool_states import SUBSPACE, handed_out, in_hand, open_round, round_of
from tests.pool_world import (
    NETWORK_ID,
    TASK,
    PoolWorld,
    applicant,
    evidence_of,
    key_of,
    no_promises,
    public,
)

WORK = 70
NO_ORDERS = pb.MineResponse(idle=pb.Idle(reason="no round is open"))


def challenge_of(
    manager: str = "manager", network_id: bytes = NETWORK_ID, version: int = PROTOCOL_VERSION
) -> pb.MineResponse:
    """How a pool begins."""
    return pb.MineResponse(
        challenge=pb.Challenge(
            nonce=bytes(32),
            network_id=network_id,
            protocol_version=version,
            manager=public(manager),
        )
    )


def exploration(
    number: int, round_number: int = 1, remaining_ms: int = 20_000, starts_in_ms: int = 0
) -> pb.MineResponse:
    """Assignment `number`, an exploration of SUBSPACE; its search seed is the number too."""
    pool = handed_out(open_round(strong="s"))
    message = assignment_to_wire(in_hand(pool, "s"), round_of(pool), 0)
    message.id = message.exploration.search_seed = number
    message.round = round_number
    message.remaining_ms = remaining_ms
    message.starts_in_ms = starts_in_ms
    return pb.MineResponse(assignment=message)


def with_lease(message: pb.MineResponse, manager: str = "manager", rounds: int = 1) -> None:
    """Put a lease for miner `s` into an exploration."""
    assignment = message.assignment
    lease = Lease(
        round=assignment.round,
        miner=public("s"),
        assignment=assignment.id,
        subspace_hash=subspace_hash(SUBSPACE),
        search_seed=assignment.exploration.search_seed,
        episodes=5,
        last_round=assignment.round + rounds - 1,
    )
    envelope = sign(lease, key_of(manager), NETWORK_ID).envelope
    assignment.lease.CopyFrom(envelope_to_proto(envelope))


class HandPool:
    """Listens at an address of the world's network, under the key of `manager`.

    Every miner that registers is sent `orders`, by default that there are none. `registered` holds
    the times of registrations, `results` and `others` what came after. Results are answered by
    `answer`, if there is one.
    """

    def __init__(self, world: PoolWorld, address: str, manager: str = "manager") -> None:
        self._world = world
        self.address = address
        self._manager = manager
        self.challenge = challenge_of(manager)
        self.orders: Sequence[pb.MineResponse] = (NO_ORDERS,)
        self.answer: Callable[[pb.Result], pb.MineResponse] | None = self.accepted
        self._rounds: dict[int, int] = {}
        self.registered: list[int] = []
        self.results: list[pb.Result] = []
        self.others: list[tuple[int, pb.MineRequest]] = []
        self.open = 0
        self._link: ManagerLink | None = None
        self.listen()

    def listen(self) -> None:
        """Be there, again if need be."""
        self._world.network.listen(self.address, _no_peers, self._serve)

    def stop(self) -> None:
        """Vanish as by a crash."""
        self._world.network.stop(self.address)

    async def send(self, message: pb.MineResponse) -> None:
        """Say something to the miner that registered last."""
        if self._link is None:
            raise LookupError("no miner has registered")
        self._note(message)
        await self._link.send(message)

    def accepted(self, result: pb.Result) -> pb.MineResponse:
        """The word that a result is accepted, with a receipt."""
        response = acknowledged(result)
        receipt = receipt_for(result, self._rounds[result.assignment_id])
        envelope = sign(receipt, key_of(self._manager), NETWORK_ID).envelope
        response.acknowledgement.receipt.CopyFrom(envelope_to_proto(envelope))
        return response

    def _note(self, message: pb.MineResponse) -> None:
        if message.HasField("assignment"):
            self._rounds[message.assignment.id] = message.assignment.round

    async def _serve(self, link: ManagerLink) -> None:
        try:
            await link.send(self.challenge)
            if not (await link.receive()).HasField("registration"):
                return
            self._link = link
            self.registered.append(self._world.clock.now_ms())
            self.open += 1
            try:
                await self._listen_to(link)
            finally:
                self.open -= 1
        except LinkClosed:
            pass

    async def _listen_to(self, link: ManagerLink) -> None:
        for order in self.orders:
            self._note(order)
            await link.send(order)
        while True:
            message = await link.receive()
            if not message.HasField("result"):
                self.others.append((self._world.clock.now_ms(), message))
                continue
            self.results.append(message.result)
            if self.answer is not None:
                await link.send(self.answer(message.result))


def receipt_for(result: pb.Result, round_number: int = 1) -> Receipt:
    """What an honest manager makes of a result of miner `s`."""
    share = Share(
        miner=public("s"),
        address=public("s"),
        assignment=result.assignment_id,
        episode=result.episode,
        genotype=result.genotype,
        training_seed=result.training_seed,
        epochs=result.epochs,
        correct=result.correct,
        size=result.size,
        model_hash=result.model_hash,
        work=WORK,
    )
    return make_receipt(round_number, share, is_confirmed=False, worth=Worth.FULL)


def acknowledged(result: pb.Result) -> pb.MineResponse:
    """The word that a result is accepted, without a receipt."""
    return pb.MineResponse(
        acknowledgement=pb.Acknowledgement(
            assignment_id=result.assignment_id,
            episode=result.episode,
            acceptance=pb.ACCEPTANCE_ACCEPTED,
        )
    )


def miner_of(
    world: PoolWorld,
    pools: Sequence[HandPool],
    executor: Executor,
    own: HandPool | None = None,
    store: Store | None = None,
    task_of: TaskOf = lambda _, data: TASK,
    promises: Promises | None = None,
) -> Miner:
    """A strong miner `s` of these pools, best first, and of `own` as its node's own pool."""
    transport = world.network.transport("s")
    routes = [Route(pool.address, partial(transport.dial_pool, pool.address)) for pool in pools]
    if own is not None:
        routes.append(Route(own.address, partial(transport.dial_pool, own.address), is_own=True))
    return Miner(
        applicant=applicant("s", Strength.STRONG),
        routes=routes,
        task_of=task_of,
        executor=executor,
        clock=world.clock,
        rng=random.Random(1),
        promises=promises or no_promises(),
        evidence=evidence_of("s", store=store),
    )


async def _no_peers(link: PeerLink) -> None:
    await link.close("this is a pool only")
