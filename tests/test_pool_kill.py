"""A manager killed with -9 at random moments: nothing it has acknowledged is lost, rounds go on.

Full node and manager are real processes. The miners live in this one, over real connections and
with real training, so that what they hold of the manager's word can be compared with its disk.
"""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from nacl.utils import random as random_bytes

from nas.execution.executor import LocalExecutor
from node.chain.envelope import open_as
from node.chain.genesis import Network, first_bonds, network_to_json
from node.chain.messages import Receipt
from node.chain.params import DIGITS, FAST, Timing
from node.chain.timing import Phase, deadline, phase_at
from node.clock import SystemClock
from node.consensus.designs import NasDesigns
from node.identity import Identity
from node.keyfile import create_identity
from node.net.grpc_transport import GrpcTransport
from node.store.memory import MemoryStore
from node.tasks import TaskOwner
from ponas.v1 import query_service_pb2 as query
from ponas.v1.query_service_pb2_grpc import QueryServiceStub
from pool.miner.evidence import Evidence
from pool.miner.miner import Miner, Route
from pool.miner.promises import Promises
from pool.miner.registration import Applicant
from pool.proofs.shelf import ReceiptShelf
from pool.records.events import Banned, Restarted, WorkForfeited
from pool.records.strengths import Strength
from tests.node_process import PATIENCE_S, NodeProcess, eventually
from tests.pool_remains import remains_of

STRENGTHS = {"strong0": Strength.STRONG, "strong1": Strength.STRONG, "weak0": Strength.WEAK}
# Small designs that all learn enough: a result comes every half a second, and any of them can be
# claimed. After each kill there is as much time as a busy machine needs to start a process that
# counts models: until the commitment, and until the end of the claims.
PARAMETERS = replace(
    FAST,
    name="killed-manager",
    timing=Timing(
        round_ms=40_000, lists_ms=20_000, secrets_ms=21_000, claims_ms=36_000, vote_ms=38_500
    ),
    task=replace(
        DIGITS,
        epochs=2,
        ranges=((3,), (3,), (8, 12, 16), (1,), (1, 2), (1, 2), (2, 3), (3, 4), (2,), (4, 5)),
    ),
    max_units=1,
    max_walked=4,
    seals=0,
)
STARTUP_MS = 11_000
# A kill comes at most so long after the first best of a round, and after the commitment; and the
# first one so long before the end of the train phase.
SEARCH_MS, COMMITTED_MS, RESTART_MS = 4_000, 1_500, 6_000
KILLS_A_ROUND = 2

CLOCK = SystemClock()


def make_network(folder: Path) -> tuple[Network, Mapping[str, Identity]]:
    """A genesis whose first round starts once the nodes may be up, and who they are."""
    identities = {
        name: create_identity(folder / name / "node.key", None, random_bytes)
        for name in ("full", "manager", *STRENGTHS)
    }
    network = Network(
        parameters=PARAMETERS,
        genesis_time_ms=CLOCK.now_ms() + STARTUP_MS - PARAMETERS.timing.round_ms,
        bonds=first_bonds(
            PARAMETERS, {identities["full"].public_key: 1}, {identities["manager"].public_key: 1}
        ),
        accounts=(),
    )
    (folder / "network.json").write_text(network_to_json(network))
    return network, identities


async def ask(address: str, request: Message) -> Any:
    """A node's answer to a request of its query service."""
    method = type(request).__name__.removesuffix("Request")
    async with grpc.aio.insecure_channel(address) as channel:
        return await getattr(QueryServiceStub(channel), method)(request, timeout=10)


async def answer_that(holds: Callable[[Any], bool], address: str, request: Message) -> Any:
    """The first answer for which a condition holds. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds(answer := await ask(address, request)):
            await asyncio.sleep(0.05)
    return answer


@dataclass(frozen=True)
class Crew:
    """The miners of this process, and the receipts and notices that each has been given."""

    network: Network
    shelves: Mapping[str, ReceiptShelf]

    def receipts(self) -> Sequence[Receipt]:
        return [
            open_as(Receipt, envelope, self.network.id).message
            for shelf in self.shelves.values()
            for number in shelf.rounds()
            for envelope in shelf.receipts(number)
        ]

    def notices(self, round_number: int) -> Mapping[str, int]:
        """How many payout notices of a round each miner has."""
        return {
            name: len(list(shelf.notices(round_number))) for name, shelf in self.shelves.items()
        }

    def best(self, round_number: int) -> int:
        """The most images of a model that was acknowledged as confirmed in a round."""
        confirmed = (r.correct for r in self.receipts() if r.round == round_number and r.confirmed)
        return max(confirmed, default=0)


@asynccontextmanager
async def mining(
    network: Network, identities: Mapping[str, Identity], address: str, seed: int
) -> AsyncIterator[Crew]:
    """Let all miners work for a manager, wherever it is killed."""
    task = NasDesigns(network.parameters).standing
    executor, tasks, shelves = LocalExecutor(1, "cpu"), TaskOwner(), {}
    executor.start()
    for name, strength in STRENGTHS.items():
        store = MemoryStore()
        key = identities[name].signing_key
        applicant = Applicant(key, bytes(key.verify_key), network.id, strength)
        miner = Miner(
            applicant=applicant,
            routes=[Route("the pool", partial(GrpcTransport().dial_pool, address))],
            task_of=lambda _, data: task,
            executor=executor,
            clock=CLOCK,
            rng=random.Random(f"{seed} {name}"),
            promises=Promises(store, store.write),
            evidence=Evidence(
                applicant, store, store.write, lambda: phase_at(network, CLOCK.now_ms()).round
            ),
        )
        shelves[name] = ReceiptShelf(store)
        tasks.spawn(miner.run(), name=name)
    try:
        yield Crew(network, shelves)
    finally:
        await tasks.close()
        await executor.close()


class Run:
    """A pool whose manager is killed again and again."""

    def __init__(self, folder: Path, seed: int, running: ExitStack) -> None:
        self.folder = folder
        self.network, self.identities = make_network(folder)
        self._rng = random.Random(seed)
        self._running = running
        self.killed: list[NodeProcess] = []

    async def start(self) -> None:
        self.full = await self._start("full", "127.0.0.1:0").address()
        self.manager = self._start("manager", "127.0.0.1:0", "--peer", self.full)
        self.address = await self.manager.address()

    async def play_round(self, number: int, crew: Crew) -> None:
        """Kill the manager while the pool searches and again when its commitment is out."""
        await eventually(lambda: crew.best(number) > 0)
        left_ms = deadline(self.network, number, Phase.TRAIN) - RESTART_MS - CLOCK.now_ms()
        await self._pass_up_to(min(SEARCH_MS, max(0, left_ms)))
        pool = await self._kill(crew)
        assert (pool.round, pool.committed) == (number, False)
        await answer_that(
            lambda round_: round_.commits, self.full, query.GetRoundRequest(round=number)
        )
        await self._pass_up_to(COMMITTED_MS)
        pool = await self._kill(crew)
        assert (pool.round, pool.committed) == (number, True)
        block = await answer_that(
            lambda block: block.round >= number, self.full, query.GetBlockRequest()
        )
        assert (block.round, block.proposer) == (number, self.identities["manager"].address)
        assert block.winner.genotype == pool.best.genotype
        await answer_that(
            lambda answer: all(miner.connected for miner in answer.miners),
            self.address,
            query.ListMinersRequest(),
        )
        # Each has worked, and hears of its line although the manager may have died before it told.
        paid = {payout.address for payout in block.payouts}
        told = {name for name in STRENGTHS if self.identities[name].address in paid}
        assert told
        await eventually(lambda: all(crew.notices(number)[name] == 1 for name in told))

    async def _kill(self, crew: Crew) -> Any:
        """Kill the manager and start it anew; what it then says of the pool."""
        assert self.manager.stop(signal.SIGKILL) == -signal.SIGKILL
        self.killed.append(self.manager)
        # Nothing can be acknowledged until the next one is up.
        acknowledged = crew.receipts()
        self.manager = self._start("manager", self.address, "--peer", self.full)
        assert await self.manager.address() == self.address
        pool = await ask(self.address, query.GetPoolRequest())
        assert pool.best.correct >= crew.best(pool.round)
        assert pool.results_accepted >= len(acknowledged)
        return pool

    def _start(self, name: str, address: str, *more: str) -> NodeProcess:
        network = str(self.folder / "network.json")
        options = ("--network", network, "--role", name, "--listen", address, *more)
        return self._running.enter_context(NodeProcess(self.folder / name, *options))

    async def _pass_up_to(self, most_ms: int) -> None:
        await CLOCK.sleep_until(CLOCK.now_ms() + self._rng.randint(0, most_ms))


async def lose_nothing(folder: Path, seed: int, kills: int) -> None:
    with ExitStack() as running:
        run = Run(folder, seed, running)
        await run.start()
        async with mining(run.network, run.identities, run.address, seed) as crew:
            for number in range(1, kills // KILLS_A_ROUND + 1):
                await run.play_round(number, crew)
        assert run.manager.stop(signal.SIGTERM) == 0
        # A killed manager's workers find out by themselves.
        await eventually(lambda: not any(manager.processes() for manager in run.killed))
    remains = remains_of(folder / "manager", run.network)
    receipts = crew.receipts()
    assert len(receipts) > kills
    # What was acknowledged is in the log, and nothing twice.
    assert {receipt.share for receipt in receipts} <= remains.shares.keys()
    assert set(remains.shares.values()) == {1}
    assert remains.count(Restarted) == kills
    # Nobody is blamed for it.
    assert remains.count(WorkForfeited, Banned) == 0
    # Who came back in time got its lease back; and a search goes on at its next episode.
    leases = remains.leases()
    assert leases
    assert all(before == after for before, after in leases)
    searches = remains.searches()
    assert any(len({life for life, _ in search}) > 1 for search in searches)
    for search in searches:
        assert [episode for _, episode in search] == list(range(len(search)))


@pytest.mark.timeout(180)
async def test_a_manager_killed_twice_in_a_round_loses_nothing(tmp_path: Path) -> None:
    await lose_nothing(tmp_path, seed=1, kills=2)


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_a_manager_killed_twenty_times_loses_nothing(tmp_path: Path) -> None:
    await lose_nothing(tmp_path, seed=2, kills=20)
