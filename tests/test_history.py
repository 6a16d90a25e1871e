"""The blocks below a checkpoint come and are judged; old ones go where a node prunes."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from node.aside import inline
from node.bench.chains import Cast, fill_chain, make_cast
from node.chain.block import open_header
from node.chain.bonds import UNBOND_ERAS
from node.chain.codec import encode
from node.chain.envelope import sign
from node.chain.errors import SafetyAlarm
from node.chain.hashing import blob_hash
from node.chain.messages import Body, Fallback
from node.clock import LoopClock
from node.consensus.blockstore import BlockStore, Gap
from node.consensus.chain import Chain
from node.consensus.designs import NasDesigns
from node.consensus.examination import Examination, examine
from node.consensus.history import Historian
from node.consensus.records import BlockRecord, HeaderRecord, height_of
from node.consensus.settling import MODELS_KEPT
from node.consensus.snapshot import decode_snapshot
from node.errors import StoreError
from node.net.protocol import Header
from node.store.base import Delete, Put, Table
from node.store.blobs import read_blob
from node.store.memory import MemoryStore
from node.store.writer import InlineWriter
from node.tasks import TaskOwner
from tests.virtual_time import run_virtual, virtual_time

ERA, BLOCKS = 2, 90


class Past:
    """A network with short eras, and a store with its whole chain."""

    def __init__(self) -> None:
        cast = make_cast(seed=1)
        parameters = replace(cast.network.parameters, era_rounds=ERA)
        self.cast: Cast = replace(cast, network=replace(cast.network, parameters=parameters))
        self.network = self.cast.network
        self.store = MemoryStore()
        run_virtual(fill_chain(self.cast, BLOCKS, 1, self.store))
        self.blocks = BlockStore(self.store, self.network)

    def block(self, block_id: bytes) -> tuple[Header, bytes] | None:
        record = self.blocks.record(block_id)
        if record is None:
            return None
        return open_header(record.row.envelope, self.network.id), record.body

    def examine(self, store: MemoryStore) -> Examination:
        return examine(store, self.network, NasDesigns(self.network.parameters), lambda _: None)


@pytest.fixture(scope="module")
def past() -> Past:
    return Past()


class Peers:
    """Give blocks of a chain, a few at a time and so many in all."""

    def __init__(self, past: Past, at_most: int = BLOCKS) -> None:
        self._past = past
        self.left = at_most
        self.asked: list[bytes] = []

    async def fetch(self, block_id: bytes) -> Sequence[tuple[Header, bytes]]:
        self.asked.append(block_id)
        found = list[tuple[Header, bytes]]()
        while len(found) < min(7, self.left) and (block := self._past.block(block_id)):
            found.append(block)
            block_id = block[0].message.parent
        self.left -= len(found)
        return found


class Life:
    """A node that has started with a store."""

    def __init__(
        self, past: Past, store: MemoryStore, peers: Peers, *, prunes: bool = False
    ) -> None:
        self.alarms: list[SafetyAlarm] = []
        designs, writer = NasDesigns(past.network.parameters), InlineWriter(store)
        self.chain = Chain(
            past.network, designs, store, writer, TaskOwner(), inline, self.alarms.append
        )
        clock = LoopClock(asyncio.get_running_loop())
        self._historian = Historian(
            self.chain, designs, store, writer, peers, clock, inline, prunes=prunes
        )

    async def go_on(self) -> None:
        """Let it do what it can."""
        running = asyncio.ensure_future(self._historian.run())
        await asyncio.wait([running], timeout=60)
        if running.done():
            running.result()
        running.cancel()


async def begin(past: Past) -> MemoryStore:
    """A store that knows the newest snapshot alone."""
    store, snapshot = MemoryStore(), past.blocks.snapshots()[-1]
    data = read_blob(past.store, snapshot.blob) or b""
    chain = Life(past, store, Peers(past)).chain
    await chain.begin_at(*decode_snapshot(data, snapshot.checkpoint, past.network), data)
    return store


def heights(store: MemoryStore) -> list[int]:
    return [height_of(key) for key, _ in store.scan(Table.BLOCKS)]


@virtual_time
async def test_the_history_comes_from_the_top_down_and_is_judged(past: Past) -> None:
    store, peers = await begin(past), Peers(past)
    first = heights(store)[0]
    await Life(past, store, peers).go_on()
    assert peers.asked[0] == past.blocks.ids_at(first - 1)[0]
    assert BlockStore(store, past.network).gap() is None
    top = past.blocks.snapshots()[-1].height
    assert heights(store) == list(range(1, top + 1))
    for table in (Table.BLOCKS, Table.BODIES, Table.HEIGHTS, Table.MOVEMENTS):
        assert dict(store.scan(table)).items() <= dict(past.store.scan(table)).items()
    assert BlockStore(store, past.network).eras(3) == past.blocks.eras(3)
    examination = past.examine(store)
    assert (examination.unjudged, examination.gap, examination.damage) == (0, None, ())


@virtual_time
async def test_what_came_before_a_restart_does_not_come_again(past: Past) -> None:
    store = await begin(past)
    await Life(past, store, Peers(past, at_most=20)).go_on()
    gap = BlockStore(store, past.network).gap()
    assert gap == (heights(store)[0] - 1, past.blocks.ids_at(heights(store)[0] - 1)[0])
    examination = past.examine(store)
    assert (examination.unjudged, examination.gap, examination.damage) == (22, gap, ())
    peers = Peers(past)
    await Life(past, store, peers).go_on()
    assert peers.asked[0] == gap.id
    assert BlockStore(store, past.network).gap() is None


@virtual_time
async def test_blocks_from_before_stay_and_their_rivals_go(past: Past) -> None:
    store, peers = await begin(past), Peers(past)
    blocks = BlockStore(store, past.network)
    for height in (1, 2, 3):
        (block_id,) = past.blocks.ids_at(height)
        record = past.blocks.record(block_id)
        assert record is not None
        store.write(blocks.put_record(height, block_id, record))
    rival = sign(Fallback(9, bytes(32), 0, (), bytes(32), bytes(32)), past.cast.producer, bytes(32))
    for height in (2, 4):
        record = BlockRecord(HeaderRecord.of(rival.envelope), b"")
        store.write(blocks.put_record(height, rival.id, record))
    await Life(past, store, peers).go_on()
    assert blocks.gap() is None
    assert [blocks.ids_at(h) for h in (2, 4)] == [past.blocks.ids_at(h) for h in (2, 4)]
    assert past.blocks.ids_at(3)[0] not in peers.asked


async def with_history(past: Past, *forged: Fallback) -> Life:
    """A node whose checkpoint stands on these blocks, the highest first."""
    store = await begin(past)
    body = encode(Body())
    blocks = BlockStore(store, past.network)
    signed = [sign(each, past.cast.producer, past.network.id) for each in forged]
    for height, header in zip(range(len(forged), 0, -1), signed, strict=True):
        record = BlockRecord(HeaderRecord.of(header.envelope), body)
        store.write(blocks.put_record(height, header.id, record))
    store.write(blocks.put_gap(Gap(len(forged), signed[0].id)))
    return Life(past, store, Peers(past))


@virtual_time
async def test_a_history_that_breaks_a_rule_stops_the_node_for_good(past: Past) -> None:
    body_hash = blob_hash(encode(Body()))
    root = bytes(32)
    life = await with_history(past, Fallback(1, past.network.genesis_id, 0, (), body_hash, root))
    await life.go_on()
    (alarm,) = life.alarms
    assert "history below the checkpoint is not valid" in str(alarm)


@virtual_time
async def test_a_history_of_another_beginning_stops_the_node_for_good(past: Past) -> None:
    life = await with_history(past, Fallback(1, b"x" * 32, 0, (), bytes(32), bytes(32)))
    await life.go_on()
    (alarm,) = life.alarms
    assert "does not begin with the genesis" in str(alarm)


@virtual_time
async def test_a_lost_row_is_for_repair(past: Past) -> None:
    store = await begin(past)
    await Life(past, store, Peers(past)).go_on()
    row = next(key for key, _ in store.scan(Table.BLOCKS) if height_of(key) == 30)
    store.write([Delete(Table.BLOCKS, row)])
    blocks = BlockStore(store, past.network)
    store.write(blocks.put_gap(Gap(0, past.network.genesis_id)))
    with pytest.raises(StoreError, match="try `ponas chain repair`"):
        await Life(past, store, Peers(past)).go_on()
    # What repair writes.
    examination = past.examine(store)
    assert examination.gap == (30, past.blocks.ids_at(30)[0])
    store.write(blocks.put_gap(examination.gap))
    store.write([row for each in examination.damage for row in each.removal()])
    await Life(past, store, Peers(past)).go_on()
    assert blocks.gap() is None
    assert past.examine(store).damage == ()


def copy_of(store: MemoryStore) -> MemoryStore:
    copy = MemoryStore()
    copy.write([Put(table, *row) for table in Table for row in store.scan(table)])
    return copy


@virtual_time
async def test_a_node_that_prunes_keeps_what_is_of_use_and_can_have_the_rest_again(
    past: Past,
) -> None:
    store = copy_of(past.store)
    life = Life(past, store, Peers(past), prunes=True)
    await life.go_on()
    # Models are served for longer than ten of these short eras.
    final = life.chain.final_height
    lowest = final - max(MODELS_KEPT, UNBOND_ERAS * ERA)
    assert heights(store) == list(range(lowest, BLOCKS + 1))
    gap = (lowest - 1, past.blocks.ids_at(lowest - 1)[0])
    assert BlockStore(store, past.network).gap() == gap
    assert life.chain.missing_blocks == lowest - 1
    # It is sound, starts again, serves nothing with a hole, and needs no more.
    examination = past.examine(store)
    assert (examination.gap, examination.damage, examination.blocks) == (
        gap,
        (),
        BLOCKS - lowest + 1,
    )
    peers = Peers(past)
    again = Life(past, store, peers, prunes=True)
    assert again.chain.tree.head().id == life.chain.tree.head().id
    assert again.chain.after([past.network.genesis_id], 10) == []
    assert again.chain.down_from(again.chain.tree.head().id, BLOCKS)
    await again.go_on()
    assert peers.asked == []
    # One that does not prune any more has the rest brought.
    await Life(past, store, peers).go_on()
    assert heights(store) == list(range(1, BLOCKS + 1))
    assert BlockStore(store, past.network).gap() is None


@virtual_time
async def test_no_block_of_the_last_ten_eras_goes(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.consensus.history.MODELS_KEPT", 3)
    store = copy_of(past.store)
    life = Life(past, store, Peers(past), prunes=True)
    await life.go_on()
    assert heights(store)[0] == life.chain.tree.final.round - UNBOND_ERAS * ERA
