"""Starting from a state instead of from genesis: what a snapshot has to be, that it is enough."""

import asyncio
import contextlib
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from node.aside import inline
from node.bench.chains import Cast, fill_chain, make_cast
from node.chain.block import open_block
from node.chain.branches import Entry
from node.chain.envelope import sign
from node.chain.errors import SafetyAlarm
from node.chain.genesis import Network, first_bonds
from node.chain.hashing import blob_hash
from node.chain.messages import MAX_ATTESTERS, Fallback
from node.chain.params import DEVNET
from node.chain.state import Account, Ancestor, Checkpoint, compute_root, genesis_state
from node.chain.table import Table as StateTable
from node.consensus.blockstore import SNAPSHOTS_KEPT
from node.consensus.chain import Chain
from node.consensus.designs import NasDesigns
from node.consensus.snapshot import SnapshotError, decode_snapshot, encode_snapshot
from node.store.base import Delete, Store, Table
from node.store.memory import MemoryStore
from node.store.writer import InlineWriter
from node.tasks import TaskOwner

ERA, BLOCKS = 4, 22


@pytest.fixture(scope="module")
def cast() -> Cast:
    """Everybody in a network with short eras."""
    cast = make_cast(seed=1)
    parameters = replace(cast.network.parameters, era_rounds=ERA)
    return replace(cast, network=replace(cast.network, parameters=parameters))


def fail(alarm: SafetyAlarm) -> None:
    raise alarm


def start(store: Store, cast: Cast) -> Chain:
    designs = NasDesigns(cast.network.parameters)
    return Chain(cast.network, designs, store, InlineWriter(store), TaskOwner(), inline, fail)


async def filled(cast: Cast) -> MemoryStore:
    store = MemoryStore()
    await fill_chain(cast, BLOCKS, 1, store)
    return store


async def from_genesis(cast: Cast) -> Chain:
    """A chain that has all of its blocks in memory."""
    store = await filled(cast)
    store.write([Delete(Table.SNAPSHOTS, key) for key, _ in store.scan(Table.SNAPSHOTS)])
    return start(store, cast)


def snapshot_of(chain: Chain, round_number: int) -> tuple[Checkpoint, bytes]:
    entry = chain.tree.ancestor(chain.tree.head().id, round_number)
    assert entry.parent is not None
    return entry.checkpoint, encode_snapshot(chain.tree.entry(entry.parent), entry)


async def test_a_node_goes_on_from_a_snapshot_to_the_same_state(cast: Cast) -> None:
    whole = await from_genesis(cast)
    checkpoint, data = snapshot_of(whole, BLOCKS - 6)
    fresh = start(MemoryStore(), cast)
    await fresh.begin_at(*decode_snapshot(data, checkpoint, cast.network), data)
    assert fresh.tree.final == checkpoint
    for height in range(checkpoint.round + 1, BLOCKS + 1):
        block = whole.block(whole.id_at(height) or b"")
        assert block is not None
        await fresh.adopt(block, fresh.apply(block))
    assert fresh.tree.head().id == whole.tree.head().id
    assert compute_root(fresh.tree.head().state) == compute_root(whole.tree.head().state)
    # Votes in the bodies that it has seen make the same blocks final.
    assert fresh.tree.final.round == BLOCKS - 2
    # What is below is not here, and is not served with a gap.
    assert fresh.id_at(checkpoint.round - 3) is None
    assert fresh.after([cast.network.genesis_id], 10) == []
    assert len(fresh.after([checkpoint.id], 10)) == BLOCKS - checkpoint.round


async def test_a_restart_needs_no_block_before_the_newest_snapshot(cast: Cast) -> None:
    store = await filled(cast)
    before = start(store, cast)
    *_, newest = before.snapshots()
    assert len(before.snapshots()) == SNAPSHOTS_KEPT
    assert newest.height % ERA == 0
    old = [key for key, _ in store.scan(Table.BLOCKS) if int.from_bytes(key[:8], "big") < 10]
    store.write([Delete(Table.BLOCKS, key) for key in old])
    again = start(store, cast)
    assert again.tree.head().id == before.tree.head().id
    assert compute_root(again.tree.head().state) == compute_root(before.tree.head().state)
    assert again.tree.final == before.tree.final


async def test_every_height_is_found_after_a_restart(cast: Cast) -> None:
    store = await filled(cast)
    again = start(store, cast)
    ids = [again.id_at(height) for height in range(BLOCKS + 1)]
    assert ids[0] == cast.network.genesis_id
    assert [again.height(block_id or b"") for block_id in ids] == list(range(BLOCKS + 1))
    for height, block_id in enumerate(ids[1:], start=1):
        block = again.block(block_id or b"")
        assert block is not None
        assert block.round == height
    assert len(again.after([cast.network.genesis_id], BLOCKS + 5)) == BLOCKS


Spoil = Callable[[dict[str, Any]], None]


def change_head(row: dict[str, Any], change: Callable[[dict[str, Any]], None]) -> None:
    head = msgspec.msgpack.decode(row["head"])
    change(head)
    row["head"] = msgspec.msgpack.encode(head)


def other_balance(snapshot: dict[str, Any]) -> None:
    accounts = bytearray(snapshot["block"]["tables"][0])
    # Behind key, length and tag.
    accounts[32 + 4 + 1] ^= 1
    snapshot["block"]["tables"][0] = bytes(accounts)


def swapped_rows(snapshot: dict[str, Any]) -> None:
    accounts = snapshot["block"]["tables"][0]
    first, second = islice(rows_of(accounts, 32), 2)
    rest = accounts[len(first) + len(second) :]
    snapshot["block"]["tables"][0] = second + first + rest


def row_twice(snapshot: dict[str, Any]) -> None:
    accounts = snapshot["block"]["tables"][0]
    snapshot["block"]["tables"][0] = next(rows_of(accounts, 32)) + accounts


def row_cut_off(snapshot: dict[str, Any]) -> None:
    snapshot["block"]["tables"][1] = snapshot["block"]["tables"][1][:-1]


def key_alone(snapshot: dict[str, Any]) -> None:
    snapshot["block"]["tables"][0] += bytes(31)


def table_left_out(snapshot: dict[str, Any]) -> None:
    snapshot["block"]["tables"].pop()


def large_head(snapshot: dict[str, Any]) -> None:
    change_head(snapshot["block"], lambda head: head.update(more=bytes(2**16)))


def deep_head(snapshot: dict[str, Any]) -> None:
    snapshot["block"]["head"] = b"\x81\xa4more" + b"\x91" * 60_000


def other_parent_state(snapshot: dict[str, Any]) -> None:
    change_head(snapshot["parent"], lambda head: head.update(issued=head["issued"] + 1))


def other_beacon(snapshot: dict[str, Any]) -> None:
    change_head(snapshot["block"], lambda head: head.update(beacon=bytes(32)))


def other_era_rounds(snapshot: dict[str, Any]) -> None:
    change_head(snapshot["block"], lambda head: head["eras"].update(rounds=0))


def shifted_ids(snapshot: dict[str, Any]) -> None:
    """The same bytes one after the other, but read as other ids."""
    change_head(snapshot["block"], lambda head: shift_ids(head["ancestors"][0]))


def shift_ids(ancestor: dict[str, Any]) -> None:
    (number, block), (source_number, source) = ancestor["block"], ancestor["source"]
    source_bytes = source_number.to_bytes(8, "big") + source
    ancestor["block"] = [number, block[:24]]
    ancestor["source"] = [int.from_bytes(block[24:], "big"), source_bytes]


def negative_round(snapshot: dict[str, Any]) -> None:
    change_head(snapshot["block"], lambda head: head.update(round=-1))


def no_header(snapshot: dict[str, Any]) -> None:
    snapshot["parent"]["header"] = b""


def parent_twice(snapshot: dict[str, Any]) -> None:
    snapshot["parent"] = snapshot["block"]


def rows_of(table: bytes, key_bytes: int) -> Iterator[bytes]:
    while table:
        end = key_bytes + 4 + int.from_bytes(table[key_bytes : key_bytes + 4], "big")
        yield table[:end]
        table = table[end:]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (other_balance, "not the one its header names"),
        (swapped_rows, "not after the one before it"),
        (row_twice, "not after the one before it"),
        (row_cut_off, "a row of bonds is cut off"),
        (key_alone, "a row of accounts is cut off"),
        (table_left_out, "this is no snapshot"),
        (large_head, "beside its tables a state has at most"),
        (deep_head, "this is no snapshot"),
        (other_parent_state, "not the one its header names"),
        (other_beacon, "not the one its header names"),
        (other_era_rounds, "not the one its header names"),
        (shifted_ids, "not the one its header names"),
        (negative_round, "this is no snapshot"),
        (no_header, "do not follow each other"),
        (parent_twice, "do not follow each other"),
    ],
)
async def test_a_changed_snapshot_is_refused(cast: Cast, spoil: Spoil, words: str) -> None:
    checkpoint, data = snapshot_of(await from_genesis(cast), BLOCKS - 6)
    snapshot = msgspec.msgpack.decode(data)
    assert decode_snapshot(msgspec.msgpack.encode(snapshot), checkpoint, cast.network)
    spoil(snapshot)
    with pytest.raises(SnapshotError, match=words):
        decode_snapshot(msgspec.msgpack.encode(snapshot), checkpoint, cast.network)


async def test_a_snapshot_with_another_genesis_is_refused(cast: Cast) -> None:
    chain = await from_genesis(cast)
    checkpoint, data = snapshot_of(chain, 1)
    snapshot = msgspec.msgpack.decode(data)
    snapshot["parent"]["tables"][0] = b""
    with pytest.raises(SnapshotError, match="another genesis"):
        decode_snapshot(msgspec.msgpack.encode(snapshot), checkpoint, cast.network)


@pytest.fixture(scope="module")
def genuine(cast: Cast) -> tuple[Checkpoint, bytes]:
    """A snapshot, and of which block it is."""
    return snapshot_of(asyncio.run(from_genesis(cast)), BLOCKS - 6)


@given(data=st.binary(max_size=300))
def test_random_bytes_are_refused(cast: Cast, data: bytes) -> None:
    with pytest.raises(SnapshotError):
        decode_snapshot(data, Checkpoint(1, bytes(32)), cast.network)


@settings(max_examples=60)
@given(data=st.data())
def test_changed_bytes_are_refused_or_the_same_state(
    cast: Cast, genuine: tuple[Checkpoint, bytes], data: st.DataObject
) -> None:
    checkpoint, sound = genuine
    start = data.draw(st.integers(0, len(sound)))
    end = data.draw(st.integers(start, min(start + 40, len(sound))))
    changed = sound[:start] + data.draw(st.binary(max_size=40)) + sound[end:]
    with contextlib.suppress(SnapshotError):
        (_, entry), (_, known) = (
            decode_snapshot(each, checkpoint, cast.network) for each in (changed, sound)
        )
        assert entry.id == known.id
        assert compute_root(entry.state) == compute_root(known.state)


def hostile_rows(snapshot: dict[str, Any]) -> None:
    """As many rows as there is place for, in the order in which they are due."""
    keys = [number.to_bytes(32, "big") for number in range(10_000)]
    table = StateTable((key, Account()) for key in keys)
    snapshot["parent"]["tables"][0] = b"".join(key + bytes(4) for key, _ in table.items())


def hostile_tables(snapshot: dict[str, Any]) -> None:
    snapshot["parent"]["tables"] = [b""] * 180_000


def hostile_names(snapshot: dict[str, Any]) -> None:
    snapshot["more"] = [[]] * 360_000


@pytest.mark.parametrize("spoil", [hostile_rows, hostile_tables, hostile_names])
def test_hostile_bytes_take_little_more_memory_than_they_are(
    cast: Cast, genuine: tuple[Checkpoint, bytes], spoil: Spoil
) -> None:
    checkpoint, sound = genuine
    snapshot = msgspec.msgpack.decode(sound)
    spoil(snapshot)
    if spoil is hostile_names:
        # What has another name is passed over, so the rest has to be wrong.
        parent_twice(snapshot)
    data = msgspec.msgpack.encode(snapshot)
    del snapshot
    assert len(data) > 350_000
    # What is made only once, at the first use.
    with contextlib.suppress(SnapshotError):
        decode_snapshot(data, checkpoint, cast.network)
    tracemalloc.start()
    try:
        with pytest.raises(SnapshotError):
            decode_snapshot(data, checkpoint, cast.network)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < len(data) + 2**18


def test_the_votes_of_a_full_era_fit_a_snapshot() -> None:
    keys = [number.to_bytes(32, "big") for number in range(MAX_ATTESTERS)]
    bonds = first_bonds(DEVNET, dict.fromkeys(keys, 1), {})
    network = Network(DEVNET, genesis_time_ms=0, bonds=bonds, accounts=())
    genesis = Entry(network.genesis_id, genesis_state(network), None, None)
    eras = genesis.state.eras
    for key in keys:
        eras = eras.note_vote(key)
    ancestor = Ancestor(genesis.checkpoint, genesis.checkpoint, eras.seen)
    state = replace(genesis.state, round=1, eras=eras, ancestors=(ancestor,))
    header = Fallback(1, network.genesis_id, 0, (), blob_hash(b""), compute_root(state))
    envelope = sign(header, SigningKey(bytes(32)), network.id).envelope
    block = open_block(envelope, b"", network.id)
    entry = Entry(block.id, state, genesis.id, block)
    data = encode_snapshot(genesis, entry)
    _, decoded = decode_snapshot(data, entry.checkpoint, network)
    assert decoded.state.eras == eras
    assert decoded.state.ancestors == (ancestor,)
    assert decoded.state.eras.absentees() == []


async def test_a_snapshot_of_another_block_is_refused(cast: Cast) -> None:
    chain = await from_genesis(cast)
    checkpoint, _ = snapshot_of(chain, BLOCKS - 6)
    _, other = snapshot_of(chain, BLOCKS - 7)
    with pytest.raises(SnapshotError, match="another block"):
        decode_snapshot(other, checkpoint, cast.network)


@pytest.mark.parametrize("data", [b"", b"\xc0", b"\x93" * 300_000, b"\x81\xa6parent\x90"])
def test_bytes_that_are_no_snapshot_are_refused(cast: Cast, data: bytes) -> None:
    with pytest.raises(SnapshotError, match="this is no snapshot"):
        decode_snapshot(data, Checkpoint(1, bytes(32)), cast.network)
