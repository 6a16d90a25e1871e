"""Whatever a peer says, no node falls over, and the next peer is served as ever."""

import tracemalloc
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from node.chain.block import open_block
from node.chain.codec import Bytes, RepeatedBytes, RepeatedMessage, Uint, Wire, decode, encode
from node.chain.envelope import sign
from node.chain.errors import Rejected
from node.chain.hashing import MAX_INT, blob_hash
from node.chain.messages import PAYLOADS, Body, Claim, Fallback, Payload
from node.chain.params import RULES_VERSION
from node.net.greeting import NONCE_BYTES, Introduction, greet
from node.net.link import LinkClosed, PeerLink
from node.net.protocol import PROTOCOL_VERSION, Refused
from node.net.remembered import PeerMemory
from node.store.base import Put, Table
from node.store.memory import MemoryStore
from node.store.writer import InlineWriter
from node.tasks import TaskOwner
from node.wire import WireBlock, envelope_to_proto
from ponas.v1 import peer_service_pb2 as pb
from ponas.v1.types_pb2 import BlobChunk
from tests import chain_world
from tests.any_message import message_of, swallow
from tests.peer_world import (
    GENESIS,
    KEY,
    NETWORK,
    envelope,
    key_of,
    open_world,
    pass_time,
    public_key_of,
)
from tests.sim.world import Plan
from tests.sim.world import World as Simulated
from tests.virtual_time import run_virtual

EXAMPLES = 30
FALLBACK = sign(Fallback(1, GENESIS, 0, (), blob_hash(b"body"), bytes(32)), KEY, NETWORK)
GREETING = [
    pb.PeerMessage(
        hello=pb.Hello(
            network_id=NETWORK,
            protocol_version=PROTOCOL_VERSION,
            public_key=public_key_of("mallory"),
            head=GENESIS,
            nonce=bytes(NONCE_BYTES),
            rules_version=RULES_VERSION,
        )
    ),
    pb.PeerMessage(proof=pb.Proof(signature=bytes(64))),
]
FROM_PEERS = [
    *GREETING,
    pb.PeerMessage(gossip=envelope_to_proto(envelope(1))),
    pb.PeerMessage(get_blob=pb.GetBlob(hash=bytes(32))),
    pb.PeerMessage(blob_chunk=BlobChunk(hash=bytes(32), total=3, data=b"abc")),
    pb.PeerMessage(blob_missing=pb.BlobMissing(hash=bytes(32))),
    pb.PeerMessage(get_headers=pb.GetHeaders(locator=[GENESIS], limit=8)),
    pb.PeerMessage(
        headers=pb.Headers(
            headers=[envelope_to_proto(FALLBACK.envelope)], votes=[envelope_to_proto(envelope(2))]
        )
    ),
    pb.PeerMessage(get_ancestors=pb.GetAncestors(block=FALLBACK.id, limit=8)),
    pb.PeerMessage(get_bodies=pb.GetBodies(ids=[FALLBACK.id])),
    pb.PeerMessage(bodies=pb.Bodies(bodies=[b"body"])),
    pb.PeerMessage(ping=pb.Ping()),
    pb.PeerMessage(pong=pb.Pong(clock_ms=1, head_round=1, rules_version=RULES_VERSION)),
    pb.PeerMessage(get_addresses=pb.GetAddresses()),
    pb.PeerMessage(addresses=pb.Addresses(addresses=["93.184.216.34:7700"])),
    pb.PeerMessage(get_snapshot=pb.GetSnapshot(block=bytes(32))),
    pb.PeerMessage(snapshot=pb.Snapshot(blob=bytes(32))),
]


def test_every_message_of_the_protocol_is_among_the_examples() -> None:
    kinds = {message.WhichOneof("content") for message in FROM_PEERS}
    assert kinds == {field.name for field in pb.PeerMessage.DESCRIPTOR.fields}


ANSWERS = {
    "ping": "pong",
    "get_addresses": "addresses",
    "get_headers": "headers",
    "get_bodies": "bodies",
    "get_blob": "blob_chunk",
}


def answer_to(request: str) -> st.SearchStrategy[pb.PeerMessage]:
    """Mostly of the right kind."""
    return message_of([m for m in FROM_PEERS if m.WhichOneof("content") == ANSWERS[request]])


async def answer_with(link: PeerLink, answers: Mapping[str, pb.PeerMessage]) -> None:
    """Answer every request, up to a few."""
    for _ in range(10):
        kind = ""
        while kind not in answers:
            kind = (await link.receive()).WhichOneof("content") or ""
        await link.send(answers[kind])


Talk = Callable[[PeerLink], Coroutine[Any, Any, None]]


def meet(talk: Talk, *, greets: bool, is_dialled: bool) -> None:
    """Let a node meet somebody hostile, and look whether it still works afterwards."""

    async def hostile(link: PeerLink) -> None:
        with suppress(LinkClosed, Refused):
            if greets:
                # Ahead of the node, which asks for what is new.
                head = 9, bytes(32)
                await greet(
                    link, Introduction(NETWORK, key_of("mallory"), head, bytes(NONCE_BYTES))
                )
            await talk(link)

    async def run() -> None:
        async with open_world() as world:
            tasks = TaskOwner()
            world.network.listen("mallory", hostile)
            a = world.add("a", ["mallory"] if is_dialled else ())
            if not is_dialled:
                link = await world.network.transport("mallory").dial_peer("a")
                tasks.spawn(hostile(link), name="hostile")
            # Longer than a request for blocks is waited for.
            await pass_time(20)
            b = world.add("b", ["a"])
            await pass_time(5)
            b.net.broadcast(envelope(7))
            await pass_time(2)
            assert a.handler.heard[-1:] == [envelope(7)]
            await tasks.close()

    with capture_logs() as logs:
        run_virtual(run())
    assert "task_failed" not in {log["event"] for log in logs}


@settings(max_examples=EXAMPLES)
@given(
    st.sampled_from([True, True, False]),
    st.booleans(),
    st.lists(message_of(FROM_PEERS), min_size=1, max_size=8),
)
def test_no_peer_breaks_a_node(
    greets: bool, is_dialled: bool, messages: list[pb.PeerMessage]
) -> None:
    meet(lambda link: swallow(link, messages), greets=greets, is_dialled=is_dialled)


@settings(max_examples=EXAMPLES)
@given(st.booleans(), st.fixed_dictionaries({name: answer_to(name) for name in ANSWERS}))
def test_no_answer_breaks_a_node(is_dialled: bool, answers: Mapping[str, pb.PeerMessage]) -> None:
    meet(lambda link: answer_with(link, answers), greets=True, is_dialled=is_dialled)


HASHES = st.sampled_from([bytes(32), bytes([1]) * 32, bytes([255]) * 32])
NEAR = st.sampled_from([0, 1, 2, 3, 4, MAX_INT])


def built(cls: type[Any]) -> st.SearchStrategy[Any]:
    """Messages of a class in bounds, with rounds about the present one."""
    hints = get_type_hints(cls, include_extras=True)
    return st.builds(
        cls, **{field.name: of_form(hints[field.name].__metadata__[0]) for field in fields(cls)}
    )


def of_form(form: Wire) -> st.SearchStrategy[Any]:
    match form:
        case Uint(most=most):
            return NEAR.map(lambda value: min(value, most))
        case Bytes(shortest=32, longest=32):
            return HASHES
        case Bytes(shortest=shortest, longest=longest):
            return st.binary(min_size=shortest, max_size=min(longest, shortest + 40))
        case RepeatedBytes(length=length):
            return st.lists(st.just(bytes(length)), max_size=2).map(tuple)
        case RepeatedMessage(of=of):
            return st.lists(built(of), max_size=2).map(tuple)
        case _:
            raise TypeError(f"no strategy for {form}")


PAYLOAD = st.sampled_from(sorted(PAYLOADS)).flatmap(lambda kind: built(PAYLOADS[kind]))
BODY = st.builds(encode, built(Body))


@settings(max_examples=EXAMPLES)
@given(
    objects=st.lists(st.tuples(PAYLOAD, st.booleans()), max_size=8),
    blocks=st.lists(st.tuples(built(Claim) | built(Fallback), BODY), max_size=4),
)
def test_no_object_or_block_breaks_a_node(
    objects: list[tuple[Payload, bool]], blocks: list[tuple[Claim | Fallback, bytes]]
) -> None:
    async def run() -> None:
        world = Simulated(1, Plan(full=4, managers=0, strong=0, weak=0))
        world.distrust("full3")
        await world.start(without=["full3"])
        await world.until_round(2)
        network_id, gate = world.network.id, world["full0"]._gate
        attester = world.machines["full3"].setup.identity.signing_key
        for message, by_attester in objects:
            with suppress(Rejected):
                key = attester if by_attester else KEY
                gate.on_gossip(sign(message, key, network_id).envelope)
        for header, body in blocks:
            header = replace(header, body_hash=blob_hash(body))
            with suppress(Rejected):
                envelope = sign(header, attester, network_id).envelope
                await gate.on_blocks([WireBlock(envelope, body)], ())
        await world.until_round(4)
        assert world["full0"].chain.tree.head().state.round == 3
        await world.close()

    with capture_logs() as logs:
        run_virtual(run())
    assert "task_failed" not in {log["event"] for log in logs}


@given(st.data())
def test_changed_bodies_are_refused_or_applied(data: st.DataObject) -> None:
    world = chain_world.World()
    block = world.claim_block(world.genesis, 1)
    changed = bytearray(block.body_bytes)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(changed)))
        changed[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    assert isinstance(block.header.message, Claim)
    header = replace(block.header.message, body_hash=blob_hash(bytes(changed)))
    envelope = sign(header, chain_world.PRODUCERS[0], world.network.id).envelope
    with suppress(Rejected):
        world.apply(open_block(envelope, bytes(changed), world.network.id))


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a\x20" + bytes(32) + b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        (b"\x0a\x20" + bytes(32)) * (2**20 // 34),
        (b"\x12\x00") * 2**19,
        (b"\x22\x24\x0a\x20" + bytes(32) + b"\x10\x01") * (2**20 // 38),
    ],
    ids=["length of 2^63 - 1", "ids alone", "empty proofs", "payout lines"],
)
def test_a_body_takes_memory_in_proportion_to_its_bytes(data: bytes) -> None:
    tracemalloc.start()
    try:
        with suppress(Rejected):
            decode(Body, data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= 8 * 2**20


@given(st.sampled_from(["known", "anchors", "bans"]), st.binary(max_size=40))
def test_damaged_memory_of_peers_is_left_out(record: str, data: bytes) -> None:
    store = MemoryStore()
    store.write([Put(Table.PEERS, record.encode(), data)])
    PeerMemory(store, InlineWriter(store), TaskOwner()).load()
