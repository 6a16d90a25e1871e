"""A pool of real processes loses its best strong miner in mid-phase; a backup goes on for it."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
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
    BackupsDesignated,
    LeaseGranted,
    Left,
    ResultAccepted,
)
from pool.rules.reliability import MIN_EPISODES
from tests.node_process import NodeProcess

pytestmark = pytest.mark.timeout(180)

STRONG, WEAK = ("strong0", "strong1", "strong2"), ("weak0", "weak1")
MINERS = (*STRONG, *WEAK)
# Two epochs are enough for a model above the floor. Seven nodes, most of them with a worker, share
# two cores with the tests beside this one.
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
# What a phase must have left for the backup to deliver when the best dies.
TO_GO_ON_MS = 8_000


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

    async def best_with_backup(self) -> str:
        """The best strong miner, in mid-phase, once a backup is designated for it."""
        phase_end_ms, backups, since = 0, frozenset[str](), 1
        while True:
            request = query.ListPoolEventsRequest(since=since)
            answer = await self._manager.ListPoolEvents(request, timeout=10)
            since = answer.next
            for event in answer.events:
                detail = json.loads(event.detail)
                if event.kind == "round-opened":
                    phase_end_ms, backups = detail["task"]["train_end_ms"], frozenset()
                elif event.kind == "backups-designated":
                    backups = frozenset(protected for protected, _ in detail["backups"])
            listed = await self._manager.ListMiners(query.ListMinersRequest(), timeout=10)
            best = max(
                (miner for miner in listed.miners if miner.strength == "strong"),
                key=lambda miner: int(miner.best_correct),
                default=query.MinerView(),
            ).public_key
            if best in backups and SystemClock().now_ms() < phase_end_ms - TO_GO_ON_MS:
                return next(name for name, key in self._keys.items() if key == best)
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


def journal(folder: Path, network: Network) -> Sequence[AnyEvent]:
    """What a manager that is not running has decided, oldest first."""
    store = open_store(open_data_folder(folder).store, network.id)
    events = [decode_event(value) for _, value in store.scan(Table.POOL_EVENTS)]
    store.close()
    return events


def taken_over(
    miner: bytes, events: Sequence[AnyEvent]
) -> tuple[bytes, BackupActivated, Sequence[ResultAccepted], Sequence[ResultAccepted]]:
    """How a miner's search was taken over when it left.

    The backup that was designated for it then, the event, and the results of the search before,
    which are the miner's, and after.
    """
    gone = next(at for at, e in enumerate(events) if isinstance(e, Left) and e.miner == miner)
    before, after = events[:gone], events[gone:]
    designated = [event for event in before if isinstance(event, BackupsDesignated)][-1]
    lease = [e for e in before if isinstance(e, LeaseGranted) and e.miner == miner][-1]
    activated = next(event for event in after if isinstance(event, BackupActivated))
    results = [event for event in events if isinstance(event, ResultAccepted)]
    return (
        dict(designated.backups)[miner],
        activated,
        [result for result in results if result.assignment == lease.assignment],
        [result for result in results if result.assignment == activated.assignment],
    )


async def test_a_backup_goes_on_with_the_search_of_the_killed_best(tmp_path: Path) -> None:
    network, identities = make_network(tmp_path)
    keys = {name: who.public_key.hex() for name, who in identities.items()}
    with ExitStack() as running:

        def start(name: str, role: str, *more: str) -> NodeProcess:
            options = ("--network", str(tmp_path / "network.json"), "--role", role, *more)
            return running.enter_context(NodeProcess(tmp_path / name, *options))

        full = start("full", "full")
        manager = start("manager", "manager", "--peer", await full.address())
        pool = ("--pool", await manager.address())
        miners = {
            name: start(name, "miner", *pool, "--strength", name.rstrip("0123")) for name in MINERS
        }
        async with watching(full, manager, keys) as watch:
            victim = await watch.best_with_backup()
            miners[victim].stop(signal.SIGKILL)
            block = await watch.block_won(since_round=await watch.round())
        assert manager.stop(signal.SIGTERM) == 0
    dead = identities[victim]
    # The block is won, and the dead miner's work is paid.
    paid = {payout.address: payout.amount for payout in block.payouts}
    assert block.proposer == identities["manager"].address
    assert paid[dead.address] > 0
    # The backup that was designated for it has gone on with its search.
    backup, activated, before, after = taken_over(
        dead.public_key, journal(tmp_path / "manager", network)
    )
    assert (activated.owner, activated.miner) == (dead.public_key, backup)
    assert {result.miner for result in after} == {backup}
    # Each episode comes after the one before; what cost no training is found anew.
    trained = [result.episode for result in before if result.epochs]
    assert len(before) >= MIN_EPISODES
    assert activated.next_episode == trained[-1] + 1
    assert [result.episode for result in after] == list(
        range(activated.next_episode, activated.next_episode + len(after))
    )
