"""Two real processes mine: a full node that attests and a miner that works for itself alone."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from nacl.utils import random as random_bytes

from node.chain.genesis import Network, first_bonds, network_to_json
from node.chain.params import FAST, SEALED, Parameters, Timing
from node.clock import SystemClock
from node.identity import Identity
from node.keyfile import create_identity
from ponas.v1 import query_service_pb2 as query
from ponas.v1.query_service_pb2_grpc import QueryServiceStub
from tests.node_process import NodeProcess, eventually

pytestmark = pytest.mark.timeout(120)

# Train as short as yields a model on a busy machine, and as much again to count it twice.
TIMING = Timing(round_ms=15_000, lists_ms=8_000, secrets_ms=9_000, claims_ms=11_500, vote_ms=14_000)
DIGITS = replace(FAST, name="two-nodes", timing=TIMING, max_units=1, max_walked=4, unit_fee=0)
DRAWN = replace(DIGITS, task=SEALED.task, seals=SEALED.seals)
STARTUP_MS = 5_000
ROUNDS = 6
# Training fills every core; an answer is late beyond this, and would wait for seconds if the
# loop were blocked by a job.
LATE_S = 1.0


def make_identity(folder: Path) -> Identity:
    return create_identity(folder / "node.key", None, random_bytes)


def write_network(path: Path, parameters: Parameters, attester: Identity, miner: Identity) -> None:
    """A genesis whose first round starts as soon as both nodes may be up."""
    network = Network(
        parameters=parameters,
        genesis_time_ms=SystemClock().now_ms() + STARTUP_MS - TIMING.round_ms,
        bonds=first_bonds(parameters, {attester.public_key: 8}, {miner.public_key: 1}),
        accounts=(),
    )
    path.write_text(network_to_json(network))


class Watch:
    """Asks a full node and a miner until a block is won, and how long the miner's answers take."""

    def __init__(self, full: Any, miner: Any) -> None:
        self._full = full
        self._miner = miner
        self.slowest_s = 0.0
        self.exploring = 0

    async def until_won(self) -> query.GetBlockResponse:
        """The full node's first block that a model has won; the head if none does in time."""
        while True:
            await self._ask_miner()
            block: query.GetBlockResponse = await self._full.GetBlock(
                query.GetBlockRequest(), timeout=10
            )
            status = await self._full.GetStatus(query.GetStatusRequest(), timeout=10)
            if block.HasField("winner") or status.round > ROUNDS:
                return block
            await asyncio.sleep(0.1)

    async def account(self, address: str) -> query.GetAccountResponse:
        """What the full node knows of an account."""
        request = query.GetAccountRequest(address=address)
        answer: query.GetAccountResponse = await self._full.GetAccount(request, timeout=10)
        return answer

    async def _ask_miner(self) -> None:
        asked_s = time.monotonic()
        answer = await self._miner.ListMiners(query.ListMinersRequest(), timeout=10)
        self.slowest_s = max(self.slowest_s, time.monotonic() - asked_s)
        self.exploring += any(miner.activity.startswith("explores") for miner in answer.miners)


@asynccontextmanager
async def watching(full: NodeProcess, miner: NodeProcess) -> AsyncIterator[Watch]:
    async with (
        grpc.aio.insecure_channel(await full.address()) as to_full,
        grpc.aio.insecure_channel(await miner.address()) as to_miner,
    ):
        stubs: tuple[Any, Any] = QueryServiceStub(to_full), QueryServiceStub(to_miner)
        yield Watch(*stubs)


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param(DIGITS, id="digits"),
        # Three rounds longer, until votes have registered the attester's seals.
        pytest.param(DRAWN, id="sealed", marks=(pytest.mark.soak, pytest.mark.timeout(240))),
    ],
)
async def test_a_solo_miner_wins_a_round_with_a_model_that_the_full_node_has_counted(
    tmp_path: Path, parameters: Parameters
) -> None:
    file, identity = tmp_path / "network.json", make_identity(tmp_path / "miner")
    write_network(file, parameters, make_identity(tmp_path / "full"), identity)
    options = ("--network", str(file), "--role")
    with (
        NodeProcess(tmp_path / "full", *options, "full") as full,
        NodeProcess(tmp_path / "miner", *options, "miner", "--peer", await full.address()) as miner,
    ):
        async with watching(full, miner) as watch:
            block = await watch.until_won()
            account = await watch.account(identity.address)
        # The block is in the chain a moment before the walk tells of it.
        await eventually(lambda: bool(full.events("claim_judged")))
        assert [full.stop(signal.SIGINT), miner.stop(signal.SIGTERM)] == [0, 0]
        await eventually(lambda: not full.processes() and not miner.processes())
        judged = {line["claim"]: line["verdict"] for line in full.events("claim_judged")}
    assert judged.get(block.id) == "valid"
    assert block.proposer == identity.address
    task = parameters.task
    assert task.min_correct <= block.winner.verified_correct <= task.test_size
    # The block also pays its producer for the votes it carries, if there were any before.
    paid = [*block.payouts, *block.attester_rewards]
    assert account.balance == sum(p.amount for p in paid if p.address == identity.address) > 0
    assert watch.exploring > 10
    assert watch.slowest_s < LATE_S
