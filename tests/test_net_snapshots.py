"""Peers are asked for the state after a block: all at once, and none is believed."""

import asyncio

import pytest

from node.net.protocol import SNAPSHOT_TIMEOUT_S, Refusal
from ponas.v1.peer_service_pb2 import Bodies, PeerMessage, Snapshot
from tests.peer_world import open_world, pass_time
from tests.virtual_time import virtual_time

BLOCK, TRUE, FALSE = b"b" * 32, b"t" * 32, b"f" * 32


@virtual_time
async def test_what_most_peers_name_comes_first() -> None:
    async with open_world() as world:
        a = world.add("a", ["liar", "b", "c", "d"])
        named = {"liar": {BLOCK: FALSE}, "b": {BLOCK: TRUE}, "c": {BLOCK: TRUE}, "d": {}}
        for name, snapshots in named.items():
            world.add(name).handler.snapshots = dict(snapshots)
        await pass_time(5)
        assert await a.net.snapshots.find(BLOCK) == [TRUE, FALSE]
        assert await a.net.snapshots.find(bytes(32)) == []
        assert not a.net.refused


@virtual_time
async def test_who_named_a_false_one_is_blamed_and_nobody_else() -> None:
    async with open_world() as world:
        a = world.add("a", ["liar", "b"])
        world.add("liar").handler.snapshots[BLOCK] = FALSE
        world.add("b").handler.snapshots[BLOCK] = TRUE
        await pass_time(5)
        await a.net.snapshots.find(BLOCK)
        a.net.snapshots.disprove(FALSE, "this is no snapshot")
        a.net.snapshots.disprove(FALSE, "and a second time costs nothing")
        assert a.net.refused == {Refusal.FALSE_SNAPSHOT: 1}
        offences = {peer.address: dict(peer.offences) for peer in a.net.peers()}
        assert offences == {"liar": {Refusal.FALSE_SNAPSHOT: 1}, "b": {}}


@virtual_time
async def test_silent_peers_cost_one_time_out_together() -> None:
    async with open_world() as world:
        a = world.add("a", ["b"])
        world.add("b").handler.snapshots[BLOCK] = TRUE
        for name in ("mute", "dumb", "still"):
            await world.intrude("a", name)
        await pass_time(5)
        before_ms = world.clock.now_ms()
        assert await a.net.snapshots.find(BLOCK) == [TRUE]
        assert world.clock.now_ms() - before_ms <= SNAPSHOT_TIMEOUT_S * 1_000
        assert not a.net.refused


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (PeerMessage(snapshot=Snapshot(blob=b"short")), Refusal.MALFORMED),
        (PeerMessage(bodies=Bodies()), Refusal.UNASKED),
    ],
)
@virtual_time
async def test_a_wrong_answer_is_refused(answer: PeerMessage, reason: Refusal) -> None:
    async with open_world() as world:
        a = world.add("a")
        link = await world.intrude("a")
        finding = asyncio.ensure_future(a.net.snapshots.find(BLOCK))
        assert (await link.receive()).HasField("get_snapshot")
        await link.send(answer)
        assert await finding == []
        assert a.net.refused == {reason: 1}
