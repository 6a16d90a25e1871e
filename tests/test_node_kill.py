"""A full node killed with -9 at random moments: it always starts again, keeps what it has
acknowledged, and never signs two things where one is allowed."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import grpc
import pytest
from nacl.signing import SigningKey
from nacl.utils import random as random_bytes

from node.chain.envelope import Signed, open_envelope, sign
from node.chain.finality import link_of, slashable
from node.chain.genesis import Endowment, Network, first_bonds, network_to_json
from node.chain.messages import Envelope, List, Payload, Transfer, Vote
from node.chain.params import FAST, compute_timing
from node.chain.timing import phase_at
from node.clock import SystemClock
from node.identity import Identity
from node.keyfile import create_identity
from node.net.grpc_transport import GrpcTransport
from node.net.peers import PeerNet
from node.net.protocol import Gossip
from node.store.memory import MemoryStore
from node.store.writer import InlineWriter
from node.wire import envelope_to_proto
from ponas.v1 import query_service_pb2 as query
from ponas.v1.query_service_pb2_grpc import QueryServiceStub
from tests.node_process import PATIENCE_S, NodeProcess
from tests.peer_world import ScriptedHandler

# Nobody trains: all blocks are fallback blocks, and rounds need no more time than those take.
PARAMETERS = replace(FAST, name="killed-node", timing=compute_timing(3_000), seals=0)
STARTUP_MS = 4_000
LIFE_MS = 2_500
"""A node lives at most so long after it listens."""
PAYERS = 4
CALL_S = 10
"""A call that the kill left without an answer is given up after it."""
AMOUNT, FEE = PARAMETERS.account_deposit, 5_000
CLOCK = SystemClock()


@dataclass
class Payer:
    """A key with money, and which of its transfers the node has acknowledged."""

    identity: Identity
    acknowledged: list[str] = field(default_factory=list)


def make_network(folder: Path, payers: Sequence[Payer]) -> Network:
    """A genesis in which one node attests, and somebody else can pay."""
    node = create_identity(folder / "full" / "node.key", None, random_bytes)
    addresses = sorted(payer.identity.public_key for payer in payers)
    network = Network(
        parameters=PARAMETERS,
        genesis_time_ms=CLOCK.now_ms() + STARTUP_MS - PARAMETERS.timing.round_ms,
        bonds=first_bonds(PARAMETERS, {node.public_key: 1}, {}),
        accounts=tuple(Endowment(address, 10**15) for address in addresses),
    )
    (folder / "network.json").write_text(network_to_json(network))
    return network


@asynccontextmanager
async def listening(network: Network, address: str, heard: list[Envelope]) -> AsyncIterator[None]:
    """Note what a peer hears of the node; of this life it is told all, however late it comes."""
    handler, store = ScriptedHandler(), MemoryStore()
    handler.judge = lambda _: Gossip.DROP
    net = PeerNet(
        network_id=network.id,
        key=SigningKey(random_bytes(32)),
        handler=handler,
        transport=GrpcTransport(),
        clock=CLOCK,
        rng=random.Random(1),
        store=store,
        writer=InlineWriter(store),
        addresses=(address,),
        discovers=False,
    )
    running = asyncio.ensure_future(net.run())
    try:
        yield
    finally:
        heard += handler.heard
        await net.close()
        await running


async def pay_on(network: Network, address: str, payer: Payer) -> None:
    """Hand in one transfer after the other until the node is gone."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = QueryServiceStub(channel)
        with suppress(grpc.aio.AioRpcError):
            while True:
                account = await stub.GetAccount(
                    query.GetAccountRequest(address=payer.identity.address), timeout=10
                )
                transfer = Transfer(payer.identity.public_key, AMOUNT, account.next_nonce, FEE)
                signed = sign(transfer, payer.identity.signing_key, network.id)
                request = query.SubmitTransactionRequest(
                    transaction=envelope_to_proto(signed.envelope)
                )
                answer = await stub.SubmitTransaction(request, timeout=CALL_S)
                if answer.id:
                    payer.acknowledged.append(answer.id)
                else:
                    # Its places are taken until the next block.
                    assert answer.reason == "sender-full", answer
                    await asyncio.sleep(0.05)


async def final_transfers(address: str, payer: Payer) -> set[str]:
    """Ids of the payer's transfers in final blocks."""
    found, below = set[str](), 0
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = QueryServiceStub(channel)
        while True:
            request = query.GetHistoryRequest(address=payer.identity.address, below=below)
            answer = await stub.GetHistory(request, timeout=CALL_S)
            found |= {entry.transaction for entry in answer.entries if entry.final}
            below = answer.next
            if not below:
                return found


def check_signed_once(network: Network, heard: Sequence[Envelope]) -> None:
    """No two lists of a round, and no two votes that one honest attester could not sign."""
    signed: dict[bytes, Signed[Payload]] = {}
    for envelope in heard:
        opened = open_envelope(envelope, network.id)
        signed[opened.id] = opened
    messages = [each.message for each in signed.values()]
    rounds = [message.round for message in messages if isinstance(message, List)]
    assert len(rounds) == len(set(rounds)) > 0
    links = [link_of(message) for message in messages if isinstance(message, Vote)]
    assert links
    assert [pair for pair in combinations(links, 2) if slashable(*pair)] == []


async def live_through(folder: Path, seed: int, kills: int) -> None:
    rng = random.Random(seed)
    payers = [Payer(Identity(SigningKey(rng.randbytes(32)))) for _ in range(PAYERS)]
    network, address = make_network(folder, payers), "127.0.0.1:0"
    options = ("--network", str(folder / "network.json"), "--role", "full")
    with NodeProcess(folder / "full", *options, "--listen", address) as node:
        address = await node.address()
    heard: list[Envelope] = []
    for _ in range(kills):
        with NodeProcess(folder / "full", *options, "--listen", address) as node:
            assert await node.address() == address
            async with listening(network, address, heard):
                paying = [asyncio.ensure_future(pay_on(network, address, p)) for p in payers]
                await asyncio.sleep(rng.randint(0, LIFE_MS) / 1_000)
                assert node.stop(signal.SIGKILL) == -signal.SIGKILL
                done, unanswered = await asyncio.wait(paying, timeout=CALL_S)
                for task in unanswered:
                    task.cancel()
                await asyncio.gather(*done)
    with NodeProcess(folder / "full", *options, "--listen", address) as node:
        assert await node.address() == address
        async with listening(network, address, heard), asyncio.timeout(PATIENCE_S):
            for payer in payers:
                while not set(payer.acknowledged) <= await final_transfers(address, payer):
                    await asyncio.sleep(0.2)
        assert node.stop(signal.SIGTERM) == 0
    assert all(len(payer.acknowledged) > kills for payer in payers)
    assert phase_at(network, CLOCK.now_ms()).round > 2
    check_signed_once(network, heard)


@pytest.mark.timeout(180)
async def test_a_node_killed_five_times_keeps_its_word(tmp_path: Path) -> None:
    await live_through(tmp_path, seed=1, kills=5)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
async def test_a_node_killed_a_hundred_times_keeps_its_word(tmp_path: Path) -> None:
    await live_through(tmp_path, seed=2, kills=100)
