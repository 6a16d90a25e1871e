"""Nodes that find each other: from one seed to a network, within limits and after a restart."""

import pytest

from node.chain.params import RULES_VERSION
from node.net.addressbook import Known
from node.net.dialler import FEELER_EVERY_MS, OUTBOUND_TARGET
from node.net.link import LinkClosed, PeerLink
from node.net.protocol import MAX_ADDRESSES, PING_TIMEOUT_S, Refusal
from node.net.remembered import PeerMemory
from node.net.roster import MAX_INBOUND_OF_NETWORK
from node.store.memory import MemoryStore
from node.store.writer import InlineWriter
from node.tasks import TaskOwner
from ponas.v1.peer_service_pb2 import Addresses, GetAddresses, PeerMessage, Ping, Pong
from tests.peer_world import (
    Peer,
    World,
    drain,
    envelope,
    introduce,
    open_world,
    pass_time,
)
from tests.virtual_time import virtual_time


def address(network: int, host: int = 1) -> str:
    """An address of a world-wide network; another /16 for each number."""
    return f"20.{network}.0.{host}:7700"


def outbound(peer: Peer) -> list[str]:
    return [view.address for view in peer.net.peers() if view.outbound]


def grow(world: World, count: int, seed: str = address(0)) -> list[Peer]:
    """Nodes of as many networks that know of one seed alone."""
    world.add(seed)
    return [world.add(address(number), [seed]) for number in range(1, count + 1)]


@virtual_time
async def test_from_one_seed_everybody_gets_its_places_filled_and_no_more() -> None:
    async with open_world() as world:
        peers = grow(world, 20)
        await pass_time(60)
        counts = [len(outbound(peer)) for peer in peers]
        assert max(counts) <= OUTBOUND_TARGET
        assert min(counts) >= 4
        peers[0].net.broadcast(envelope(1))
        await pass_time(5)
        assert all(peer.handler.heard == [envelope(1)] for peer in peers[1:])
        assert not sum((peer.net.refused for peer in peers), start=peers[0].net.refused).keys() - {
            Refusal.DUPLICATE_CONNECTION
        }


@virtual_time
async def test_no_two_places_go_to_one_network() -> None:
    async with open_world() as world:
        seed = world.add(address(0))
        for host in range(1, 10):
            world.add(address(1, host), [address(0)])
        a = world.add(address(2), [address(0)])
        await pass_time(60)
        assert len(seed.net.peers()) == 10
        assert a.net.view().known_addresses > 3
        assert len([remote for remote in outbound(a) if remote.startswith("20.1.")]) == 1


@virtual_time
async def test_peers_of_an_earlier_run_are_found_again_without_the_seed() -> None:
    async with open_world() as world:
        grow(world, 6)
        store = MemoryStore()
        a = world.add(address(50), [address(0)], store=store)
        await pass_time(60)
        before = set(outbound(a)) - {address(0)}
        assert before
        await a.net.close()
        world.network.stop(address(50))
        world.network.stop(address(0))
        again = world.add(address(50), store=store)
        await pass_time(60)
        assert before & set(outbound(again))


@virtual_time
async def test_peers_of_the_last_run_are_dialled_before_whoever_filled_the_book() -> None:
    async with open_world() as world:
        dialled: list[str] = []

        def listen(at: str) -> None:
            async def on_peer(link: PeerLink) -> None:
                dialled.append(at)
                await drain(link)

            world.network.listen(at, on_peer)

        anchors = [address(1), address(2)]
        crowd = [address(number) for number in range(10, 50)]
        for each in (*anchors, *crowd):
            listen(each)
        store, tasks = MemoryStore(), TaskOwner()
        memory = PeerMemory(store, InlineWriter(store), tasks)
        memory.keep_known([Known(each, "20.9.0.0/16", is_tried=True) for each in crowd])
        memory.keep_anchors(anchors)
        await pass_time(0)
        world.add(address(50), store=store)
        await pass_time(30)
        assert dialled[:2] == anchors
        assert set(dialled[2:]) & set(crowd)


@virtual_time
async def test_feelers_try_what_was_heard_of_and_hang_up() -> None:
    async with open_world() as world:
        peers = grow(world, 24)
        await pass_time(60)
        a = peers[0]
        assert len(outbound(a)) == OUTBOUND_TARGET

        def tried() -> set[str]:
            return {known.address for known in a.net._book.known() if known.is_tried}

        before = tried()
        await pass_time(5 * FEELER_EVERY_MS / 1_000)
        felt = tried() - before
        assert felt
        assert not felt & set(outbound(a))
        assert len(outbound(a)) == OUTBOUND_TARGET


@virtual_time
async def test_node_that_tells_no_port_is_told_of_to_nobody() -> None:
    async with open_world() as world:
        seed = world.add(address(0))
        await world.intrude(address(0), "20.9.0.1:50000")
        await pass_time(2 * FEELER_EVERY_MS / 1_000)
        assert seed.net.view().known_addresses == 0


@virtual_time
async def test_node_without_discovery_keeps_to_its_given_peers() -> None:
    async with open_world() as world:
        peers = grow(world, 4)
        hermit = world.add(address(50), [address(0)], discovers=False)
        await pass_time(2 * FEELER_EVERY_MS / 1_000)
        assert [view.address for view in hermit.net.peers()] == [address(0)]
        assert all(address(50) not in outbound(peer) for peer in peers)
        world.network.stop(address(0))
        await peers[0].net.close()
        await pass_time(2 * FEELER_EVERY_MS / 1_000)
        assert hermit.net.peers() == []


@virtual_time
async def test_only_who_is_connected_or_was_met_is_told_of() -> None:
    async with open_world() as world:
        world.add(address(0))
        a = world.add(address(1), [address(0)])
        await world.intrude(address(0), "20.9.0.1:50000")
        await pass_time(5)
        for expected in ([address(1)], []):
            asker = await world.intrude(address(0), f"20.8.0.{len(expected)}:50000")
            await asker.send(PeerMessage(get_addresses=GetAddresses()))
            assert (await asker.receive()).addresses.addresses == expected
            # Heard of, but never dialled, and gone.
            await a.net.close()
            world.network.stop(address(1))
            await pass_time(1)


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (["20.7.0.1"], Refusal.BAD_ADDRESS),
        (["seed.example.org:7700"], Refusal.BAD_ADDRESS),
        ([address(7)] * (MAX_ADDRESSES + 1), Refusal.OVERSIZED),
    ],
    ids=["no port", "a name", "too many"],
)
@virtual_time
async def test_wrong_addresses_are_refused(told: list[str], reason: Refusal) -> None:
    async with open_world() as world:

        async def on_peer(link: PeerLink) -> None:
            await introduce(link, "teller")
            while not (await link.receive()).HasField("ping"):
                pass
            await link.send(PeerMessage(pong=Pong(rules_version=RULES_VERSION)))
            while not (await link.receive()).HasField("get_addresses"):
                pass
            await link.send(PeerMessage(addresses=Addresses(addresses=told)))
            await drain(link)

        world.network.listen("teller", on_peer)
        a = world.add("a", ["teller"])
        await pass_time(5)
        assert a.net.refused == {reason: 1}
        assert a.net.view().known_addresses == 0


@virtual_time
async def test_crowd_from_one_network_leaves_places_for_others() -> None:
    async with open_world() as world:
        a = world.add(address(0))
        for host in range(MAX_INBOUND_OF_NETWORK):
            await world.intrude(address(0), f"20.5.0.{host}:50000")
        link = await world.intrude(address(0), "20.5.1.1:50000")
        assert (await drain(link))[1].startswith(Refusal.TOO_MANY_PEERS)
        await world.intrude(address(0), "20.6.0.1:50000")
        assert len(a.net.peers()) == MAX_INBOUND_OF_NETWORK + 1


@virtual_time
async def test_misbehaving_host_is_banned_and_stays_so_after_a_restart() -> None:
    async with open_world() as world:
        store = MemoryStore()
        a = world.add("a", store=store)
        # Six offences end the first link, and each further one ends another.
        reasons = []
        for number in range(6):
            link = await world.intrude("a", f"20.3.0.1:5000{number}")
            for _ in range(6):
                await link.send(PeerMessage())
            reasons.append((await drain(link))[1])
        assert reasons == [Refusal.TOO_MANY_REFUSED] * 5 + [Refusal.BANNED]
        assert [ban.reason for ban in a.net.view().bans] == [Refusal.MALFORMED] * 2
        with pytest.raises(LinkClosed, match=Refusal.BANNED):
            await world.intrude("a", "20.3.0.1:50009")
        await a.net.close()
        world.network.stop("a")
        world.add("a", store=store)
        with pytest.raises(LinkClosed, match=Refusal.BANNED):
            await world.intrude("a", "20.3.0.1:50009")


@virtual_time
async def test_trusted_peer_is_let_in_again_whatever_it_did() -> None:
    async with open_world() as world:
        a = world.add("a", ["b"])
        b = world.add("b")
        await pass_time(2)
        for _ in range(30):
            for session in b.net.sessions():
                session.post(PeerMessage())
            await pass_time(1)
        await pass_time(40)
        assert a.net.refused[Refusal.TOO_MANY_REFUSED] >= 1
        assert a.net.view().bans == []
        assert outbound(a) == ["b"]


@virtual_time
async def test_peer_that_answers_no_ping_is_given_up() -> None:
    async with open_world() as world:
        a = world.add("a")
        await world.intrude("a")
        await pass_time(PING_TIMEOUT_S + 40)
        assert a.net.peers() == []
        assert a.net.refused == {Refusal.TOO_SLOW: 1}


@virtual_time
async def test_clocks_of_dialled_peers_are_compared() -> None:
    async with open_world(delay_ms=(10, 10)) as world:
        for number in range(4):
            world.add(f"peer {number}", offset_ms=1_000)
        a = world.add("a", [f"peer {number}" for number in range(4)])
        world.add("dials in", ["a"], offset_ms=-5_000)
        await pass_time(5)
        # The round trip of 20 ms leaves half of it in doubt.
        assert a.net.clock_offsets_ms() == [990] * 4


@virtual_time
async def test_pinging_too_often_is_slowed() -> None:
    async with open_world(delay_ms=(1, 1)) as world:
        world.add("a")
        link = await world.intrude("a")
        for _ in range(6):
            await link.send(PeerMessage(ping=Ping()))
        started_ms = world.clock.now_ms()
        for _ in range(6):
            assert (await link.receive()).HasField("pong")
        # Four at once, then one in five seconds.
        assert world.clock.now_ms() - started_ms >= 9_000
