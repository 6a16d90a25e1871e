"""Gossip and sync among nodes in memory, on virtual time; hostile peers among them."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from node.chain.envelope import sign
from node.chain.errors import InvalidBlock, Reason, Rejected
from node.chain.messages import MAX_PAYLOAD_BYTES, Envelope, Kind, Transfer
from node.net.link import LinkClosed
from node.net.protocol import MAX_BODIES, MAX_LOCATOR, Gossip, Refusal
from node.net.roster import MAX_INBOUND
from node.wire import envelope_to_proto
from ponas.v1.peer_service_pb2 import (
    Addresses,
    BlobMissing,
    Bodies,
    GetBlob,
    GetBodies,
    GetHeaders,
    Headers,
    Hello,
    PeerMessage,
    Proof,
)
from ponas.v1.types_pb2 import BlobChunk
from tests.peer_world import (
    GENESIS,
    KEY,
    NETWORK,
    accept_all,
    drain,
    envelope,
    gossip,
    open_world,
    pass_time,
    transaction,
)
from tests.virtual_time import virtual_time


@virtual_time
async def test_gossip_reaches_all_once_in_a_ring() -> None:
    async with open_world() as world:
        a, b, c = world.add("a", ["b"]), world.add("b", ["c"]), world.add("c", ["a"])
        await pass_time(5)
        for number in range(20):
            a.net.broadcast(envelope(number))
        a.net.broadcast(envelope(3))
        await pass_time(5)
        for peer in (b, c):
            assert peer.handler.heard == [envelope(number) for number in range(20)]
        assert a.handler.heard == []
        assert not a.net.refused + b.net.refused + c.net.refused


@virtual_time
async def test_gossip_is_passed_on_but_never_back_to_its_sender() -> None:
    async with open_world() as world:
        a, b = world.add("a"), world.add("b", ["a"])
        await pass_time(5)
        link = await world.intrude("a")
        await link.send(gossip(1))
        await pass_time(5)
        await a.net.close()
        assert b.handler.heard == [envelope(1)]
        assert await drain(link) == ([], "the node stops")


@virtual_time
async def test_dropped_and_deferred_objects_go_no_further() -> None:
    async with open_world() as world:
        a, b = world.add("a"), world.add("b", ["a"])
        await pass_time(5)
        link = await world.intrude("a")
        a.handler.judge = lambda _: Gossip.DROP
        await link.send(gossip(1))
        await pass_time(5)
        a.handler.judge = lambda _: Gossip.DEFER
        await link.send(gossip(2))
        await pass_time(5)
        assert b.handler.heard == []
        # What was deferred may come from another peer; from the same one neither.
        a.handler.judge = accept_all
        await link.send(gossip(1))
        await link.send(gossip(2))
        await pass_time(5)
        assert b.handler.heard == []
        assert a.net.refused == {Refusal.REPLAYED: 2}
        other = await world.intrude("a", "trudy")
        await other.send(gossip(1))
        await other.send(gossip(2))
        await pass_time(5)
        assert b.handler.heard == [envelope(2)]
        assert a.net.refused == {Refusal.REPLAYED: 2}


@virtual_time
async def test_useless_transactions_are_judged_at_a_rate_and_cost_no_points() -> None:
    async with open_world() as world:
        a = world.add("a")
        a.handler.judge = lambda _: Gossip.DEFER
        link = await world.intrude("a")
        for _ in range(600):
            await link.send(PeerMessage(gossip=envelope_to_proto(transaction(1))))
        await pass_time(0.05)
        await link.send(gossip(1))
        await pass_time(1)
        judged = [each.kind for each in a.handler.heard].count(Kind.TRANSFER)
        assert 512 <= judged < 540
        # All else is heard of it, and transactions of others are.
        assert a.handler.heard[-1] == envelope(1)
        other = await world.intrude("a", "trudy")
        await other.send(PeerMessage(gossip=envelope_to_proto(transaction(2))))
        await pass_time(1)
        assert a.handler.heard[-1] == transaction(2)
        # After a minute it is listened to again.
        await pass_time(60)
        a.handler.judge = accept_all
        await link.send(PeerMessage(gossip=envelope_to_proto(transaction(3))))
        await pass_time(1)
        assert a.handler.heard[-1] == transaction(3)
        assert a.net.refused == {}


@virtual_time
async def test_what_takes_long_to_judge_holds_nothing_up() -> None:
    async with open_world() as world:
        a, b = world.add("a"), world.add("b", ["a"])
        await pass_time(5)
        judged = asyncio.Event()

        async def judge_later() -> Gossip:
            await judged.wait()
            return Gossip.RELAY

        a.handler.judge = lambda heard: judge_later() if heard == envelope(1) else Gossip.RELAY
        link = await world.intrude("a")
        await link.send(gossip(1))
        await link.send(gossip(2))
        await pass_time(5)
        assert b.handler.heard == [envelope(2)]
        judged.set()
        await pass_time(5)
        assert b.handler.heard == [envelope(2), envelope(1)]


@virtual_time
async def test_who_sent_what_is_refused_late_is_blamed_all_the_same() -> None:
    async def refuse() -> Gossip:
        raise InvalidBlock(Reason.TASK_WITNESS, "no such hardware")

    async with open_world() as world:
        a = world.add("a")
        a.handler.judge = lambda _: refuse()
        link = await world.intrude("a")
        for number in range(3):
            await link.send(gossip(number))
        _, closed = await drain(link)
        assert closed == Refusal.TOO_MANY_REFUSED
        assert a.net.refused[Reason.TASK_WITNESS] == 3


@virtual_time
async def test_transaction_is_offered_until_a_peer_has_use_for_it() -> None:
    async with open_world() as world:
        a, b = world.add("a"), world.add("b", ["a"])
        c = world.add("c", ["b"])
        await pass_time(5)
        b.handler.judge = lambda _: Gossip.DEFER
        a.net.offer(transaction(1))
        await pass_time(5)
        assert c.handler.heard == []
        b.handler.judge = accept_all
        for _ in range(3):
            a.net.offer(transaction(1))
            await pass_time(5)
        # It is judged no more once it is taken in, and offering it is no offence.
        assert b.handler.heard == [transaction(1)] * 2
        assert c.handler.heard == [transaction(1)]
        assert b.net.refused == {}


@virtual_time
async def test_peer_that_comes_late_hears_what_was_said() -> None:
    async with open_world() as world:
        a = world.add("a")
        a.net.broadcast(envelope(1))
        b = world.add("b", ["a"])
        await pass_time(5)
        assert b.handler.heard == [envelope(1)]


@virtual_time
async def test_nodes_of_two_networks_part_and_keep_their_distance() -> None:
    async with open_world() as world:
        a, b = world.add("a"), world.add("b", ["a"], network_id=bytes(32))
        await pass_time(60)
        assert a.net.peers() == b.net.peers() == []
        # One of the two notices first; each further attempt waits longer.
        num_refused = (a.net.refused + b.net.refused)[Refusal.WRONG_NETWORK]
        assert 3 <= num_refused <= 16


@virtual_time
async def test_node_that_dials_itself_stops_it() -> None:
    async with open_world() as world:
        a = world.add("a", ["a"])
        await pass_time(60)
        assert a.net.peers() == []
        assert set(a.net.refused) == {Refusal.OWN_IDENTITY}
        assert a.net.refused.total() <= 2


@virtual_time
async def test_nodes_that_dial_each_other_keep_one_link() -> None:
    async with open_world() as world:
        a, b = world.add("a", ["b"]), world.add("b", ["a"])
        await pass_time(60)
        assert len(a.net.peers()) == len(b.net.peers()) == 1
        assert a.net.peers()[0].outbound != b.net.peers()[0].outbound
        a.net.broadcast(envelope(1))
        await pass_time(5)
        assert b.handler.heard == [envelope(1)]
        num_refused = (a.net.refused + b.net.refused).total()
        await pass_time(300)
        assert (a.net.refused + b.net.refused).total() == num_refused


@virtual_time
async def test_nodes_find_each_other_again_after_a_cut() -> None:
    async with open_world() as world:
        a, b = world.add("a"), world.add("b", ["a"])
        await pass_time(5)
        world.network.cut("a", "b")
        await pass_time(300)
        assert a.net.peers() == b.net.peers() == []
        a.net.broadcast(envelope(1))
        world.network.heal()
        await pass_time(35)
        assert [peer.address for peer in b.net.peers()] == ["a"]
        assert b.handler.heard == [envelope(1)]


def _spoilt(change: Callable[[Any], None]) -> PeerMessage:
    message = gossip(1)
    change(message.gossip)
    return message


HOSTILE = {
    "empty message": (PeerMessage(), Refusal.MALFORMED),
    "second hello": (PeerMessage(hello=Hello()), Refusal.MALFORMED),
    "second proof": (PeerMessage(proof=Proof()), Refusal.MALFORMED),
    "locator too long": (
        PeerMessage(get_headers=GetHeaders(locator=[GENESIS] * (MAX_LOCATOR + 1), limit=1)),
        Refusal.MALFORMED,
    ),
    "id too short": (
        PeerMessage(get_headers=GetHeaders(locator=[bytes(31)], limit=1)),
        Refusal.MALFORMED,
    ),
    "no ids": (PeerMessage(get_bodies=GetBodies()), Refusal.MALFORMED),
    "too many ids": (
        PeerMessage(get_bodies=GetBodies(ids=[GENESIS] * (MAX_BODIES + 1))),
        Refusal.MALFORMED,
    ),
    "body's id too long": (PeerMessage(get_bodies=GetBodies(ids=[bytes(33)])), Refusal.MALFORMED),
    "chunk unasked": (PeerMessage(blob_chunk=BlobChunk(hash=bytes(32))), Refusal.UNASKED),
    "missing unasked": (PeerMessage(blob_missing=BlobMissing(hash=bytes(32))), Refusal.UNASKED),
    "headers unasked": (PeerMessage(headers=Headers()), Refusal.UNASKED),
    "bodies unasked": (PeerMessage(bodies=Bodies()), Refusal.UNASKED),
    "addresses unasked": (PeerMessage(addresses=Addresses()), Refusal.UNASKED),
    "oversized question": (
        PeerMessage(get_blob=GetBlob(hash=bytes(5_000))),
        Refusal.OVERSIZED,
    ),
    "oversized gossip": (
        _spoilt(lambda e: setattr(e, "signature", bytes(17_000))),
        Refusal.OVERSIZED,
    ),
    "oversized payload": (
        _spoilt(lambda e: setattr(e, "payload", bytes(MAX_PAYLOAD_BYTES + 1))),
        Reason.NOT_CANONICAL,
    ),
    "payload with a tail": (
        _spoilt(lambda e: setattr(e, "payload", e.payload + b"\x78\x01")),
        Reason.NOT_CANONICAL,
    ),
    "unknown kind": (_spoilt(lambda e: setattr(e, "kind", 99)), Reason.UNKNOWN_KIND),
    "short key": (_spoilt(lambda e: setattr(e, "public_key", bytes(5))), Reason.BAD_KEY),
    "short signature": (_spoilt(lambda e: setattr(e, "signature", b"")), Reason.BAD_SIGNATURE),
    "mis-signed": (
        _spoilt(lambda e: setattr(e, "signature", bytes(64))),
        Reason.BAD_SIGNATURE,
    ),
    "signed for another network": (
        PeerMessage(gossip=envelope_to_proto(envelope(1, bytes(32)))),
        Reason.BAD_SIGNATURE,
    ),
}


@pytest.mark.parametrize(("message", "reason"), HOSTILE.values(), ids=HOSTILE.keys())
@virtual_time
async def test_hostile_message_is_counted_and_the_stream_survives(
    message: PeerMessage, reason: str
) -> None:
    async with open_world() as world:
        a = world.add("a")
        link = await world.intrude("a")
        await link.send(message)
        await link.send(gossip(2))
        await pass_time(5)
        assert a.net.refused == {reason: 1}
        assert a.handler.heard == [envelope(2)]
        assert len(a.net.peers()) == 1


@virtual_time
async def test_spoilt_copy_does_not_keep_the_true_object_out() -> None:
    async with open_world() as world:
        a = world.add("a")
        link = await world.intrude("a")
        await link.send(HOSTILE["mis-signed"][0])
        await link.send(gossip(1))
        await pass_time(5)
        assert a.handler.heard == [envelope(1)]


@virtual_time
async def test_replayed_object_is_counted_once_per_replay() -> None:
    async with open_world() as world:
        a = world.add("a")
        link = await world.intrude("a")
        for _ in range(3):
            await link.send(gossip(1))
        await pass_time(5)
        assert a.net.refused == {Refusal.REPLAYED: 2}
        assert a.handler.heard == [envelope(1)]


def _reject(_: Envelope) -> Gossip:
    raise Rejected(Reason.NO_UNIT, "no such unit")


@virtual_time
async def test_peer_with_too_many_refused_messages_is_dropped() -> None:
    # A rule of the chain costs no points, so only the number of refusals counts.
    async with open_world() as world:
        a = world.add("a")
        a.handler.judge = _reject
        link = await world.intrude("a")
        for number in range(40):
            await link.send(gossip(number))
        _, closed = await drain(link)
        await pass_time(1)
        assert closed == Refusal.TOO_MANY_REFUSED
        assert a.net.refused == {Reason.NO_UNIT: 33, Refusal.TOO_MANY_REFUSED: 1}
        assert a.net.peers() == []


class _Junk:
    def SerializeToString(self, deterministic: bool = False) -> bytes:
        return b"\xff\xff\xff"


@pytest.mark.parametrize("is_greeted", [True, False])
@virtual_time
async def test_bytes_that_are_no_message_end_the_link(is_greeted: bool) -> None:
    async with open_world() as world:
        a = world.add("a")
        if is_greeted:
            link = await world.intrude("a")
        else:
            link = await world.network.transport("mallory").dial_peer("a")
        await link.send(cast(PeerMessage, _Junk()))
        await drain(link)
        await pass_time(1)
        assert a.net.refused == {Refusal.MALFORMED: 1}


@virtual_time
async def test_flood_is_slowed_and_nothing_of_it_lost() -> None:
    async with open_world() as world:
        a = world.add("a")
        a.handler.judge = lambda _: Gossip.DROP
        link = await world.intrude("a")
        started_ms = world.clock.now_ms()
        for number in range(4_000):
            flood = Envelope(6, number.to_bytes(2, "big"), bytes(32), bytes(64))
            await link.send(PeerMessage(gossip=envelope_to_proto(flood)))
        # 2,000 at once, then 500 a second; a window of 64 is still under way.
        assert world.clock.now_ms() - started_ms >= 3_500
        await pass_time(5)
        assert len(a.handler.heard) == 4_000


@virtual_time
async def test_peer_that_does_not_read_is_dropped() -> None:
    async with open_world() as world:
        a = world.add("a")
        link = await world.intrude("a")
        for number in range(5_000):
            a.net.broadcast(Envelope(6, number.to_bytes(2, "big"), bytes(32), bytes(64)))
        await pass_time(1)
        assert a.net.peers() == []
        assert a.net.refused == {Refusal.TOO_SLOW: 1}
        _, closed = await drain(link)
        assert closed == Refusal.TOO_SLOW


@virtual_time
async def test_peer_that_asks_without_reading_is_dropped() -> None:
    async with open_world() as world:
        a = world.add("a")
        link = await world.intrude("a")

        async def ask_on() -> None:
            while True:
                await link.send(PeerMessage(get_blob=GetBlob(hash=bytes(32))))

        with pytest.raises(LinkClosed, match=Refusal.TOO_MANY_REQUESTS):
            await ask_on()
        await pass_time(1)
        assert a.net.refused == {Refusal.TOO_MANY_REQUESTS: 1}


@virtual_time
async def test_closing_tells_the_peers() -> None:
    async with open_world() as world:
        a, b = world.add("a"), world.add("b", ["a"])
        await pass_time(5)
        await b.net.close()
        await pass_time(5)
        assert a.net.peers() == b.net.peers() == []
        assert not a.net.refused


@virtual_time
async def test_rejecting_handler_decides_the_reason() -> None:
    async with open_world() as world:
        a, b = world.add("a"), world.add("b", ["a"])
        a.handler.judge = _reject
        await pass_time(5)
        b.net.broadcast(sign(Transfer(bytes(32), 5, 0, 0), KEY, NETWORK).envelope)
        await pass_time(5)
        assert a.net.refused == {Reason.NO_UNIT: 1}
        assert len(a.net.peers()) == 1


@virtual_time
async def test_strangers_beyond_the_limit_are_refused_but_own_addresses_are_not() -> None:
    async with open_world() as world:
        a = world.add("a", ["b"])
        for number in range(MAX_INBOUND):
            await world.intrude("a", f"peer {number}")
        link = await world.intrude("a", "one too many")
        _, closed = await drain(link)
        assert closed.startswith(Refusal.TOO_MANY_PEERS)
        assert len(a.net.peers()) == MAX_INBOUND
        world.add("b")
        await pass_time(60)
        assert [peer.address for peer in a.net.peers() if peer.outbound] == ["b"]
