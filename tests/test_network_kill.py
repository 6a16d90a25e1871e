"""A full node of a network killed with -9 at random moments: it loses no transaction that it has
acknowledged, contradicts nothing that it has signed, and comes back to the chain of the others. Who
joins afterwards reaches the same state, from genesis or from a snapshot.

All nodes are real processes, and talk to each other through a witness in this one. The one that is
killed is cut off from it at times.
"""

import asyncio
import random
import signal
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from nacl.signing import SigningKey
from nacl.utils import random as random_bytes

from node.chain.block import Block, open_block
from node.chain.codec import decode
from node.chain.envelope import sign
from node.chain.errors import Reason
from node.chain.genesis import Endowment, Network, first_bonds, network_to_json
from node.chain.messages import Commit, Envelope, List, Transfer, Vote
from node.chain.offence import Offence
from node.chain.params import FAST, Timing
from node.chain.timing import phase_at
from node.clock import SystemClock
from node.identity import Identity
from node.keyfile import create_identity
from node.wire import envelope_to_proto
from ponas.v1 import query_service_pb2 as query
from ponas.v1.query_service_pb2_grpc import QueryServiceStub
from tests.node_process import PATIENCE_S, NodeProcess, eventually
from tests.proxies import Proxy
from tests.witness import Witness

# Two thirds of the weight without the one that is killed, so that blocks become final while it is
# down; and no winners, whom transactions and finality do not need.
ATTESTERS = {"killed": 1, "full1": 2, "full2": 2}
# Lists come early in a round, so that a node may be back in the round in which it signed one.
PARAMETERS = replace(
    FAST,
    name="killed-node",
    timing=Timing(round_ms=6_000, lists_ms=2_400, secrets_ms=2_800, claims_ms=4_000, vote_ms=5_400),
    unit_fee=0,
    max_units=4,
)
STARTUP_MS = 4_000
# How long a life lasts at most once the node has answered a payer; and one of so many that
# ends while the node starts.
LIFE_MS, KILLS_AT_START, STARTING_MS = 6_000, 3, 3_000
PAYERS, COINS, FEE = 3, 10**15, 5_000
PAUSE_S, ANSWER_S = 0.3, 10.0
# A payment that the node refuses for one of these has to wait, and is offered again.
PASSING = {Reason.ORPHAN_NONCE, Reason.SENDER_FULL, Reason.NONCE}

CLOCK = SystemClock()
PRODUCER = SigningKey(bytes(32))


def make_payer(number: int) -> SigningKey:
    return SigningKey(bytes((number + 1,)) * 32)


def make_network(identities: Mapping[str, Identity], era_rounds: int) -> Network:
    """A genesis whose first round starts once the nodes may be up."""
    payers = sorted(bytes(make_payer(number).verify_key) for number in range(PAYERS))
    return Network(
        parameters=replace(PARAMETERS, era_rounds=era_rounds),
        genesis_time_ms=CLOCK.now_ms() + STARTUP_MS - PARAMETERS.timing.round_ms,
        bonds=first_bonds(
            PARAMETERS,
            {identities[name].public_key: weight for name, weight in ATTESTERS.items()},
            {bytes(PRODUCER.verify_key): PARAMETERS.max_units},
        ),
        accounts=tuple(Endowment(payer, COINS) for payer in payers),
    )


async def ask(address: str, request: Message) -> Any:
    """A node's answer to a request of its query service. Raises grpc.RpcError and TimeoutError."""
    method = type(request).__name__.removesuffix("Request")
    # gRPC's own time-out has failed to end a call whose node was killed.
    async with asyncio.timeout(ANSWER_S), grpc.aio.insecure_channel(address) as channel:
        return await getattr(QueryServiceStub(channel), method)(request)


class Payer:
    """An account that pays all the time: each payment again, until the node has taken it in."""

    def __init__(self, key: SigningKey, network: Network, witness: Witness) -> None:
        self._key = key
        self._network = network
        self._witness = witness
        self.nonce = 0
        self.answers = 0
        self.acknowledged: list[str] = []

    @property
    def final_nonce(self) -> int:
        """Its payments in final blocks."""
        return self._witness.chain.final_state.account(bytes(self._key.verify_key)).nonce

    async def pay(self, address: str) -> None:
        """Offer the next payment, and take note of the answer, if there is one."""
        payment = Transfer(bytes(32), PARAMETERS.account_deposit, self.nonce, FEE)
        signed = sign(payment, self._key, self._network.id)
        offer = query.SubmitTransactionRequest(transaction=envelope_to_proto(signed.envelope))
        try:
            answer = await ask(address, offer)
        except (grpc.RpcError, TimeoutError):
            return  # the node is down, or went down while it answered
        if answer.id or answer.reason == Reason.SENDER_FULL:
            self.answers += 1
        if answer.id:
            assert answer.id == signed.id.hex()
            self.acknowledged.append(answer.id)
            self.nonce += 1
        elif answer.reason == Reason.NONCE and self.final_nonce > self.nonce:
            self.nonce += 1  # taken in by a node that was killed before it could say so
        else:
            assert answer.reason in PASSING, answer


class Run:
    """A network in which one node is killed again and again."""

    def __init__(
        self,
        folder: Path,
        network: Network,
        witness: Witness,
        wire: Proxy,
        running: AsyncExitStack,
        seed: int,
    ) -> None:
        self._folder = folder
        self._network = network
        self._witness = witness
        self._wire = wire
        self._running = running
        self._rng = random.Random(seed)
        self.payers = [Payer(make_payer(i), network, witness) for i in range(PAYERS)]
        self.address = ""
        self.killed: list[NodeProcess] = []
        self.node = self._start_victim()

    def start(self, name: str, *options: str) -> NodeProcess:
        """Start another node, which knows of the witness alone."""
        return self._start(name, "--peer", self._witness.address, *options)

    def _start_victim(self) -> NodeProcess:
        return self._start("killed", "--peer", self._wire.address)

    def _start(self, name: str, *options: str) -> NodeProcess:
        network = ("--network", str(self._folder / "network.json"), "--no-discovery")
        node = NodeProcess(self._folder / name, *network, "--role", "full", *options)
        return self._running.enter_context(node)

    async def pay_on(self) -> None:
        """Have every payer pay through the node, whichever life it is in."""
        while True:
            await asyncio.gather(*(payer.pay(self.address) for payer in self.payers))
            await asyncio.sleep(PAUSE_S)

    async def commit_on(self) -> None:
        """Commit to models at any time of each round, so that no list is as the one before."""
        while True:
            for unit in range(PARAMETERS.max_units):
                await self._pass_up_to(PARAMETERS.timing.round_ms // PARAMETERS.max_units)
                number = phase_at(self._network, CLOCK.now_ms()).round
                self._witness.send(Commit(number, unit, self._rng.randbytes(32)), PRODUCER)

    async def kill(self, number: int) -> None:
        """Kill the node once it has taken in a payment, or is full; or sometimes before. Start it
        anew."""
        if number % KILLS_AT_START:
            await self.comes_back()
            before = self._answers()
            await eventually(lambda: self._answers() > before)
            await self._pass_up_to(LIFE_MS)
        else:
            await self._pass_up_to(STARTING_MS)
        assert self.node.stop(signal.SIGKILL) == -signal.SIGKILL
        self.killed.append(self.node)
        # Alone in every second life: what it acknowledges then is on its disk and nowhere else.
        if number % 2:
            self._wire.cut()
        else:
            self._wire.mend()
        self.node = self._start_victim()

    async def heal(self) -> None:
        """Let the node in its last life reach the others."""
        self._wire.mend()
        await self.comes_back()

    async def comes_back(self) -> None:
        """Wait until the node listens."""
        self.address = await self.node.address()

    def _answers(self) -> int:
        return sum(payer.answers for payer in self.payers)

    async def _pass_up_to(self, most_ms: int) -> None:
        await CLOCK.sleep_until(CLOCK.now_ms() + self._rng.randint(0, most_ms))


async def follow(address: str, height: int) -> query.GetBlockResponse:
    """A node's block at a height, once it is final there."""
    async with asyncio.timeout(PATIENCE_S):
        while (await ask(address, query.GetStatusRequest())).final_height < height:
            await asyncio.sleep(PAUSE_S)
    block: query.GetBlockResponse = await ask(address, query.GetBlockRequest(height=height))
    return block


async def blocks_of(address: str, network: Network, height: int) -> Sequence[Block]:
    """A node's blocks from the first to this height, out of the bytes that it has kept."""
    blocks = []
    for each in range(1, height + 1):
        stored = await ask(address, query.GetBlockBytesRequest(height=each))
        header = decode(Envelope, bytes.fromhex(stored.header))
        blocks.append(open_block(header, bytes.fromhex(stored.body), network.id))
    return blocks


async def checkpoint_of(address: str) -> str:
    """The newest final block that others can begin with, once there is one."""
    async with asyncio.timeout(PATIENCE_S):
        while not (checkpoint := (await ask(address, query.GetStatusRequest())).checkpoint):
            await asyncio.sleep(PAUSE_S)
    return str(checkpoint)


async def all_follow_one_head(addresses: Sequence[str]) -> None:
    """Wait until all nodes have the same block on top."""
    async with asyncio.timeout(PATIENCE_S):
        while len({(await ask(each, query.GetBlockRequest())).id for each in addresses}) > 1:
            await asyncio.sleep(PAUSE_S)


async def check(run: Run, witness: Witness, network: Network, others: Sequence[str]) -> None:
    """Compare what the killed node has with what others have, and with what it had promised."""
    height = witness.chain.final_height
    addresses = (run.address, *others)
    blocks = [await follow(address, height) for address in addresses]
    assert len({(block.id, block.state_root) for block in blocks}) == 1
    await all_follow_one_head(addresses)
    # One id stands for the whole chain; its blocks are those on the disk of the killed node.
    chain = await blocks_of(run.address, network, height)
    kept = {payment.id.hex() for block in chain for payment in block.transactions}
    promised = {payment for payer in run.payers for payment in payer.acknowledged}
    assert len(promised) > len(run.killed)
    assert promised <= kept
    for vote in (vote for block in chain for vote in block.votes):
        witness.note(vote)


async def survive(folder: Path, seed: int, kills: int, era_rounds: int) -> None:
    identities = {
        name: create_identity(folder / name / "node.key", None, random_bytes) for name in ATTESTERS
    }
    network = make_network(identities, era_rounds)
    (folder / "network.json").write_text(network_to_json(network))
    async with AsyncExitStack() as running:
        witness = await running.enter_async_context(Witness.of(network))
        wire = await running.enter_async_context(Proxy.to(witness.address))
        run = Run(folder, network, witness, wire, running, seed)
        full = [run.start("full1"), run.start("full2")]
        await run.comes_back()
        async with asyncio.TaskGroup() as tasks:
            busy = [tasks.create_task(work) for work in (run.pay_on(), run.commit_on())]
            for number in range(1, kills + 1):
                await run.kill(number)
            await run.heal()
            for task in busy:
                task.cancel()
        # From now on it takes part again.
        last, key = phase_at(network, CLOCK.now_ms()).round, identities["killed"].public_key
        # Two that were never there before, of which one begins with the state of a late block.
        checkpoint = await checkpoint_of(await full[0].address())
        full += [run.start("early"), run.start("late", "--checkpoint", checkpoint)]
        await eventually(lambda: all(payer.final_nonce >= payer.nonce for payer in run.payers))
        await check(run, witness, network, [await node.address() for node in full])
        assert [bool(node.events("began_at")) for node in full] == [False, False, False, True]
        await eventually(lambda: all(witness.last_round_of(k, key) >= last for k in (List, Vote)))
        await eventually(lambda: bool(full[-1].events("history_complete")))
        assert run.node.stop(signal.SIGTERM) == 0
        # A killed node's workers find out by themselves.
        await eventually(lambda: not any(node.processes() for node in run.killed))
    assert witness.offences() == []


def list_of(number: int, *ids: bytes) -> List:
    return List(number, ids)


def vote_of(source: int, number: int, target: bytes = b"t" * 32) -> Vote:
    return Vote(source, b"s" * 32, number, target, b"", b"")


@pytest.mark.parametrize(
    ("first", "second", "offence"),
    [
        (list_of(3), list_of(3, b"c" * 32), Offence.DOUBLE_LIST),
        (vote_of(2, 3), vote_of(2, 3, b"u" * 32), Offence.DOUBLE_VOTE),
        (vote_of(3, 4), vote_of(2, 5), Offence.SURROUND),
    ],
)
async def test_the_witness_tells_who_signs_twice(
    first: List | Vote, second: List | Vote, offence: Offence
) -> None:
    network = Network(PARAMETERS, 0, (), ())
    witness = Witness(network)
    for message in (first, list_of(4), second, first):
        witness.note(sign(message, PRODUCER, network.id))
    witness.note(sign(second, make_payer(0), network.id))
    (found,) = witness.offences()
    assert (found.offence, found.offender) == (offence, bytes(PRODUCER.verify_key))


@pytest.mark.timeout(240)
async def test_a_node_killed_five_times_loses_nothing_and_signs_nothing_twice(
    tmp_path: Path,
) -> None:
    await survive(tmp_path, seed=1, kills=5, era_rounds=4)


# Eras so long that the node keeps its seat, for all that it is away.
@pytest.mark.soak
@pytest.mark.timeout(3_600)
async def test_a_node_killed_a_hundred_times_loses_nothing_and_signs_nothing_twice(
    tmp_path: Path,
) -> None:
    await survive(tmp_path, seed=2, kills=100, era_rounds=30)
