"""Places for those that have not proved a key yet: nobody takes all of them."""

from contextlib import ExitStack
from typing import Any, cast

import pytest

from node.net.link import PeerLink
from node.net.protocol import Refusal, Refused
from node.net.roster import MAX_GREETING, MAX_GREETING_OF_NETWORK, Roster
from tests.peer_world import open_world, pass_time
from tests.virtual_time import virtual_time


class Link:
    """A link of which only the far end matters."""

    def __init__(self, remote: str, outbound: bool = False) -> None:
        self.remote, self.outbound = remote, outbound


def far(network: int, host: int = 1, outbound: bool = False) -> PeerLink:
    """A link with a machine of a network (/16) of the world."""
    link: Any = Link(f"{1 + network}.8.0.{host}:7700", outbound)
    return cast(PeerLink, link)


def near(port: int) -> PeerLink:
    link: Any = Link(f"127.0.0.1:{port}")
    return cast(PeerLink, link)


def refused(roster: Roster, link: PeerLink) -> bool:
    try:
        with roster.greeting(link):
            return False
    except Refused as error:
        return error.reason is Refusal.TOO_MANY_PEERS


@pytest.fixture
def roster() -> Roster:
    return Roster(bytes(32), ())


def test_one_network_takes_few_places(roster: Roster) -> None:
    with ExitStack() as greeting:
        for host in range(MAX_GREETING_OF_NETWORK):
            greeting.enter_context(roster.greeting(far(0, host)))
        assert refused(roster, far(0, 99))
        assert not refused(roster, far(1))
        # Those that this node dials are no strangers.
        assert not refused(roster, far(0, 99, outbound=True))
    assert not refused(roster, far(0, 99))


def test_one_machine_nearby_takes_half(roster: Roster) -> None:
    with ExitStack() as greeting:
        for port in range(1, MAX_GREETING // 2 + 1):
            greeting.enter_context(roster.greeting(near(port)))
        assert refused(roster, near(9_999))
        assert not refused(roster, far(0))


def test_there_are_so_many_places_and_no_more(roster: Roster) -> None:
    with ExitStack() as greeting:
        for network in range(MAX_GREETING):
            greeting.enter_context(roster.greeting(far(network)))
        assert refused(roster, far(MAX_GREETING))


@virtual_time
async def test_who_never_greets_leaves_its_place_in_the_end() -> None:
    async with open_world() as world:
        a = world.add("a")
        transport = world.network.transport("mallory")
        for _ in range(MAX_GREETING // 2 + 1):
            await transport.dial_peer("a")
        await pass_time(5)
        assert a.net.refused == {Refusal.TOO_MANY_PEERS: 1}
        b = world.add("b", ["a"])
        await pass_time(5)
        assert len(b.net.peers()) == 1
        await pass_time(10)
        await transport.dial_peer("a")
        await pass_time(1)
        assert a.net.refused[Refusal.TOO_MANY_PEERS] == 1
