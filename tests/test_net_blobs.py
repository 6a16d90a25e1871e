"""Blobs by hash among nodes in memory: resumed, bounded, checked, shared, fair."""

import asyncio
import random

import pytest

from node.chain.hashing import blob_hash
from node.chain.messages import MAX_BODY_BYTES, Envelope
from node.consensus.bootstrap import MAX_SNAPSHOT_BYTES
from node.net.blobs import _MAX_KEPT_BYTES, NotFound, serve_chunk
from node.net.link import LinkClosed, PeerLink
from node.net.protocol import BLOB_WAIT_MS, CHUNK_BYTES, CHUNK_TIMEOUT_S, HEDGE_MS, Refusal
from node.net.session import Session
from node.store.blobs import part_of
from ponas.v1.peer_service_pb2 import GetBlob, PeerMessage
from ponas.v1.types_pb2 import BlobChunk
from tests.peer_world import envelope, gossip, open_world, pass_time
from tests.virtual_time import virtual_time

BLOB = random.Random(5).randbytes(2 * CHUNK_BYTES + 12_345)
HASH = blob_hash(BLOB)


async def feed(link: PeerLink, source: bytes, num_chunks: int, total: int = len(BLOB)) -> None:
    """Answer as many requests from `source`, honest or not, then let the link break."""
    for _ in range(num_chunks):
        while not (message := await link.receive()).HasField("get_blob"):
            pass
        offset = message.get_blob.offset
        data = source[offset : offset + CHUNK_BYTES]
        chunk = BlobChunk(hash=message.get_blob.hash, offset=offset, total=total, data=data)
        await link.send(PeerMessage(blob_chunk=chunk))
    await link.receive()
    await link.close("died midway")


async def never_closes(reason: str) -> None:
    """Stands in for a link's end that the peer delays."""


@pytest.mark.parametrize(
    "blob", [b"", b"x", BLOB[:CHUNK_BYTES], BLOB], ids=lambda blob: str(len(blob))
)
@virtual_time
async def test_blob_arrives_whole(blob: bytes) -> None:
    async with open_world() as world:
        a, b = world.add("a"), world.add("b", ["a"])
        b.handler.blobs[blob_hash(blob)] = blob
        await pass_time(5)
        assert await a.net.fetch(blob_hash(blob), len(blob)) == blob
        assert not a.net.refused + b.net.refused


@virtual_time
async def test_transfer_goes_on_with_another_peer_where_the_first_died() -> None:
    async with open_world() as world:
        a = world.add("a")
        first = await world.intrude("a")
        second = world.add("second", ["a"])
        second.handler.blobs[HASH] = BLOB
        await pass_time(5)
        fetched, _ = await asyncio.gather(a.net.fetch(HASH, len(BLOB)), feed(first, BLOB, 2))
        assert fetched == BLOB
        assert second.handler.num_served[HASH] == 1
        assert not a.net.refused


@virtual_time
async def test_broken_transfer_goes_on_where_it_stopped_when_it_is_asked_for_again() -> None:
    async with open_world() as world:
        a = world.add("a")
        first = await world.intrude("a")
        feeding = asyncio.ensure_future(feed(first, BLOB, 2))
        with pytest.raises(NotFound):
            await a.net.fetch(HASH, len(BLOB))
        await feeding
        second = world.add("second", ["a"])
        second.handler.blobs[HASH] = BLOB
        await pass_time(5)
        assert await a.net.fetch(HASH, len(BLOB)) == BLOB
        assert second.handler.num_served[HASH] == 1


@virtual_time
async def test_what_has_come_is_kept_when_nobody_waits_any_more() -> None:
    async with open_world() as world:
        a = world.add("a")
        link = await world.intrude("a")
        # Two chunks come, and the peer falls silent.
        close, link.close = link.close, never_closes  # type: ignore[method-assign]
        feeding = asyncio.ensure_future(feed(link, BLOB, 2))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await a.net.fetch(HASH, len(BLOB))
        await close("gone")
        second = world.add("second", ["a"])
        second.handler.blobs[HASH] = BLOB
        await pass_time(5)
        assert await a.net.fetch(HASH, len(BLOB)) == BLOB
        assert second.handler.num_served[HASH] == 1
        feeding.cancel()


@virtual_time
async def test_kept_beginnings_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.net.blobs._MAX_KEPT_BYTES", 2 * CHUNK_BYTES)
    async with open_world() as world:
        a = world.add("a")
        for number in range(3):
            feeding = asyncio.ensure_future(feed(await world.intrude("a", f"m{number}"), BLOB, 1))
            with pytest.raises(NotFound):
                await a.net.fetch(blob_hash(bytes([number])), len(BLOB))
            feeding.cancel()
        kept = a.net._blobs._kept
        assert sum(map(len, kept.values())) == 2 * CHUNK_BYTES
        assert [wanted for wanted, _ in kept] == [blob_hash(b"\1"), blob_hash(b"\2")]


def test_the_beginning_of_the_largest_blob_is_kept() -> None:
    assert max(MAX_SNAPSHOT_BYTES, MAX_BODY_BYTES) <= _MAX_KEPT_BYTES


@pytest.mark.parametrize("total", [len(BLOB), 4 * CHUNK_BYTES], ids=["true", "false"])
@virtual_time
async def test_poisoned_beginning_does_not_spoil_an_honest_peer(total: int) -> None:
    async with open_world() as world:
        a = world.add("a")
        first = await world.intrude("a")
        second = world.add("second", ["a"])
        second.handler.blobs[HASH] = BLOB
        await pass_time(5)
        poison = bytes(4 * CHUNK_BYTES)
        num_chunks = 2 if total == len(BLOB) else 3
        fetched, _ = await asyncio.gather(
            a.net.fetch(HASH, total), feed(first, poison, num_chunks, total)
        )
        assert fetched == BLOB


@virtual_time
async def test_blob_of_another_hash_is_refused() -> None:
    async with open_world() as world:
        a, b = world.add("a"), world.add("b", ["a"])
        b.handler.blobs[HASH] = b"something else"
        await pass_time(5)
        with pytest.raises(NotFound):
            await a.net.fetch(HASH, len(BLOB))
        assert a.net.refused == {Refusal.WRONG_HASH: 1}
        c = world.add("c", ["a"])
        c.handler.blobs[HASH] = BLOB
        await pass_time(5)
        assert await a.net.fetch(HASH, len(BLOB)) == BLOB
        assert a.net.refused == {Refusal.WRONG_HASH: 2}


@virtual_time
async def test_blob_above_the_bound_is_refused_before_it_comes() -> None:
    async with open_world() as world:
        a, b = world.add("a"), world.add("b", ["a"])
        b.handler.blobs[HASH] = BLOB
        await pass_time(5)
        with pytest.raises(NotFound, match=f"within {len(BLOB) - 1} bytes"):
            await a.net.fetch(HASH, len(BLOB) - 1)
        assert a.net.refused == {Refusal.OVERSIZED: 1}
        assert b.handler.num_served[HASH] == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (BlobChunk(hash=HASH, offset=0, total=CHUNK_BYTES, data=b"drip"), Refusal.MALFORMED),
        (BlobChunk(hash=HASH, offset=0, total=1, data=b"too much"), Refusal.MALFORMED),
        (BlobChunk(hash=HASH, offset=1, total=2, data=b"x"), Refusal.UNASKED),
        (BlobChunk(hash=bytes(32), offset=0, total=1, data=b"x"), Refusal.UNASKED),
    ],
    ids=["drip", "excess", "offset", "hash"],
)
@virtual_time
async def test_wrong_chunk_is_refused(answer: BlobChunk, reason: Refusal) -> None:
    async with open_world() as world:
        a = world.add("a")
        link = await world.intrude("a")

        async def answer_wrongly() -> None:
            assert (await link.receive()).HasField("get_blob")
            await link.send(PeerMessage(blob_chunk=answer))

        fetched, _ = await asyncio.gather(
            a.net.fetch(HASH, len(BLOB)), answer_wrongly(), return_exceptions=True
        )
        assert isinstance(fetched, NotFound)
        assert a.net.refused == {reason: 1}


@virtual_time
async def test_silent_peer_holds_up_a_transfer_but_briefly() -> None:
    async with open_world(delay_ms=(10, 10)) as world:
        a = world.add("a")
        await world.intrude("a")
        b = world.add("b", ["a"])
        b.handler.blobs[HASH] = BLOB
        await pass_time(5)
        for hold_up_ms in (HEDGE_MS, 0):
            started_ms = world.clock.now_ms()
            assert await a.net.fetch(HASH, len(BLOB)) == BLOB
            # Three chunks take 60 ms; who was silent once is asked last from then on.
            assert world.clock.now_ms() - started_ms == hold_up_ms + 60


@virtual_time
async def test_peer_that_falls_silent_midway_holds_up_a_transfer_but_briefly() -> None:
    async with open_world(delay_ms=(10, 10)) as world:
        a = world.add("a")
        first = await world.intrude("a")
        second = world.add("second", ["a"])
        second.handler.blobs[HASH] = BLOB
        await pass_time(5)
        started_ms = world.clock.now_ms()
        feeding = asyncio.ensure_future(feed(first, BLOB, 2))
        assert await a.net.fetch(HASH, len(BLOB)) == BLOB
        assert world.clock.now_ms() - started_ms < 2 * HEDGE_MS + 100
        assert second.handler.num_served[HASH] == 1
        feeding.cancel()


@virtual_time
async def test_slow_peer_is_overtaken_only_if_another_has_the_blob() -> None:
    async with open_world(delay_ms=(10, 10)) as world:
        a = world.add("a")
        slow = await world.intrude("a")
        world.add("b", ["a"])
        await pass_time(5)

        async def answer_slowly() -> None:
            assert (await slow.receive()).HasField("get_blob")
            await pass_time(1)
            chunk = BlobChunk(hash=blob_hash(b"x"), offset=0, total=1, data=b"x")
            await slow.send(PeerMessage(blob_chunk=chunk))

        fetched, _ = await asyncio.gather(a.net.fetch(blob_hash(b"x"), 1), answer_slowly())
        assert fetched == b"x"


@virtual_time
async def test_peer_that_gets_the_blob_meanwhile_is_asked_again_while_others_are_silent() -> None:
    async with open_world(delay_ms=(10, 10)) as world:
        a = world.add("a")
        for number in range(8):
            await world.intrude("a", f"silent {number}")
        b = world.add("b", ["a"])
        await pass_time(5)
        # From now on the silent are known to be late.
        with pytest.raises(NotFound):
            await a.net.fetch(blob_hash(b"nobody has it"), 1)
        fetching = asyncio.ensure_future(a.net.fetch(HASH, len(BLOB)))
        await pass_time(1)
        b.handler.blobs[HASH] = BLOB
        started_ms = world.clock.now_ms()
        assert await fetching == BLOB
        assert world.clock.now_ms() - started_ms < 2 * HEDGE_MS + 100


@virtual_time
async def test_transfer_from_silent_peers_alone_is_given_up() -> None:
    async with open_world() as world:
        a = world.add("a")
        for number in range(8):
            await world.intrude("a", f"silent {number}")
        started_ms = world.clock.now_ms()
        with pytest.raises(NotFound):
            await a.net.fetch(HASH, len(BLOB))
        assert world.clock.now_ms() - started_ms < 3 * (CHUNK_TIMEOUT_S * 1_000 + 4 * HEDGE_MS)
        assert not a.net.refused


@virtual_time
async def test_poison_of_one_peer_does_not_spoil_what_another_sends_at_the_same_time() -> None:
    async with open_world(delay_ms=(10, 10)) as world:
        a = world.add("a")
        first = await world.intrude("a")
        second = world.add("second", ["a"])
        second.handler.blobs[HASH] = BLOB
        await pass_time(5)
        feeding = asyncio.ensure_future(feed(first, bytes(len(BLOB)), 2))
        assert await a.net.fetch(HASH, len(BLOB)) == BLOB
        # The end alone, then everything anew.
        assert second.handler.num_served[HASH] == 4
        assert not a.net.refused
        feeding.cancel()


@virtual_time
async def test_transfer_ends_with_the_last_caller() -> None:
    async with open_world() as world:
        a = world.add("a")
        link = await world.intrude("a")
        before = asyncio.all_tasks()
        callers = [asyncio.ensure_future(a.net.fetch(HASH, len(BLOB))) for _ in range(2)]
        assert (await link.receive()).HasField("get_blob")
        callers[0].cancel()
        await pass_time(0.01)
        assert len(asyncio.all_tasks() - before) > 1
        callers[1].cancel()
        await pass_time(0.01)
        assert asyncio.all_tasks() == before
        # Nothing of it is left to mislead the next caller.
        b = world.add("b", ["a"])
        b.handler.blobs[HASH] = BLOB
        await pass_time(5)
        assert await a.net.fetch(HASH, len(BLOB)) == BLOB


@virtual_time
async def test_late_answer_is_not_taken_for_the_next() -> None:
    async with open_world() as world:
        a = world.add("a")
        link = await world.intrude("a")
        other = blob_hash(b"y")

        async def answer_late() -> None:
            await link.receive()
            await pass_time(CHUNK_TIMEOUT_S + 1)
            for name, blob in ((blob_hash(b"x"), b"x"), (other, b"y")):
                chunk = BlobChunk(hash=name, offset=0, total=1, data=blob)
                await link.send(PeerMessage(blob_chunk=chunk))

        async def ask_twice() -> bytes:
            with pytest.raises(NotFound):
                await a.net.fetch(blob_hash(b"x"), 1)
            return await a.net.fetch(other, 1)

        fetched, _ = await asyncio.gather(ask_twice(), answer_late())
        assert fetched == b"y"
        assert not a.net.refused


@virtual_time
async def test_requests_for_one_blob_share_a_transfer() -> None:
    async with open_world() as world:
        a, b = world.add("a"), world.add("b", ["a"])
        b.handler.blobs[HASH] = BLOB
        await pass_time(5)
        given_up = asyncio.ensure_future(a.net.fetch(HASH, len(BLOB)))
        others = [asyncio.ensure_future(a.net.fetch(HASH, len(BLOB))) for _ in range(3)]
        await asyncio.sleep(0.01)
        given_up.cancel()
        assert await asyncio.gather(*others) == [BLOB] * 3
        assert b.handler.num_served[HASH] == 3


@virtual_time
async def test_nobody_has_it() -> None:
    async with open_world() as world:
        a = world.add("a")
        with pytest.raises(NotFound):
            await a.net.fetch(HASH, len(BLOB))
        world.add("b", ["a"])
        await pass_time(5)
        with pytest.raises(NotFound):
            await a.net.fetch(HASH, len(BLOB))
        assert not a.net.refused


@virtual_time
async def test_transfer_does_not_hold_up_gossip() -> None:
    async with open_world(delay_ms=(20, 20)) as world:
        blob = bytes(12 * CHUNK_BYTES)
        a, b = world.add("a"), world.add("b", ["a"])
        b.handler.blobs[blob_hash(blob)] = blob
        await pass_time(5)
        transfer = asyncio.ensure_future(a.net.fetch(blob_hash(blob), len(blob)))
        await pass_time(0.1)
        for number in range(5):
            b.net.broadcast(envelope(number))
        await pass_time(0.025)
        assert len(a.handler.heard) == 5
        assert not transfer.done()
        assert await transfer == blob


@virtual_time
async def test_messages_and_answers_take_turns() -> None:
    async with open_world(delay_ms=(0, 0)) as world:
        served: list[str | None] = []

        async def on_peer(link: PeerLink) -> None:
            while True:
                served.append((await link.receive()).WhichOneof("content"))

        world.network.listen("other", on_peer)
        link = await world.network.transport("a").dial_peer("other")
        session = Session(link, bytes(32), 0, world.clock)
        for number in range(3):
            session.answer(lambda: serve_chunk(GetBlob(hash=HASH), part_of(BLOB, 0)))
            session.post(gossip(number))
        session.answer(lambda: serve_chunk(GetBlob(hash=HASH), None))
        running = asyncio.ensure_future(session.run(lambda _session, _message: None))
        await pass_time(1)
        session.end("the test is over")
        await running
        assert served == ["gossip", "blob_chunk"] * 3 + ["blob_missing"]


@virtual_time
async def test_chunk_beyond_the_end_says_how_long_the_blob_is() -> None:
    async with open_world() as world:
        a = world.add("a")
        a.handler.blobs[HASH] = BLOB
        link = await world.intrude("a")
        await link.send(PeerMessage(get_blob=GetBlob(hash=HASH, offset=2**63)))
        answer = (await link.receive()).blob_chunk
        assert (answer.total, answer.data) == (len(BLOB), b"")
        await link.close("the test is over")
        with pytest.raises(LinkClosed):
            await link.receive()


async def ask_for(link: PeerLink, wanted: bytes) -> PeerMessage:
    """What a node answers to one request."""
    await link.send(PeerMessage(get_blob=GetBlob(hash=wanted)))
    answers = ("blob_chunk", "blob_missing")
    while (message := await link.receive()).WhichOneof("content") not in answers:
        pass
    return message


@virtual_time
async def test_a_question_waits_for_a_blob_that_is_on_its_way() -> None:
    async with open_world(delay_ms=(50, 50)) as world:
        a, link = world.add("a"), await world.intrude("a")
        source = world.add("source", ["a"])
        source.handler.blobs[blob_hash(b"x")] = b"x"
        await pass_time(5)
        # So that the bare link is not the one to be asked.
        await source.net.sessions()[0].link.send(gossip(1))
        await pass_time(1)
        asking = asyncio.ensure_future(ask_for(link, blob_hash(b"x")))
        await pass_time(0.02)
        assert await a.net.fetch(blob_hash(b"x"), 1) == b"x"
        assert (await asking).blob_chunk.data == b"x"


@virtual_time
async def test_a_question_waits_for_a_blob_that_does_not_come_only_for_a_moment() -> None:
    async with open_world(delay_ms=(5, 5)) as world:
        a, asker, silent = world.add("a"), await world.intrude("a"), await world.intrude("a", "s")
        fetching = asyncio.ensure_future(a.net.fetch(HASH, len(BLOB)))
        await pass_time(0.02)
        now_s = asyncio.get_running_loop().time
        asked_s = now_s()
        assert (await ask_for(asker, HASH)).blob_missing.hash == HASH
        assert 1_000 * (now_s() - asked_s) == pytest.approx(BLOB_WAIT_MS + 10, abs=5)
        fetching.cancel()
        await silent.close("enough")


@pytest.mark.parametrize(
    ("named_by", "order"),
    [(None, ["second", "third", "first"]), (envelope(0), ["first", "second", "third"])],
    ids=["nothing", "what the first told of"],
)
@virtual_time
async def test_who_told_of_what_names_the_blob_is_asked_first_then_who_told_something_new_last(
    named_by: Envelope | None, order: list[str]
) -> None:
    asked: list[str] = []

    async def note(name: str, link: PeerLink) -> None:
        while not (await link.receive()).HasField("get_blob"):
            pass
        asked.append(name)

    async with open_world(delay_ms=(5, 5)) as world:
        a, names = world.add("a"), ("first", "second", "third")
        links = {name: await world.intrude("a", name) for name in names}
        for number, name in enumerate(("first", "third", "second")):
            await links[name].send(gossip(number))
            await pass_time(0.1)
        # Who tells of it later has nothing of its own to tell.
        await links["third"].send(gossip(0))
        noting = [asyncio.ensure_future(note(*each)) for each in links.items()]
        fetching = asyncio.ensure_future(a.net.fetch(HASH, len(BLOB), named_by))
        await asyncio.gather(*noting)
        assert asked == order
        fetching.cancel()
