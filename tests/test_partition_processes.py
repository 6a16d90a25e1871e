"""Five real nodes whose network splits and heals: only a side with a quorum goes on mining."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import grpc
import pytest
from nacl.utils import random as random_bytes

from node.chain.genesis import Network, first_bonds, network_to_json
from node.chain.params import DIGITS, FAST, SEALED, Parameters, Timing
from node.chain.timing import Phase, deadline, round_start
from node.clock import SystemClock
from node.identity import Identity
from node.keyfile import create_identity
from ponas.v1 import query_service_pb2 as query
from ponas.v1.query_service_pb2_grpc import QueryServiceStub
from tests.node_process import NodeProcess
from tests.proxies import Proxy

pytestmark = pytest.mark.timeout(240)

# Each attests with the same weight; the first one mines solo as well.
NAMES = ("miner", "full1", "full2", "full3", "full4")
# Designs that all learn enough in two epochs, so that each certified commit becomes a claim.
PARAMETERS = replace(
    FAST,
    name="split",
    timing=Timing(
        round_ms=14_000, lists_ms=7_000, secrets_ms=7_700, claims_ms=10_000, vote_ms=12_500
    ),
    task=replace(
        DIGITS,
        epochs=2,
        ranges=((3,), (3,), (8, 12), (1,), (1, 2), (1, 2), (2, 3), (3, 4), (2,), (4, 5)),
    ),
    max_units=1,
    max_walked=4,
)
# The same with images that four sealers open; the first rounds of a network have none.
SEALED_PARAMETERS = replace(
    SEALED,
    name="sealed-split",
    timing=Timing(
        round_ms=24_000, lists_ms=12_000, secrets_ms=13_500, claims_ms=19_000, vote_ms=22_500
    ),
    task=replace(SEALED.task, epochs=2, ranges=PARAMETERS.task.ranges),
    max_units=1,
    max_walked=4,
)
STARTUP_MS = 16_000
CLOCK = SystemClock()


def make_network(folder: Path, parameters: Parameters) -> tuple[Network, Mapping[str, Identity]]:
    """A genesis whose first round starts once all nodes may be up, and who they are."""
    identities = {
        name: create_identity(folder / name / "node.key", None, random_bytes) for name in NAMES
    }
    network = Network(
        parameters=parameters,
        genesis_time_ms=CLOCK.now_ms() + STARTUP_MS - parameters.timing.round_ms,
        bonds=first_bonds(
            parameters,
            attesters={each.public_key: 8 for each in identities.values()},
            producers={identities["miner"].public_key: 1},
        ),
        accounts=(),
    )
    (folder / "network.json").write_text(network_to_json(network))
    return network, identities


class Split:
    """Five nodes, each linked to each other by a wire of its own."""

    def __init__(self, network: Network, wires: Mapping[frozenset[str], Proxy]) -> None:
        self.network = network
        self._wires = wires
        self.stubs: dict[str, Any] = {}

    def divide(self, one_side: Iterable[str]) -> None:
        """Cut every wire between the two sides."""
        side = set(one_side)
        for ends, wire in self._wires.items():
            if len(ends & side) == 1:
                wire.cut()

    def heal(self) -> None:
        for wire in self._wires.values():
            wire.mend()

    async def head(self, name: str) -> query.GetBlockResponse:
        """The newest block that a node follows."""
        answer: query.GetBlockResponse = await self.stubs[name].GetBlock(
            query.GetBlockRequest(), timeout=10
        )
        return answer

    async def status(self, name: str) -> query.GetStatusResponse:
        answer: query.GetStatusResponse = await self.stubs[name].GetStatus(
            query.GetStatusRequest(), timeout=10
        )
        return answer

    async def round(self, name: str, number: int) -> query.GetRoundResponse:
        answer: query.GetRoundResponse = await self.stubs[name].GetRound(
            query.GetRoundRequest(round=number), timeout=10
        )
        return answer

    async def votes_are_in(self, number: int) -> None:
        """Pass to a moment at which every block and vote of a round has come."""
        confirmed = deadline(self.network, number, Phase.VALIDATE)
        next_lists = deadline(self.network, number + 1, Phase.TRAIN)
        await CLOCK.sleep_until((confirmed + next_lists) // 2)

    async def starts(self, number: int) -> None:
        await CLOCK.sleep_until(round_start(self.network, number))


@asynccontextmanager
async def splitting(folder: Path, parameters: Parameters) -> AsyncIterator[Split]:
    """Run five nodes that know of each other by their wires alone."""
    network, _ = make_network(folder, parameters)
    async with AsyncExitStack() as running:
        wires: dict[frozenset[str], Proxy] = {}
        addresses: dict[str, str] = {}
        for name in NAMES:
            for other in addresses:
                wire = await running.enter_async_context(Proxy.to(addresses[other]))
                wires[frozenset((name, other))] = wire
            given = [wires[frozenset((name, other))].address for other in addresses]
            peers = [part for address in given for part in ("--peer", address)]
            node = running.enter_context(
                NodeProcess(
                    folder / name,
                    *("--network", str(folder / "network.json"), "--no-discovery"),
                    *("--role", "miner" if name == "miner" else "full"),
                    *peers,
                )
            )
            addresses[name] = await node.address()
        assert len(wires) == len(list(combinations(NAMES, 2)))
        split = Split(network, wires)
        for name in NAMES:
            channel = await running.enter_async_context(grpc.aio.insecure_channel(addresses[name]))
            split.stubs[name] = QueryServiceStub(channel)
        yield split


async def heads(split: Split, names: Sequence[str]) -> Sequence[query.GetBlockResponse]:
    return await asyncio.gather(*(split.head(name) for name in names))


async def one_head(split: Split, names: Sequence[str]) -> query.GetBlockResponse:
    """The head that all of these nodes follow."""
    seen = await heads(split, names)
    assert len({head.id for head in seen}) == 1, [(head.round, head.id[:8]) for head in seen]
    return seen[0]


async def split_and_heal(folder: Path, parameters: Parameters, first: int, lasting: int) -> None:
    """Split a network that mines from its `first` round on, twice.

    After `lasting` rounds of the first split the large side mines by itself.
    """
    async with splitting(folder, parameters) as split:
        await split.votes_are_in(first)
        whole = await one_head(split, NAMES)
        assert (whole.round, whole.HasField("winner")) == (first, True)

        # Four against one: the four go on mining, the one stays where it was.
        await split.starts(first + 1)
        split.divide(["full4"])
        last = first + lasting
        await split.votes_are_in(last)
        large = await one_head(split, NAMES[:4])
        assert (large.round, large.HasField("winner")) == (last, True)
        assert (await split.status("full4")).final_round <= first
        split.heal()
        await split.votes_are_in(last + 2)
        healed = await one_head(split, NAMES)
        assert (healed.round, healed.HasField("winner")) == (last + 2, True)

        # Three against two: nothing is certified, opened, claimed or final on either side.
        await split.starts(last + 3)
        split.divide(["full3", "full4"])
        for number in (last + 3, last + 4):
            await split.votes_are_in(number)
            for name in NAMES:
                assert (await split.status(name)).final_round <= last + 2
                assert (await split.head(name)).fallback
                seen = await split.round(name, number)
                assert not seen.claims
                assert not any(seal.revealed for seal in seen.seals)
                assert not any(commit.certified for commit in seen.commits)
        split.heal()
        await split.votes_are_in(last + 7)
        healed = await one_head(split, NAMES)
        assert (healed.round, healed.HasField("winner")) == (last + 7, True)
        for name in NAMES:
            assert (await split.status(name)).final_round == last + 6


async def test_only_a_side_with_a_quorum_mines_and_all_sides_heal(tmp_path: Path) -> None:
    await split_and_heal(tmp_path, PARAMETERS, first=1, lasting=2)


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_without_a_quorum_no_seal_is_opened(tmp_path: Path) -> None:
    # A sealer that is cut off voids rounds until it is drawn no more.
    await split_and_heal(tmp_path, SEALED_PARAMETERS, first=4, lasting=6)
