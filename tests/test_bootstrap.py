"""When a node may believe what it knows, and how it comes to the state of its checkpoint."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NoReturn, ParamSpec, TypeVar

import pytest

from node.aside import inline
from node.bench.chains import Cast, fill_chain, make_cast
from node.chain.errors import SafetyAlarm
from node.chain.genesis import Network
from node.chain.hashing import blob_hash
from node.chain.params import SEALED
from node.chain.state import Checkpoint
from node.checkpoint import format_checkpoint, parse_checkpoint
from node.clock import LoopClock
from node.consensus.bootstrap import TRUSTED_ERAS, Bootstrap, check_trust
from node.consensus.chain import Chain
from node.consensus.designs import NasDesigns
from node.net.blobs import NotFound
from node.store.memory import MemoryStore
from node.store.writer import InlineWriter
from node.tasks import TaskOwner
from tests.chain_world import ATTESTERS, ScriptedDesigns, World, make_network
from tests.virtual_time import virtual_time

P = ParamSpec("P")
T = TypeVar("T")

NOW = 10_000
TRUSTED = TRUSTED_ERAS * SEALED.era_rounds


def network(*, public: bool) -> Network:
    """A network of which only that matters."""
    return make_network(replace(SEALED, public=public))


@pytest.mark.parametrize(("rounds_ago", "is_trusted"), [(TRUSTED, True), (TRUSTED + 1, False)])
def test_a_checkpoint_must_be_recent(rounds_ago: int, is_trusted: bool) -> None:
    checkpoint = Checkpoint(NOW - rounds_ago, bytes(32))
    doubt = check_trust(network(public=False), NOW, 0, checkpoint)
    assert (doubt == "") is is_trusted
    assert is_trusted or "ask for a newer one" in doubt


@pytest.mark.parametrize(("rounds_ago", "is_trusted"), [(TRUSTED, True), (TRUSTED + 1, False)])
def test_an_old_checkpoint_stops_nobody_who_knows_of_something_recent(
    rounds_ago: int, is_trusted: bool
) -> None:
    """It may have been left in the settings."""
    doubt = check_trust(network(public=True), NOW, NOW - rounds_ago, Checkpoint(1, bytes(32)))
    assert (doubt == "") is is_trusted


@pytest.mark.parametrize(("rounds_ago", "is_trusted"), [(TRUSTED, True), (TRUSTED + 1, False)])
def test_who_knows_nothing_recent_of_a_public_network_needs_one(
    rounds_ago: int, is_trusted: bool
) -> None:
    doubt = check_trust(network(public=True), NOW, NOW - rounds_ago, None)
    assert (doubt == "") is is_trusted
    assert is_trusted or "add --checkpoint" in doubt


def test_a_local_network_is_taken_from_genesis() -> None:
    assert check_trust(network(public=False), NOW, 0, None) == ""


def test_the_text_of_a_checkpoint() -> None:
    checkpoint = Checkpoint(17, bytes(range(32)))
    assert parse_checkpoint(format_checkpoint(checkpoint)) == checkpoint
    for wrong in ("", "17", ":" + "a" * 64, "17:abc", "-1:" + "a" * 64, "17:" + "g" * 64):
        with pytest.raises(ValueError, match="is not ROUND:ID"):
            parse_checkpoint(wrong)


async def find_cast() -> tuple[Cast, Checkpoint, bytes]:
    """A network with short eras, and the newest snapshot of a chain of it."""
    cast = make_cast(seed=1)
    parameters = replace(cast.network.parameters, era_rounds=4)
    cast = replace(cast, network=replace(cast.network, parameters=parameters))
    store = MemoryStore()
    await fill_chain(cast, 12, 1, store)
    *_, newest = start(store, cast.network).snapshots()
    data = start(store, cast.network).blob(newest.blob)
    assert data is not None
    return cast, newest.checkpoint, data


def start(store: MemoryStore, network: Network) -> Chain:
    designs = NasDesigns(network.parameters)
    return Chain(network, designs, store, InlineWriter(store), TaskOwner(), inline, fail)


def fail(alarm: SafetyAlarm) -> NoReturn:
    raise alarm


class Peers:
    """Name blobs and give them, each after its time in s; those without bytes never come."""

    def __init__(self, blobs: Mapping[bytes, tuple[bytes, float]], named: Sequence[bytes]) -> None:
        self._blobs = blobs
        self.named = named
        self.asked_ms: list[int] = []
        self.fetched: list[bytes] = []
        self.disproved: list[bytes] = []

    async def find(self, block_id: bytes) -> Sequence[bytes]:
        self.asked_ms.append(now_ms())
        return self.named

    def disprove(self, blob: bytes, detail: str) -> None:
        self.disproved.append(blob)

    async def fetch(self, blob: bytes, max_bytes: int) -> bytes:
        self.fetched.append(blob)
        data, seconds = self._blobs.get(blob, (b"", 1_000.0))
        await asyncio.sleep(seconds)
        if not data:
            raise NotFound("nobody has it")
        return data


def now_ms() -> int:
    return round(asyncio.get_running_loop().time() * 1_000)


class Beginning:
    """A newcomer that looks for its checkpoint among such peers."""

    def __init__(self, network: Network, checkpoint: Checkpoint, peers: Peers) -> None:
        self.chain = start(MemoryStore(), network)
        self.started_ms: list[int] = []
        self.bootstrap = Bootstrap(
            self.chain,
            checkpoint,
            peers,
            peers.fetch,
            LoopClock(asyncio.get_running_loop()),
            inline,
            lambda: self.started_ms.append(now_ms()),
        )


@virtual_time
async def test_a_false_state_is_blamed_and_fetched_once_and_does_not_keep_the_true_one_away() -> (
    None
):
    cast, checkpoint, data = await find_cast()
    forged = data[:-1]
    blobs = {blob_hash(data): (data, 1.0), blob_hash(forged): (forged, 1.0)}
    peers = Peers(blobs, [blob_hash(forged)])
    beginning = Beginning(cast.network, checkpoint, peers)
    running = asyncio.ensure_future(beginning.bootstrap.run())
    await asyncio.sleep(5)
    assert peers.disproved == peers.fetched == [blob_hash(forged)]
    assert len(peers.asked_ms) > 2
    peers.named = [blob_hash(forged), blob_hash(data)]
    await running
    assert peers.disproved == [blob_hash(forged)]
    assert beginning.chain.tree.final == checkpoint
    assert len(beginning.started_ms) == 1


@virtual_time
async def test_a_state_that_does_not_come_holds_up_the_next_but_briefly() -> None:
    cast, checkpoint, data = await find_cast()
    peers = Peers({blob_hash(data): (data, 1.0)}, [b"1" * 32, b"2" * 32, blob_hash(data)])
    beginning = Beginning(cast.network, checkpoint, peers)
    await beginning.bootstrap.run()
    assert beginning.chain.tree.final == checkpoint
    assert beginning.started_ms == [21_000]


@virtual_time
async def test_the_history_waits_for_ten_vain_questions_which_then_become_rare() -> None:
    cast, checkpoint, _ = await find_cast()
    peers = Peers({}, [])
    beginning = Beginning(cast.network, checkpoint, peers)
    running = asyncio.ensure_future(beginning.bootstrap.run())
    await asyncio.sleep(8)
    assert beginning.bootstrap.looks_for_state
    assert beginning.started_ms == []
    await asyncio.sleep(600)
    assert not beginning.bootstrap.looks_for_state
    assert beginning.bootstrap.why_silent == "its chain has not come to its checkpoint yet"
    assert beginning.started_ms == [9_000]
    pauses_s = [(b - a) // 1_000 for a, b in zip(peers.asked_ms, peers.asked_ms[1:], strict=False)]
    assert pauses_s[:18] == [1] * 10 + [2, 4, 8, 16, 32, 64, 64, 64]
    running.cancel()


@virtual_time
async def test_a_checkpoint_that_is_final_but_not_written_yet_is_no_alarm() -> None:
    world, store = World(), MemoryStore()
    blocks = []
    for number in range(1, 9):
        parent = world.tree.head()
        votes = world.votes(parent.id, ATTESTERS) if parent.block else ()
        blocks.append(world.add(world.fallback_block(parent.id, number, votes=votes)))
    checkpoint, clock = Checkpoint(2, blocks[1].id), LoopClock(asyncio.get_running_loop())
    peers = Peers({}, [])
    checked = 0

    async def with_checks(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        nonlocal checked
        if chain.tree.final.round >= checkpoint.round:
            await bootstrap.run()
            checked += 1
        return work(*args, **kwargs)

    chain = Chain(
        world.network,
        ScriptedDesigns(),
        store,
        InlineWriter(store),
        TaskOwner(),
        with_checks,
        lambda _: None,
    )
    bootstrap = Bootstrap(chain, checkpoint, peers, peers.fetch, clock, inline, lambda: None)
    await chain.follow(blocks)
    assert checked
