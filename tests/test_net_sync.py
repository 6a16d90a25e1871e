"""Header-first sync among nodes in memory: whole chains, wrong answers, blocks that wait."""

from collections.abc import Callable, Sequence

import pytest

from node.chain.block import open_header
from node.chain.envelope import sign
from node.chain.errors import Reason
from node.chain.hashing import blob_hash
from node.chain.messages import MAX_BODY_BYTES, Envelope, Fallback
from node.net import sync
from node.net.link import PeerLink
from node.net.protocol import MAX_BODIES, MAX_HEADERS, Header, Refusal, Refused
from node.net.sync import check_links
from node.wire import WireBlock, envelope_to_proto
from ponas.v1.peer_service_pb2 import BlobMissing, Bodies, Headers, PeerMessage
from tests.peer_world import (
    GENESIS,
    KEY,
    NETWORK,
    Peer,
    block_id,
    chain,
    drain,
    envelope,
    gossip,
    open_world,
    pass_time,
    public_key_of,
)
from tests.virtual_time import virtual_time


@virtual_time
async def test_sync_brings_the_whole_chain_in_batches() -> None:
    async with open_world() as world:
        b = world.add("b")
        b.handler.chain = chain(MAX_HEADERS + 100)
        b.handler.votes = [envelope(7)]
        a = world.add("a", ["b"])
        await pass_time(5)
        assert a.handler.chain == b.handler.chain
        assert a.handler.batches == [MAX_BODIES] * 4 + [100, 0]
        # Votes belong to the head, so they come once with each batch of headers.
        assert a.handler.votes_learnt == [envelope(7)] * 3
        assert a.net.peers()[0].head_round == MAX_HEADERS + 100


@virtual_time
async def test_bodies_stay_within_a_message() -> None:
    async with open_world() as world:
        b = world.add("b")
        b.handler.chain = chain(5, MAX_BODY_BYTES)
        a = world.add("a", ["b"])
        await pass_time(5)
        assert a.handler.batches == [3, 2, 0]


@virtual_time
async def test_blocks_that_must_wait_come_again_with_the_next() -> None:
    async with open_world() as world:
        b = world.add("b")
        b.handler.chain = chain(300)
        a = world.add("a", ["b"])
        a.handler.num_held_back = 2
        await pass_time(5)
        assert a.handler.chain == b.handler.chain
        assert a.handler.batches == [128, 130, 46, 0]


@virtual_time
async def test_chain_that_nobody_vouches_for_waits_no_longer_than_a_window() -> None:
    async with open_world() as world:
        b = world.add("b")
        b.handler.chain = chain(300)
        a = world.add("a", ["b"])
        a.handler.num_held_back = 10_000
        await pass_time(5)
        assert a.handler.chain == b.handler.chain
        assert a.handler.batches == [128, 256, 44, 0]


@virtual_time
async def test_no_more_bytes_wait_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "_MAX_WAITING_BYTES", 5 * MAX_BODY_BYTES)
    async with open_world() as world:
        b = world.add("b")
        b.handler.chain = chain(12, MAX_BODY_BYTES)
        a = world.add("a", ["b"])
        a.handler.num_held_back = 10_000
        await pass_time(5)
        # Three come at once; what six hold has to be decided.
        assert a.handler.batches == [3, 6, 3, 6, 0]
        assert a.handler.chain == b.handler.chain


@virtual_time
async def test_only_missing_bodies_are_asked_for() -> None:
    async with open_world() as world:
        a = world.add("a")
        link = await world.intrude("a")
        a.handler.chain = chain(2)
        a.net.request_sync()
        assert (await link.receive()).HasField("get_headers")
        await link.send(_headers(chain(3)))
        request = await link.receive()
        assert request.get_bodies.ids == [block_id(chain(3)[2])]


@virtual_time
async def test_who_offers_what_leads_nowhere_is_blamed() -> None:
    async def refuse(_: Sequence[Header], votes: Sequence[Envelope]) -> Sequence[Header]:
        raise Refused(Refusal.LOST_BRANCH, "below the final block")

    async with open_world() as world:
        a = world.add("a")
        link = await world.intrude("a")
        a.handler.missing = refuse  # type: ignore[assignment]
        a.net.request_sync()
        assert (await link.receive()).HasField("get_headers")
        await link.send(_headers(chain(3)))
        await pass_time(5)
        assert a.net.refused == {Refusal.LOST_BRANCH: 1}
        assert a.net.peers()[0].score == 2
        await a.net.close()
        assert await _left(link) == []


@virtual_time
async def test_sync_is_asked_again_on_request() -> None:
    async with open_world() as world:
        a, b = world.add("a"), world.add("b", ["a"])
        await pass_time(5)
        assert a.handler.batches == []
        b.handler.chain = chain(3)
        a.net.request_sync()
        a.net.request_sync(public_key_of("b"))
        a.net.request_sync(public_key_of("nobody"))
        await pass_time(5)
        assert a.handler.batches == [3, 0]


@virtual_time
async def test_sync_counts_what_the_handler_rejects() -> None:
    async with open_world() as world:
        b = world.add("b")
        b.handler.chain = chain(3)
        b.handler.votes = [envelope(1, network_id=bytes(32))]
        a = world.add("a", ["b"])
        await pass_time(5)
        assert a.net.refused == {Reason.BAD_SIGNATURE: 1}
        assert a.handler.chain == []


@virtual_time
async def test_sync_ends_with_its_peer_and_can_be_asked_again() -> None:
    async with open_world() as world:
        a = world.add("a")
        link = await world.intrude("a")
        a.net.request_sync()
        assert (await link.receive()).HasField("get_headers")
        await link.close("gone")
        await pass_time(5)
        b = world.add("b", ["a"])
        b.handler.chain = chain(2)
        await pass_time(5)
        assert a.handler.chain == b.handler.chain
        assert not a.net.refused


def _headers(blocks: Sequence[WireBlock]) -> PeerMessage:
    headers = Headers(headers=[envelope_to_proto(block.header) for block in blocks])
    return PeerMessage(headers=headers)


def _forged() -> PeerMessage:
    message = _headers(chain(2))
    message.headers.headers[1].signature = bytes(64)
    return message


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (PeerMessage(blob_missing=BlobMissing(hash=bytes(32))), Refusal.UNASKED),
        (_headers([chain(1)[0]] * (MAX_HEADERS + 1)), Refusal.OVERSIZED),
        (_forged(), Reason.BAD_SIGNATURE),
        (PeerMessage(headers=Headers(headers=[gossip(1).gossip])), Reason.WRONG_KIND),
        (_headers(chain(3)[1:]), Refusal.BROKEN_HEADERS),
    ],
    ids=["no headers", "too many", "forged", "no header", "from nowhere"],
)
@virtual_time
async def test_wrong_headers_are_refused_before_a_body_is_asked_for(
    answer: PeerMessage, reason: str
) -> None:
    async with open_world() as world:
        a = world.add("a")
        link = await world.intrude("a")
        a.net.request_sync()
        assert (await link.receive()).HasField("get_headers")
        await link.send(answer)
        await pass_time(5)
        assert a.net.refused == {reason: 1}
        await a.net.close()
        assert await _left(link) == []


async def _left(link: PeerLink) -> list[str | None]:
    """Kinds of the messages that a link still brings."""
    messages, _ = await drain(link)
    return [message.WhichOneof("content") for message in messages]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (PeerMessage(blob_missing=BlobMissing(hash=bytes(32))), Refusal.UNASKED),
        (PeerMessage(bodies=Bodies()), Refusal.MALFORMED),
        (PeerMessage(bodies=Bodies(bodies=[b""] * 4)), Refusal.MALFORMED),
        (PeerMessage(bodies=Bodies(bodies=[bytes(MAX_BODY_BYTES + 1)])), Refusal.OVERSIZED),
    ],
    ids=["no bodies", "none", "too many", "too large"],
)
@virtual_time
async def test_wrong_bodies_are_refused(answer: PeerMessage, reason: str) -> None:
    async with open_world() as world:
        a = world.add("a")
        link = await world.intrude("a")
        a.net.request_sync()
        assert (await link.receive()).HasField("get_headers")
        await link.send(_headers(chain(3)))
        assert len((await link.receive()).get_bodies.ids) == 3
        await link.send(answer)
        await pass_time(5)
        assert a.net.refused == {reason: 1}
        assert a.handler.chain == []


@virtual_time
async def test_bodies_come_from_another_peer_where_the_one_with_the_headers_is_silent() -> None:
    async with open_world() as world:
        a = world.add("a")
        link = await world.intrude("a")
        # It has the blocks too, but knows of no newer ones than the one that is asked.
        b = world.add("b", ["a"])
        await pass_time(5)
        b.handler.chain = chain(300)
        a.net.request_sync(public_key_of("mallory"))
        assert (await link.receive()).HasField("get_headers")
        await link.send(_headers(chain(300)))
        await pass_time(5)
        assert a.handler.batches == [128, 128, 44]
        assert a.handler.chain == b.handler.chain
        # Once it was late, the others are asked first.
        kinds = [kind for kind in await _kinds(a, link) if kind == "get_bodies"]
        assert len(kinds) == 1
        assert not a.net.refused


@virtual_time
async def test_bodies_come_from_another_peer_where_the_first_sends_wrong_ones() -> None:
    async with open_world() as world:
        a = world.add("a")
        link = await world.intrude("a")
        b = world.add("b", ["a"])
        await pass_time(5)
        b.handler.chain = chain(3)
        a.net.request_sync(public_key_of("mallory"))
        assert (await link.receive()).HasField("get_headers")
        await link.send(_headers(chain(3)))
        assert (await link.receive()).HasField("get_bodies")
        await link.send(PeerMessage(bodies=Bodies(bodies=[b"another"])))
        await pass_time(5)
        assert a.net.refused == {Refusal.WRONG_HASH: 1}
        assert a.handler.chain == b.handler.chain


@virtual_time
async def test_others_may_lack_the_bodies() -> None:
    async with open_world() as world:
        a = world.add("a")
        link = await world.intrude("a")
        world.add("b", ["a"])
        await pass_time(5)
        a.net.request_sync(public_key_of("mallory"))
        assert (await link.receive()).HasField("get_headers")
        await link.send(_headers(chain(3)))
        await pass_time(30)
        assert not a.net.refused
        assert a.handler.chain == []


async def _kinds(peer: Peer, link: PeerLink) -> list[str | None]:
    await peer.net.close()
    return await _left(link)


def _fallback(round_number: int, parent: bytes) -> Envelope:
    fallback = Fallback(round_number, parent, 0, (), blob_hash(b""), bytes(32))
    return sign(fallback, KEY, NETWORK).envelope


def _link(make: Callable[[bytes], Envelope]) -> None:
    first = open_header(_fallback(5, GENESIS), NETWORK)
    second = open_header(make(first.id), NETWORK)
    check_links([first, second], lambda block_id: block_id == GENESIS)


def test_linked_headers_pass() -> None:
    _link(lambda first: _fallback(6, first))


@pytest.mark.parametrize(
    ("make", "detail"),
    [
        (lambda first: _fallback(5, first), "rounds do not rise"),
        (lambda _: _fallback(6, GENESIS), "does not build on the one before"),
    ],
)
def test_broken_links_are_refused(make: Callable[[bytes], Envelope], detail: str) -> None:
    with pytest.raises(Refused, match=detail) as refused:
        _link(make)
    assert refused.value.reason is Refusal.BROKEN_HEADERS
