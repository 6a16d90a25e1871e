"""Old blocks come from the top down, and only those that the known one stands on."""

import asyncio

import pytest

from node.net.protocol import MAX_BODIES, Refusal
from node.wire import envelope_to_proto
from ponas.v1.peer_service_pb2 import Bodies, Headers, PeerMessage
from tests.peer_world import GENESIS, block_id, chain, open_world, pass_time
from tests.virtual_time import virtual_time

CHAIN = chain(MAX_BODIES + 20)
IDS = [block_id(block) for block in CHAIN]


@virtual_time
async def test_a_block_and_those_below_it_come_with_their_bodies() -> None:
    async with open_world() as world:
        a = world.add("a", ["pruned", "b"])
        world.add("pruned")
        world.add("b").handler.chain = list(CHAIN)
        # Not by the usual sync.
        a.handler.num_held_back = len(CHAIN)
        await pass_time(5)
        blocks = await a.net.ancestors.fetch(IDS[-2])
        assert [header.id for header, _ in blocks] == IDS[-2 : -2 - MAX_BODIES : -1]
        assert [body for _, body in blocks] == [b.body for b in CHAIN[-2 : -2 - MAX_BODIES : -1]]
        assert [header.id for header, _ in await a.net.ancestors.fetch(IDS[1])] == IDS[1::-1]
        assert await a.net.ancestors.fetch(GENESIS) == ()
        assert not a.net.refused


@pytest.mark.parametrize(
    "heights", [[4, 3, 2], [5, 4, 2]], ids=["from another block", "with one left out"]
)
@virtual_time
async def test_headers_that_do_not_lead_down_from_the_block_are_refused(
    heights: list[int],
) -> None:
    async with open_world() as world:
        a = world.add("a")
        link = await world.intrude("a")
        fetching = asyncio.ensure_future(a.net.ancestors.fetch(IDS[5]))
        request = (await link.receive()).get_ancestors
        assert (request.block, request.limit) == (IDS[5], MAX_BODIES)
        headers = [envelope_to_proto(CHAIN[height].header) for height in heights]
        await link.send(PeerMessage(headers=Headers(headers=headers)))
        assert await fetching == ()
        assert a.net.refused == {Refusal.BROKEN_HEADERS: 1}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (PeerMessage(bodies=Bodies()), Refusal.UNASKED),
        (
            PeerMessage(
                headers=Headers(
                    headers=[envelope_to_proto(block.header) for block in CHAIN[MAX_BODIES::-1]]
                )
            ),
            Refusal.OVERSIZED,
        ),
    ],
)
@virtual_time
async def test_a_wrong_answer_is_refused(answer: PeerMessage, reason: Refusal) -> None:
    async with open_world() as world:
        a = world.add("a")
        link = await world.intrude("a")
        fetching = asyncio.ensure_future(a.net.ancestors.fetch(IDS[MAX_BODIES]))
        assert (await link.receive()).HasField("get_ancestors")
        await link.send(answer)
        assert await fetching == ()
        assert a.net.refused == {reason: 1}
