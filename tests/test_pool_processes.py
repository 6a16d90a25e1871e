"""A pool of real processes loses its best strong miner in mid-phase, and loses nothing by it."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import grpc
import pytest
from nacl.utils import random as random_bytes

from node.chain.genesis import Network, first_bonds, network_to_json
from node.chain.params import DIGITS, FAST, Timing
from node.clock import SystemClock
from node.folder import open_data_folder
from node.identity import Identity
from node.keyfile import create_identity
from node.store.base import Table
from node.store.rocks import open_store
from ponas.v1 import query_service_pb2 as query
from ponas.v1.query_service_pb2_grpc import QueryServiceStub
from pool.records.codec import decode_event
from pool.records.events import (
    AnyEvent,
    BackupActivated,
    LeaseGranted,
    ResultAccepted,
    RoundOpened,
)
from tests.node_process import NodeProcess, eventually

pytestmark = pytest.mark.timeout(180)

STRONG, WEAK = ("strong0", "strong1", "strong2"), ("weak0", "weak1")
# Pauses until the best has died, so that somebody is free to go on with its search.
SPARE = "strong3"
MINERS = (*STRONG, *WEAK, SPARE)
# Two epochs are enough for a model above the floor. Eight nodes with a worker each share two cores
# with the tests beside this one.
PARAMETERS = replace(
    FAST,
    name="pool-of-processes",
    timing=Timing(
        round_ms=46_000, lists_ms=36_000, secrets_ms=37_000, claims_ms=41_000, vote_ms=44_000
    ),
    task=replace(DIGITS, epochs=2),
    max_units=1,
    max_walked=4,
    seals=0,
)
STARTUP_MS = 22_000
# Results of each strong miner when the best dies.
RESULTS = 3


def make_network(folder: Path) -> tuple[Network, Mapping[str, Identity]]:
    """A genesis whose first round starts once all nodes may be up, and who they are."""
    identities = {
        name: create_identity(folder / name / "node.key", None, random_bytes)
        for name in ("full", "manager", *MINERS)
    }
    network = Network(
        parameters=PARAMETERS,
        genesis_time_ms=SystemClock().now_ms() + STARTUP_MS - PARAMETERS.timing.round_ms,
        bonds=first_bonds(
            PARAMETERS, {identities["full"].public_key: 1}, {identities["manager"].public_key: 1}
        ),
        accounts=(),
    )
    (folder / "network.json").write_text(network_to_json(network))
    return network, identities


class Watch:
    """Asks a full node and a manager what they see; `keys` are the miners' by name."""

    def __init__(self, full: Any, manager: Any, keys: Mapping[str, str]) -> None:
        self._full = full
        self._manager = manager
        self._keys = keys

    async def best_strong(self) -> str:
        """The strong miner with the best result, once all of them have delivered enough."""
        while True:
            answer = await self._manager.ListMiners(query.ListMinersRequest(), timeout=10)
            miners = {miner.public_key: miner for miner in answer.miners}
            strong = [miners.get(self._keys[name], query.MinerView()) for name in STRONG]
            if min(miner.episodes for miner in strong) >= RESULTS:
                best = max(strong, key=lambda miner: miner.best_correct)
                return STRONG[strong.index(best)]
            await asyncio.sleep(0.1)

    async def round(self) -> int:
        """The round of now."""
        status = await self._full.GetStatus(query.GetStatusRequest(), timeout=10)
        return int(status.round)

    async def block_won(self, since_round: int) -> query.GetBlockResponse:
        """The first block from a round on that a model has won."""
        while True:
            block: query.GetBlockResponse = await self._full.GetBlock(
                query.GetBlockRequest(), timeout=10
            )
            if block.HasField("winner") and block.round >= since_round:
                return block
            await asyncio.sleep(0.2)


@asynccontextmanager
async def watching(
    full: NodeProcess, manager: NodeProcess, keys: Mapping[str, str]
) -> AsyncIterator[Watch]:
    async with (
        grpc.aio.insecure_channel(await full.address()) as to_full,
        grpc.aio.insecure_channel(await manager.address()) as to_manager,
    ):
        stubs: tuple[Any, Any] = QueryServiceStub(to_full), QueryServiceStub(to_manager)
        yield Watch(*stubs, keys)


async def steer(miner: NodeProcess, what: str) -> None:
    """Pause or resume a miner, once it runs."""
    await eventually((miner.folder / "control").is_socket)
    command = [sys.executable, "-c", "from node.cli.client import main; main()", "miner", what]
    done = await asyncio.create_subprocess_exec(*command, "--data-dir", str(miner.folder))
    assert await done.wait() == 0


def journal(folder: Path, network: Network) -> Sequence[AnyEvent]:
    """What a manager that is not running has decided, oldest first."""
    store = open_store(open_data_folder(folder).store, network.id)
    events = [decode_event(value) for _, value in store.scan(Table.POOL_EVENTS)]
    store.close()
    return events


def search_of(miner: bytes, events: Sequence[AnyEvent]) -> Sequence[tuple[bytes, int]]:
    """Who delivered which episode of the last search that a miner began, in order."""
    numbers: dict[int, int] = {}
    results: dict[int, list[tuple[bytes, int]]] = {}
    found: list[tuple[bytes, int]] = []
    for event in events:
        match event:
            case RoundOpened():
                results = {}
            case LeaseGranted() | BackupActivated():
                numbers[event.assignment] = event.search
                results.setdefault(event.search, [])
            case ResultAccepted() if event.assignment in numbers:
                search = results[numbers[event.assignment]]
                search.append((event.miner, event.episode))
                if (event.miner, event.episode) == (miner, 0):
                    found = search
    return found


async def test_the_search_of_a_killed_miner_goes_on_and_its_work_is_paid(tmp_path: Path) -> None:
    network, identities = make_network(tmp_path)
    keys = {name: who.public_key.hex() for name, who in identities.items()}
    with ExitStack() as running:

        def start(name: str, role: str, *more: str) -> NodeProcess:
            options = ("--network", str(tmp_path / "network.json"), "--role", role, *more)
            return running.enter_context(NodeProcess(tmp_path / name, *options))

        full = start("full", "full")
        manager = start("manager", "manager", "--peer", await full.address())
        pool = ("--pool", await manager.address())

        def mine(name: str) -> NodeProcess:
            return start(name, "miner", *pool, "--strength", name.rstrip("0123"))

        miners = {name: mine(name) for name in MINERS}
        await steer(miners[SPARE], "pause")
        async with watching(full, manager, keys) as watch:
            victim = await watch.best_strong()
            miners[victim].stop(signal.SIGKILL)
            await steer(miners[SPARE], "resume")
            block = await watch.block_won(since_round=await watch.round())
        assert manager.stop(signal.SIGTERM) == 0
    dead = identities[victim]
    # The block is won, and the dead miner's work is paid.
    paid = {payout.address: payout.amount for payout in block.payouts}
    assert block.proposer == identities["manager"].address
    assert paid[dead.address] > 0
    # Its search goes on in other hands, each episode after the one before.
    search = search_of(dead.public_key, journal(tmp_path / "manager", network))
    holders = [holder for holder, _ in groupby(miner for miner, _ in search)]
    assert holders[0] == dead.public_key
    assert len(holders) == 2
    assert [episode for _, episode in search] == list(range(len(search)))
    assert sum(miner == dead.public_key for miner, _ in search) >= RESULTS
