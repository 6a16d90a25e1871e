"""A damaged data folder: found at start, examined, and repaired without forgetting a signature."""

import gc
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from node.aside import inline
from node.bench.chains import Cast, fill_chain, make_cast
from node.chain.codec import encode
from node.chain.envelope import sign
from node.chain.errors import SafetyAlarm
from node.chain.genesis import network_to_json
from node.chain.hashing import blob_hash, u64
from node.chain.messages import Vote
from node.cli.client import main
from node.consensus.blockstore import BlockStore
from node.consensus.chain import Chain
from node.consensus.designs import NasDesigns
from node.consensus.examination import Examination, examine
from node.consensus.records import height_of, id_of
from node.consensus.signed_before import SignedBefore
from node.errors import StoreError
from node.folder import open_data_folder
from node.store.base import Delete, Put, Store, Table
from node.store.blobs import put_blob
from node.store.memory import MemoryStore
from node.store.rocks import RocksStore, open_store
from node.store.writer import InlineWriter
from node.tasks import TaskOwner

BLOCKS = 8


@pytest.fixture
def cast() -> Cast:
    return make_cast(seed=1)


def fail(alarm: SafetyAlarm) -> None:
    raise alarm


def start(store: Store, cast: Cast) -> Chain:
    """A node's chain, loaded from what a store holds."""
    designs = NasDesigns(cast.network.parameters)
    return Chain(cast.network, designs, store, InlineWriter(store), TaskOwner(), inline, fail)


def judge(store: Store, cast: Cast) -> Examination:
    return examine(store, cast.network, NasDesigns(cast.network.parameters), lambda _: None)


def remove(store: Store, examination: Examination) -> None:
    store.write([row for each in examination.damage for row in each.removal()])


def rows(store: Store, table: Table) -> list[tuple[bytes, bytes]]:
    return list(store.scan(table))


async def test_a_sound_chain_stands_as_it_is(cast: Cast) -> None:
    store = MemoryStore()
    await fill_chain(cast, BLOCKS, 1, store)
    examination = judge(store, cast)
    assert (examination.blocks, examination.damage) == (BLOCKS, ())
    assert examination.final == start(store, cast).tree.final


def spoil_header(store: Store, key: bytes, value: bytes) -> None:
    store.write([Put(Table.BLOCKS, key, value[:40] + bytes([value[40] ^ 1]) + value[41:])])


def spoil_body(store: Store, key: bytes, _: bytes) -> None:
    body = store.get(Table.BODIES, key) or b""
    store.write([Put(Table.BODIES, key, body[:-40] + bytes([body[-40] ^ 1]) + body[-39:])])


def lose_body(store: Store, key: bytes, _: bytes) -> None:
    store.write([Delete(Table.BODIES, key)])


def cut_off(store: Store, key: bytes, value: bytes) -> None:
    store.write([Put(Table.BLOCKS, key, value[:-9])])


def lose(store: Store, key: bytes, _: bytes) -> None:
    store.write([Delete(Table.BLOCKS, key)])


@pytest.mark.parametrize("spoil", [spoil_header, spoil_body, lose_body, cut_off, lose])
async def test_a_damaged_block_is_found_and_goes_with_those_above_it(
    cast: Cast, spoil: Callable[[Store, bytes, bytes], None]
) -> None:
    store = MemoryStore()
    await fill_chain(cast, BLOCKS, 1, store)
    spoil(store, *rows(store, Table.BLOCKS)[4])
    examination = judge(store, cast)
    assert examination.blocks == 4
    assert examination.damage
    assert {each.table for each in examination.damage} <= {
        Table.BLOCKS,
        Table.BODIES,
        Table.HEIGHTS,
    }
    remove(store, examination)
    for table in (Table.BLOCKS, Table.BODIES):
        assert [height_of(key) for key, _ in rows(store, table)] == [1, 2, 3, 4]
    assert not judge(store, cast).damage
    assert start(store, cast).tree.head().state.height == 4


async def test_a_damaged_block_keeps_a_node_from_starting(cast: Cast) -> None:
    store = MemoryStore()
    await fill_chain(cast, BLOCKS, 1, store)
    spoil_body(store, *rows(store, Table.BLOCKS)[4])
    with pytest.raises(StoreError, match=r"damaged: .*; `ponas chain repair` removes"):
        start(store, cast)


@pytest.mark.parametrize("has_its_id", [True, False])
async def test_a_block_that_is_missing_keeps_a_node_from_starting(
    cast: Cast, has_its_id: bool
) -> None:
    """Else it would go on from the block below, beside what it has voted for."""
    store = MemoryStore()
    await fill_chain(cast, BLOCKS, 1, store)
    key, record = rows(store, Table.BLOCKS)[4]
    lose(store, key, record)
    if not has_its_id:
        store.write([Delete(Table.HEIGHTS, id_of(key))])
    with pytest.raises(StoreError, match="the block below that of height 6 is lost"):
        start(store, cast)


async def add_rival(store: Store, cast: Cast, height: int) -> None:
    """Put a block of another chain beside the one of a height."""
    other = MemoryStore()
    await fill_chain(cast, BLOCKS, 2, other)
    key, row = rows(other, Table.BLOCKS)[height - 1]
    assert key not in dict(rows(store, Table.BLOCKS))
    body = Put(Table.BODIES, key, other.get(Table.BODIES, key) or b"")
    store.write(
        [Put(Table.BLOCKS, key, row), body, Put(Table.HEIGHTS, id_of(key), u64(height_of(key)))]
    )


async def test_a_missing_block_is_missed_beside_a_competitor(cast: Cast) -> None:
    store = MemoryStore()
    await fill_chain(cast, BLOCKS, 1, store)
    lose(store, *rows(store, Table.BLOCKS)[4])
    await add_rival(store, cast, 5)
    with pytest.raises(StoreError, match="the block below that of height 6 is lost"):
        start(store, cast)
    remove(store, judge(store, cast))
    chain = start(store, cast)
    assert chain.tree.head().state.height == 4
    # What builds on it lies there still, and is taken again from peers.
    assert not any(chain.has(id_of(key)) for key, _ in rows(store, Table.BLOCKS)[4:])


async def test_a_branch_that_lost_its_beginning_to_a_final_block_is_no_damage(cast: Cast) -> None:
    store = MemoryStore()
    await fill_chain(cast, BLOCKS, 1, store)
    await add_rival(store, cast, 6)
    assert start(store, cast).tree.head().state.height == BLOCKS
    assert judge(store, cast).damage == ()


async def test_the_newest_block_comes_again_if_it_was_lost(cast: Cast) -> None:
    store = MemoryStore()
    last = await fill_chain(cast, BLOCKS, 1, store)
    chain = start(store, cast)
    (block,) = [entry.block for entry in chain.tree.chain(last) if entry.id == last]
    assert block is not None
    lose(store, *rows(store, Table.BLOCKS)[-1])
    chain = start(store, cast)
    assert (chain.tree.head().state.height, chain.has(last)) == (BLOCKS - 1, False)
    await chain.follow([block])
    assert (chain.tree.head().id, chain.has(last)) == (last, True)


@pytest.mark.parametrize("spoil", [spoil_header, spoil_body, cut_off])
async def test_bytes_that_a_disk_has_spoilt_are_served_to_nobody(
    cast: Cast, spoil: Callable[[Store, bytes, bytes], None]
) -> None:
    """Blocks far below the final one are not read at start."""
    store = MemoryStore()
    last = await fill_chain(cast, BLOCKS, 1, store)
    chain = start(store, cast)
    key, record = rows(store, Table.BLOCKS)[4]
    assert chain.body(id_of(key)) is not None
    spoil(store, key, record)
    with capture_logs() as logs:
        is_header = spoil is not spoil_body
        served = (chain.after([cast.network.genesis_id], BLOCKS), chain.down_from(last, BLOCKS))
        assert [len(each) for each in served] == ([4, BLOCKS - 5] if is_header else [BLOCKS] * 2)
        assert chain.body(id_of(key)) is None
    assert {each["event"] for each in logs} == {"block_damaged"}


@pytest.mark.parametrize("table", [Table.VOTES, Table.BLOBS])
async def test_a_damaged_vote_or_model_goes_alone(cast: Cast, table: Table) -> None:
    store = MemoryStore()
    await fill_chain(cast, BLOCKS, 1, store)
    before = rows(store, table)
    store.write([Put(table, b"\xff" * 40, b"nonsense")])
    examination = judge(store, cast)
    assert [(each.table, each.key) for each in examination.damage] == [(table, b"\xff" * 40)]
    remove(store, examination)
    assert rows(store, table) == before
    assert examination.blocks == BLOCKS


def no_length(store: Store, name: bytes) -> None:
    store.write([Delete(Table.BLOBS, name)])


def no_part(store: Store, name: bytes) -> None:
    store.write([Delete(Table.BLOB_PARTS, key) for key, _ in rows(store, Table.BLOB_PARTS)])


def other_part(store: Store, name: bytes) -> None:
    store.write([Put(Table.BLOB_PARTS, key, b"x") for key, _ in rows(store, Table.BLOB_PARTS)])


@pytest.mark.parametrize("spoil", [no_length, no_part, other_part])
async def test_a_damaged_blob_goes_with_all_its_rows(
    cast: Cast, spoil: Callable[[Store, bytes], None]
) -> None:
    store = MemoryStore()
    await fill_chain(cast, BLOCKS, 1, store)
    assert rows(store, Table.BLOBS) == []
    store.write(put_blob(b"a model"))
    assert not judge(store, cast).damage
    spoil(store, blob_hash(b"a model"))
    examination = judge(store, cast)
    assert {each.table for each in examination.damage} <= {Table.BLOBS, Table.BLOB_PARTS}
    remove(store, examination)
    assert rows(store, Table.BLOBS) + rows(store, Table.BLOB_PARTS) == []


@pytest.mark.parametrize(
    "wrong", [{"source": bytes(32)}, {"round": BLOCKS - 1}], ids=["source", "round"]
)
async def test_a_vote_that_was_wrongly_signed_is_no_damage(
    cast: Cast, wrong: dict[str, Any]
) -> None:
    """It may have been kept before its target came."""
    store = MemoryStore()
    last = await fill_chain(cast, BLOCKS, 1, store)
    before = start(store, cast).tree
    source = before.source_for(last)
    vote = replace(Vote(source.round, source.id, BLOCKS, last, b"", b""), **wrong)
    signed = sign(vote, cast.attesters[0], cast.network.id)
    store.write([Put(Table.VOTES, u64(vote.round) + signed.id, encode(signed.envelope))])
    after = start(store, cast).tree
    assert (after.final, after.votes()) == (before.final, before.votes())
    assert judge(store, cast).damage == ()


@pytest.fixture
def folder(tmp_path: Path, cast: Cast) -> Path:
    """A data folder's parent, with the network's file beside it."""
    (tmp_path / "network.json").write_text(network_to_json(cast.network))
    return tmp_path


def opened(folder: Path, cast: Cast) -> RocksStore:
    return open_store(open_data_folder(folder / "node").store, cast.network.id)


class Answer(NamedTuple):
    exit_code: int
    output: str


def ponas(command: str, folder: Path) -> Answer:
    """What `ponas chain` answers."""
    options = ["--data-dir", str(folder / "node"), "--network", str(folder / "network.json")]
    done = CliRunner().invoke(main, ["chain", command, *options, "--json"])
    answer = Answer(done.exit_code, done.output)
    # What an error still holds of the store ends with the program, which goes on here.
    del done
    gc.collect()
    return answer


async def fill(folder: Path, cast: Cast) -> None:
    """Blocks, what was signed, and a row of a pool, in files of RocksDB's."""
    with closing(opened(folder, cast)) as store:
        await fill_chain(cast, BLOCKS, 1, store)
        signed = u64(BLOCKS - 1) + u64(BLOCKS)
        store.write(
            [
                Put(Table.SIGNED, b"list", u64(BLOCKS)),
                Put(Table.SIGNED, b"vote", signed),
                Put(Table.POOL_EVENTS, b"1", b"paid"),
            ]
        )
    # Opened again, RocksDB moves what was written from its log into files of rows.
    opened(folder, cast).close()


def flip_a_bit_of_the_largest(folder: Path, pattern: str) -> None:
    path = max((folder / "node" / "store").glob(pattern), key=lambda file: file.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


async def test_a_sound_folder_is_left_as_it_is(folder: Path, cast: Cast) -> None:
    await fill(folder, cast)
    for command in ("verify", "repair"):
        done = ponas(command, folder)
        assert done.exit_code == 0, done.output
        report = json.loads(done.output)
        assert (report["blocks"], report["damage"]) == (BLOCKS, [])
        assert report["final_round"] == BLOCKS - 1
    assert not (folder / "node" / "store.damaged").exists()


def lose_the_largest(folder: Path, pattern: str) -> None:
    max((folder / "node" / "store").glob(pattern), key=lambda file: file.stat().st_size).unlink()


@pytest.mark.parametrize("spoil", [flip_a_bit_of_the_largest, lose_the_largest])
async def test_rows_that_the_disk_has_lost_are_found_and_the_rest_saved(
    folder: Path, cast: Cast, spoil: Callable[[Path, str], None]
) -> None:
    await fill(folder, cast)
    spoil(folder, "*.sst")
    found = ponas("verify", folder)
    assert found.exit_code == 1
    assert "Error: the store" in found.output
    mended = ponas("repair", folder)
    assert mended.exit_code == 0, mended.output
    assert json.loads(mended.output)["lost_rows"]
    assert (folder / "node" / "store.damaged").is_dir()
    assert ponas("verify", folder).exit_code == 0
    with closing(opened(folder, cast)) as store:
        assert start(store, cast).tree.head().state.height < BLOCKS
        assert store.get(Table.POOL_EVENTS, b"1") == b"paid"
        # It may have forgotten what it signed: nothing up to the round of now, by the clock.
        signed = SignedBefore(store, InlineWriter(store))
        assert not await signed.allows_list(BLOCKS + 1)
    assert "still there from an earlier repair" in _damaged_again(folder)


def _damaged_again(folder: Path) -> str:
    flip_a_bit_of_the_largest(folder, "*.sst")
    return ponas("repair", folder).output


async def test_a_row_that_can_be_read_but_is_wrong_costs_no_right_to_sign(
    folder: Path, cast: Cast
) -> None:
    await fill(folder, cast)
    with closing(opened(folder, cast)) as store:
        spoil_body(store, *rows(store, Table.BLOCKS)[4])
    assert ponas("verify", folder).exit_code == 1
    assert ponas("repair", folder).exit_code == 0
    with closing(opened(folder, cast)) as store:
        assert await SignedBefore(store, InlineWriter(store)).allows_list(BLOCKS + 1)
        assert not await SignedBefore(store, InlineWriter(store)).allows_list(BLOCKS)


def test_a_folder_without_a_store_is_told(folder: Path) -> None:
    (folder / "node").mkdir()
    assert ponas("verify", folder).exit_code == 0


async def test_old_blocks_that_are_missing_are_told_and_remembered(tmp_path: Path) -> None:
    cast = make_cast(seed=1)
    parameters = replace(cast.network.parameters, era_rounds=3)
    cast = replace(cast, network=replace(cast.network, parameters=parameters))
    (tmp_path / "network.json").write_text(network_to_json(cast.network))
    await fill(tmp_path, cast)
    with closing(opened(tmp_path, cast)) as store:
        blocks = BlockStore(store, cast.network)
        lowest = blocks.snapshots()[-1].height - 2
        (missing,) = blocks.ids_at(lowest - 1)
        store.write(
            [each for h in range(1, lowest) for i in blocks.ids_at(h) for each in blocks.drop(h, i)]
        )
    for command in ("verify", "repair"):
        done = ponas(command, tmp_path)
        assert done.exit_code == 0, done.output
        report = json.loads(done.output)
        assert (report["blocks"], report["unjudged"]) == (BLOCKS - lowest + 1, 3)
        assert report["damage"] == []
    with closing(opened(tmp_path, cast)) as store:
        assert BlockStore(store, cast.network).gap() == (lowest - 1, missing)
