"""Greetings: hello, proof of the key, and which of two links of a peer stays."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from nacl.signing import SigningKey
from structlog.testing import capture_logs

from node.chain.hashing import blake
from node.chain.params import RULES_VERSION
from node.net.greeting import Introduction, greet
from node.net.link import PeerLink
from node.net.protocol import PING_EVERY_MS, PROTOCOL_VERSION, Refusal, Refused
from ponas.v1.peer_service_pb2 import Hello, PeerMessage, Proof
from tests.peer_world import (
    GENESIS,
    NETWORK,
    drain,
    gossip,
    introduce,
    key_of,
    open_world,
    pass_time,
    public_key_of,
)
from tests.virtual_time import virtual_time

NONCE = bytes([7]) * 32


def _hello(name: str = "mallory", **parts: Any) -> PeerMessage:
    hello = Hello(
        network_id=NETWORK,
        protocol_version=PROTOCOL_VERSION,
        public_key=public_key_of(name),
        head=GENESIS,
        nonce=NONCE,
        rules_version=RULES_VERSION,
    )
    for part, value in parts.items():
        setattr(hello, part, value)
    return PeerMessage(hello=hello)


def _proof(key: SigningKey, *fields: bytes) -> PeerMessage:
    return PeerMessage(proof=Proof(signature=key.sign(blake("ponas/greeting", *fields)).signature))


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (_hello(network_id=bytes(32)), Refusal.WRONG_NETWORK),
        (_hello(protocol_version=PROTOCOL_VERSION + 1), Refusal.WRONG_VERSION),
        (_hello(rules_version=RULES_VERSION + 1), Refusal.WRONG_RULES),
        (_hello(rules_version=0), Refusal.WRONG_RULES),
        (_hello(public_key=bytes(31)), Refusal.MALFORMED),
        (_hello(head=bytes(33)), Refusal.MALFORMED),
        (_hello(nonce=bytes(31)), Refusal.MALFORMED),
        (_hello(listen_port=65_536), Refusal.MALFORMED),
        (_hello("a"), Refusal.OWN_IDENTITY),
        (gossip(1), Refusal.NO_HELLO),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@virtual_time
async def test_hello_is_refused_with_its_reason(first: PeerMessage, reason: Refusal) -> None:
    async with open_world() as world:
        a = world.add("a")
        link = await world.network.transport("mallory").dial_peer("a")
        await link.send(first)
        _, closed = await drain(link)
        assert closed.startswith(reason)
        assert a.net.refused == {reason: 1}
        assert a.net.peers() == []


@virtual_time
async def test_peers_of_other_rules_both_say_so() -> None:
    async with open_world() as world:
        old = world.add("old", rules=(1, 1, 1))
        with capture_logs() as logs:
            new = world.add("new", ["old"], rules=(2, 2, 2))
            await pass_time(1)
        assert {log["reason"] for log in logs if log["event"] == "peer_refused"} == {
            "wrong-rules: plays by version 1 of the chain's rules, here version 2 is in force",
            "wrong-rules: plays by version 2 of the chain's rules, here version 1 is in force",
        }
        assert old.net.peers() == new.net.peers() == []


@virtual_time
async def test_around_an_upgrade_clocks_may_be_on_either_side_of_it() -> None:
    async with open_world() as world:
        before = world.add("before", rules=(1, 1, 2))
        world.add("after", ["before"], rules=(2, 1, 2))
        await pass_time(1)
        assert len(before.net.peers()) == 1


@virtual_time
async def test_who_misses_an_upgrade_is_left_and_told_so_and_others_stay() -> None:
    async with open_world() as world:
        played, rounds_s = [1, 1, 1], 2 * PING_EVERY_MS / 1_000
        old = world.add("old", rules=(1, 1, 1))
        new = world.add("new", ["old"], rules=played)
        world.add("also new", ["new"], rules=played)
        await pass_time(5)
        _, kept = new.net.sessions()
        with capture_logs() as logs:
            for played[:] in ([2, 1, 2], [2, 2, 2]):
                await pass_time(rounds_s)
        assert old.net.peers() == []
        assert new.net.sessions() == (kept,)
        said = {log["reason"] for log in logs if log["event"] == "peer_refused"}
        assert any(reason.endswith("here version 1 is in force") for reason in said)


A, MALLORY = public_key_of("a"), public_key_of("mallory")
KEY = key_of("mallory")
PROOFS: dict[str, Callable[[bytes], PeerMessage]] = {
    "another key": lambda nonce: _proof(key_of("b"), NETWORK, MALLORY, A, nonce, b"dialler"),
    "another network": lambda nonce: _proof(KEY, bytes(32), MALLORY, A, nonce, b"dialler"),
    "another signer": lambda nonce: _proof(KEY, NETWORK, A, A, nonce, b"dialler"),
    "another verifier": lambda nonce: _proof(KEY, NETWORK, MALLORY, MALLORY, nonce, b"dialler"),
    "another nonce": lambda _: _proof(KEY, NETWORK, MALLORY, A, NONCE, b"dialler"),
    "another role": lambda nonce: _proof(KEY, NETWORK, MALLORY, A, nonce, b"listener"),
    "short signature": lambda _: PeerMessage(proof=Proof(signature=bytes(63))),
    "no proof": lambda _: gossip(1),
}


@pytest.mark.parametrize("make", PROOFS.values(), ids=PROOFS.keys())
@virtual_time
async def test_proof_is_refused(make: Callable[[bytes], PeerMessage]) -> None:
    async with open_world() as world:
        a = world.add("a")
        link = await world.network.transport("mallory").dial_peer("a")
        await link.send(_hello())
        theirs = (await link.receive()).hello
        await link.send(make(theirs.nonce))
        _, closed = await drain(link)
        assert closed.startswith(Refusal.BAD_PROOF)
        assert a.net.refused == {Refusal.BAD_PROOF: 1}
        assert a.net.peers() == []
        assert a.handler.heard == []


@virtual_time
async def test_proof_over_the_stated_fields_is_accepted_and_given() -> None:
    async with open_world() as world:
        a = world.add("a")
        link = await world.network.transport("mallory").dial_peer("a")
        await link.send(_hello())
        theirs = (await link.receive()).hello
        await link.send(_proof(KEY, NETWORK, MALLORY, A, theirs.nonce, b"dialler"))
        proof = (await link.receive()).proof
        signed = blake("ponas/greeting", NETWORK, A, MALLORY, NONCE, b"listener")
        key_of("a").verify_key.verify(signed, proof.signature)
        await pass_time(1)
        assert [peer.public_key for peer in a.net.peers()] == [MALLORY]


@virtual_time
async def test_key_that_anyone_can_sign_for_proves_nothing() -> None:
    # With the neutral point as a key, R = [s]B fits every message; here s = 0 and R is neutral.
    neutral = bytes([1]) + bytes(31)
    async with open_world() as world:
        a = world.add("a")
        link = await world.network.transport("mallory").dial_peer("a")
        await link.send(_hello(public_key=neutral))
        await link.send(PeerMessage(proof=Proof(signature=neutral + bytes(32))))
        _, closed = await drain(link)
        assert closed.startswith(Refusal.BAD_PROOF)
        assert a.net.peers() == []


@virtual_time
async def test_nonces_differ_from_link_to_link() -> None:
    async with open_world() as world:
        world.add("a")
        nonces = set()
        for _ in range(3):
            link = await world.network.transport("mallory").dial_peer("a")
            nonces.add((await link.receive()).hello.nonce)
        assert len(nonces) == 3
        assert {len(nonce) for nonce in nonces} == {32}


@virtual_time
async def test_borrowed_key_keeps_nobody_out() -> None:
    async with open_world() as world:
        a = world.add("a")
        impostor = await world.network.transport("mallory").dial_peer("a")
        await impostor.send(_hello("b"))
        world.add("b", ["a"])
        await pass_time(5)
        assert [peer.public_key for peer in a.net.peers()] == [public_key_of("b")]
        assert not a.net.refused


@pytest.mark.parametrize("said", [[], [_hello()]], ids=["hello", "proof"])
@virtual_time
async def test_silence_is_refused(said: list[PeerMessage]) -> None:
    async with open_world() as world:
        a = world.add("a")
        link = await world.network.transport("mallory").dial_peer("a")
        for message in said:
            await link.send(message)
        _, closed = await drain(link)
        assert closed.startswith(Refusal.NO_HELLO)
        assert a.net.refused == {Refusal.NO_HELLO: 1}


@virtual_time
async def test_peer_that_hangs_up_instead_of_hello_is_no_offence() -> None:
    async with open_world() as world:
        a = world.add("a")
        link = await world.network.transport("mallory").dial_peer("a")
        await link.close("wrong number")
        await pass_time(5)
        assert not a.net.refused


@virtual_time
async def test_node_that_stops_amid_a_greeting_closes_the_link() -> None:
    async with open_world() as world:
        reasons = asyncio.Queue[str]()

        async def on_peer(link: PeerLink) -> None:
            _, reason = await drain(link)
            await reasons.put(reason)

        world.network.listen("b", on_peer)
        a = world.add("a", ["b"])
        await pass_time(1)
        assert reasons.empty()
        await a.net.close()
        assert await reasons.get() == "broken off"


def _name_where(is_wanted: Callable[[bytes], bool]) -> str:
    return next(name for name in map(str, range(99)) if is_wanted(public_key_of(name)))


@pytest.mark.parametrize(
    ("name", "keeps_outbound"),
    [(_name_where(lambda key: key > A), True), (_name_where(lambda key: key < A), False)],
    ids=["higher key", "lower key"],
)
@virtual_time
async def test_of_two_links_the_one_that_the_lower_key_dialled_stays(
    name: str, keeps_outbound: bool
) -> None:
    async with open_world() as world:
        a = world.add("a", ["other"])
        inbound = await world.intrude("a", name)

        async def on_peer(link: PeerLink) -> None:
            await introduce(link, name)
            await drain(link)

        world.network.listen("other", on_peer)
        await pass_time(10)
        assert [peer.outbound for peer in a.net.peers()] == [keeps_outbound]
        assert a.net.refused == {Refusal.DUPLICATE_CONNECTION: 1}
        await world.network.close()
        _, closed = await drain(inbound)
        assert (closed == Refusal.DUPLICATE_CONNECTION) == keeps_outbound


@virtual_time
async def test_dialler_refuses_an_unproven_listener() -> None:
    async with open_world() as world:

        async def on_peer(link: PeerLink) -> None:
            await link.send(_hello("b"))
            await link.send(PeerMessage(proof=Proof(signature=bytes(64))))
            await drain(link)

        world.network.listen("b", on_peer)
        link = await world.network.transport("a").dial_peer("b")
        with pytest.raises(Refused, match=Refusal.BAD_PROOF):
            await greet(link, Introduction(NETWORK, key_of("a"), (0, GENESIS), NONCE))
