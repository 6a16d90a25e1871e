"""Miners that train nothing: they connect, accept their leases, and report what they draw.

Each has a connection of its own and sends what a real one sends: a signed registration, signed
lease acceptances, results that obey every rule, models when asked. So a process runs thousands.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from nacl.signing import SigningKey

from nas.data.datasets import describe
from nas.jobs import training_seed
from nas.training.protocol import precision_on
from node.bench.counting import model_that_counts
from node.bench.server import raise_file_limit
from node.bench.setting import NETWORK_ID, TASK
from node.chain.envelope import object_id, sign
from node.chain.hashing import blob_hash
from node.chain.messages import Kind, LeaseAcceptance, PoolRegistration
from node.net.grpc_transport import GrpcTransport
from node.net.link import LinkClosed, MinerLink, Unreachable
from node.tasks import TaskOwner
from node.wire import envelope_from_proto, envelope_to_proto
from ponas.v1 import pool_service_pb2 as pb
from pool.link.blobs import chunks
from pool.link.orders import ExploreOrder, Order, order_from_wire

# Counts between these parts of a thousand: above chance, and after a while never a new best.
_WORST, _BEST = 500, 700

# Models that an audit may still ask for.
_KEPT_MODELS = 16

# Miners that connect at the same time; more would only wait for each other.
_CONNECTING = 50

Clock = Callable[[], float]
"""Seconds, from any start."""


@dataclass
class Tally:
    """What the miners of one process saw; `waits_s` are seconds from a result to its answer."""

    waits_s: list[float] = field(default_factory=list)
    not_accepted: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    audits: int = 0


class LoadMiner:
    """One miner on its own connection; `report` sends its next result."""

    def __init__(self, key: SigningKey, rng: random.Random, tally: Tally, clock: Clock) -> None:
        self._key = key
        self._rng = rng
        self._tally = tally
        self._clock = clock
        self._link: MinerLink | None = None
        # A link takes one message at a time.
        self._sending = asyncio.Lock()
        self._order: Order | None = None
        self._episode = 0
        self._sent_s: dict[int, float] = {}
        self._models: OrderedDict[bytes, bytes] = OrderedDict()
        self._has_work = asyncio.Event()

    async def connect(self, transport: GrpcTransport, address: str, tasks: TaskOwner) -> None:
        """Dial, register and wait for work; a task of `tasks` answers the manager from then on."""
        self._link = await transport.dial_pool(address)
        tasks.spawn(self._answer(), name="answer the manager")
        await self._has_work.wait()

    async def report(self) -> None:
        """Send the next result of the search."""
        order = self._order
        if order is None or not isinstance(order.work, ExploreOrder):
            return
        info = describe(TASK.dataset)
        genotype = order.work.space.sample(self._rng)
        correct = info.validation * self._rng.randint(_WORST, _BEST) // 1_000
        # Its weights are never trained on from here, so that the model may pass for them.
        model_hash = self._keep(
            model_that_counts(TASK.dataset, genotype, correct, self._rng.randbytes(8))
        )
        result = pb.Result(
            assignment_id=order.id,
            episode=self._episode,
            genotype=genotype.to_bytes(),
            training_seed=training_seed(order.work.seed, TASK.dataset, genotype, 0),
            correct=correct,
            size=info.validation,
            epochs=order.epochs,
            model_hash=model_hash,
            weights_hash=model_hash,
            states=[self._rng.randbytes(32) for _ in range(order.epochs + 1)],
            precision=precision_on("cpu"),
        )
        self._sent_s[self._episode] = self._clock()
        self._episode += 1
        await self._send(pb.MineRequest(result=result))

    async def _answer(self) -> None:
        """Register, then answer the manager until the link ends."""
        try:
            challenge = (await self._receive()).challenge
            registration = PoolRegistration(
                nonce=challenge.nonce,
                manager=challenge.manager,
                strength=pb.STRENGTH_STRONG,
                payout_address=bytes(self._key.verify_key),
            )
            envelope = envelope_to_proto(sign(registration, self._key, NETWORK_ID).envelope)
            await self._send(pb.MineRequest(registration=envelope))
            while True:
                await self._on_message(await self._receive())
        except LinkClosed as closed:
            self._tally.lost.append(str(closed))

    async def _on_message(self, message: pb.MineResponse) -> None:
        match message.WhichOneof("content"):
            case "assignment":
                await self._take(message.assignment)
            case "acknowledgement":
                self._on_acknowledgement(message.acknowledgement)
            case "blob_request":
                self._tally.audits += 1
                hash_ = message.blob_request.hash
                for chunk in chunks(hash_, self._models.get(hash_)):
                    await self._send(pb.MineRequest(blob_chunk=chunk))
            case _:
                pass

    async def _take(self, assignment: pb.Assignment) -> None:
        # The phase outlasts the measurement, so its end is of no interest here.
        order = order_from_wire(assignment, TASK, 0)
        if not isinstance(order.work, ExploreOrder):
            return
        self._order, self._episode = order, len(order.work.rewards)
        if assignment.HasField("lease"):
            lease = envelope_from_proto(assignment.lease)
            lease_id = object_id(NETWORK_ID, Kind.LEASE, lease.public_key, lease.payload)
            accepted = sign(LeaseAcceptance(lease_id), self._key, NETWORK_ID).envelope
            await self._send(pb.MineRequest(lease_acceptance=envelope_to_proto(accepted)))
        self._has_work.set()

    def _on_acknowledgement(self, answer: pb.Acknowledgement) -> None:
        sent_s = self._sent_s.pop(answer.episode, None)
        if sent_s is not None:
            self._tally.waits_s.append(self._clock() - sent_s)
        if answer.acceptance != pb.ACCEPTANCE_ACCEPTED:
            self._tally.not_accepted.append(answer.reason)

    def _keep(self, model: bytes) -> bytes:
        hash_ = blob_hash(model)
        self._models[hash_] = model
        while len(self._models) > _KEPT_MODELS:
            self._models.popitem(last=False)
        return hash_

    async def _receive(self) -> pb.MineResponse:
        return await self._connected().receive()

    async def _send(self, message: pb.MineRequest) -> None:
        async with self._sending:
            await self._connected().send(message)

    def _connected(self) -> MinerLink:
        if self._link is None:
            raise LinkClosed("the miner has not dialled yet")
        return self._link


def run_miners(
    pipe: Connection, address: str, miners: int, every_s: float, seconds: float, seed: int
) -> None:
    """The main function of a process of miners.

    Over its pipe it tells when all are connected, waits for any message, and sends its Tally.
    """
    raise_file_limit()
    asyncio.run(_run_miners(pipe, address, miners, every_s, seconds, seed))


async def _run_miners(
    pipe: Connection, address: str, count: int, every_s: float, seconds: float, seed: int
) -> None:
    rng, tally, transport = random.Random(seed), Tally(), GrpcTransport(connect_timeout_s=60)
    miners = [
        LoadMiner(SigningKey(rng.randbytes(32)), rng, tally, time.perf_counter)
        for _ in range(count)
    ]
    connecting, tasks = asyncio.Semaphore(_CONNECTING), TaskOwner()

    async def connect(miner: LoadMiner) -> None:
        async with connecting:
            try:
                await miner.connect(transport, address, tasks)
            except Unreachable as error:
                tally.lost.append(str(error))

    await asyncio.gather(*map(connect, miners))
    pipe.send("connected")
    await asyncio.to_thread(pipe.recv)
    await _report_in_turn(miners, every_s, seconds)
    pipe.send(tally)
    await tasks.close()


async def _report_in_turn(miners: Sequence[LoadMiner], every_s: float, seconds: float) -> None:
    """Let each miner report every `every_s`, evenly spread, for so many seconds."""
    loop = asyncio.get_running_loop()
    started, gap_s = loop.time(), every_s / len(miners)
    async with asyncio.TaskGroup() as reports:
        for number in range(int(seconds / gap_s)):
            # As planned and not as it went, so that a slow answer does not thin out the load.
            await asyncio.sleep(max(0.0, started + number * gap_s - loop.time()))
            reports.create_task(_report(miners[number % len(miners)]))
    # Answers to the last results are still on their way.
    await asyncio.sleep(every_s / 10)


async def _report(miner: LoadMiner) -> None:
    # The task that answers the manager hears of a closed link too, and notes it.
    with suppress(LinkClosed):
        await miner.report()
