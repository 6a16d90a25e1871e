"""The store contract on both backends, and what only a store on disk has to withstand."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rocksdict import Options, Rdict

from node.errors import ExitCode, StoreError
from node.store.base import Change, Delete, Put, Store, Table
from node.store.memory import MemoryStore
from node.store.rocks import SCHEMA_VERSION, RocksStore, open_store
from node.store.writer import InlineWriter, ThreadWriter, Writer
from tests.contracts.store import StoreContract

NETWORK = bytes(range(32))


class TestMemoryStore(StoreContract):
    def new_store(self) -> Store:
        return MemoryStore()


class TestRocksStore(StoreContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "data" / "store"

    def new_store(self) -> Store:
        return open_store(self.path, NETWORK)

    def test_what_was_written_is_there_after_a_restart(self) -> None:
        store = self.new_store()
        store.write([Put(Table.BLOCKS, b"id", b"block"), Put(Table.SIGNED, b"vote", b"7")])
        store.close()
        again = self.new_store()
        assert again.get(Table.BLOCKS, b"id") == b"block"
        assert list(again.scan(Table.SIGNED)) == [(b"vote", b"7")]
        again.close()


_keys = st.binary(max_size=3)
_tables = st.sampled_from([Table.BLOCKS, Table.VOTES])
_changes = st.builds(Put, _tables, _keys, st.binary(max_size=4)) | st.builds(Delete, _tables, _keys)


@settings(max_examples=12, deadline=None)
@given(batches=st.lists(st.lists(_changes, max_size=8), max_size=5), start=_keys)
def test_any_history_reads_the_same_from_disk_and_memory(
    batches: Sequence[Sequence[Change]], start: bytes
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        memory, rocks = MemoryStore(), open_store(Path(folder) / "store", NETWORK)
        for batch in batches:
            memory.write(batch)
            rocks.write(batch)
        for table in Table:
            if table is not Table.META:
                for reverse in (False, True):
                    expected = list(memory.scan(table, start, reverse))
                    assert list(rocks.scan(table, start, reverse)) == expected
        rocks.close()


def test_each_write_is_synced_to_the_disk_before_it_returns(tmp_path: Path) -> None:
    open_store(tmp_path / "store", NETWORK).close()
    options = Options(raw_mode=True)
    options.enable_statistics()
    families = {str(table): Options(raw_mode=True) for table in Table}
    store = RocksStore(Rdict(str(tmp_path / "store"), options, families))
    for height in range(3):
        store.write([Put(Table.BLOCKS, b"%d" % height, b"block")])
    assert "rocksdb.wal.synced COUNT : 3\n" in (options.get_statistics() or "")
    store.close()


_WRITE_AND_DIE = f"""
import os, signal, sys
from pathlib import Path
from node.store.base import Put, Table
from node.store.rocks import open_store
store = open_store(Path(sys.argv[1]), {NETWORK!r})
for height in range(50):
    number = b"%02d" % height
    store.write([Put(Table.BLOCKS, number, b"block"), Put(Table.META, b"tip", number)])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_loses_nothing_it_was_told_is_written(tmp_path: Path) -> None:
    path = tmp_path / "store"
    died = subprocess.run([sys.executable, "-c", _WRITE_AND_DIE, str(path)], check=False)
    assert died.returncode == -signal.SIGKILL
    store = open_store(path, NETWORK)
    assert store.get(Table.META, b"tip") == b"49"
    assert len(list(store.scan(Table.BLOCKS))) == 50
    store.close()


def test_a_torn_last_record_loses_only_what_was_never_acknowledged(tmp_path: Path) -> None:
    path = _store_with_unflushed_writes(tmp_path, count=3)
    log = max(path.glob("*.log"), key=lambda file: file.stat().st_size)
    os.truncate(log, log.stat().st_size - 5)
    store = open_store(path, NETWORK)
    assert [key for key, _ in store.scan(Table.BLOCKS)] == [b"0", b"1"]
    store.close()


def _refusal(path: Path, network_id: bytes = NETWORK) -> str:
    with pytest.raises(StoreError) as caught:
        open_store(path, network_id)
    assert caught.value.exit_code == ExitCode.STORE
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def _contents(path: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def _store_with_unflushed_writes(tmp_path: Path, count: int) -> Path:
    """A store whose last writes are only in RocksDB's write-ahead log, as after a crash."""
    path = tmp_path / "store"
    open_store(path, NETWORK).close()
    code = _WRITE_AND_DIE.replace("range(50)", f"range({count})").replace("%02d", "%d")
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    return path


def test_a_second_node_on_the_same_store_is_told_so(tmp_path: Path) -> None:
    first = open_store(tmp_path / "store", NETWORK)
    code = f"""
from pathlib import Path
from node.errors import StoreError
from node.store.rocks import open_store
try:
    open_store(Path({str(tmp_path / "store")!r}), {NETWORK!r})
except StoreError as error:
    print(error)
"""
    second = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert second.stdout == (
        f"{tmp_path / 'store'} is in use by another node; stop that one first\n"
    )
    first.write([Put(Table.BLOCKS, b"id", b"still mine")])
    first.close()


def test_a_store_of_another_network_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "store"
    open_store(path, NETWORK).close()
    sentence = _refusal(path, network_id=b"\xee" * 32)
    assert f"belongs to the network {NETWORK.hex()}, not to {'ee' * 32}" in sentence
    open_store(path, NETWORK).close()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store = open_store(path, NETWORK)
    newer = SCHEMA_VERSION + 1
    store.write([Put(Table.META, b"schema-version", str(newer).encode())])
    store.close()
    assert f"has schema version {newer}, but this program knows {SCHEMA_VERSION}" in _refusal(path)


def test_a_newer_schema_with_more_tables_is_refused_as_newer(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store = open_store(path, NETWORK)
    store.write([Put(Table.META, b"schema-version", b"9")])
    store.close()
    families = {name: Options(raw_mode=True) for name in Rdict.list_cf(str(path))}
    database = Rdict(str(path), Options(raw_mode=True), families)
    database.create_column_family("tasks", Options(raw_mode=True)).close()
    database.close()
    assert "has schema version 9" in _refusal(path)


def test_a_folder_of_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    before = _contents(tmp_path)
    assert "holds something else than a PoNAS store" in _refusal(tmp_path)
    assert _contents(tmp_path) == before


def test_a_file_in_place_of_the_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store"
    path.write_text("a file")
    assert "holds something else than a PoNAS store" in _refusal(path)
    assert path.read_text() == "a file"


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store"
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    database = Rdict(str(path), options)
    database.put(b"wallet", b"do not touch")
    database.close()
    assert "holds a database of another program" in _refusal(path)
    again = Rdict(str(path), Options(raw_mode=True))
    assert again.get(b"wallet") == b"do not touch"
    again.close()


def test_a_lost_index_file_is_never_taken_for_an_empty_folder(tmp_path: Path) -> None:
    path = _store_with_unflushed_writes(tmp_path, count=3)
    (path / "CURRENT").unlink()
    before = _contents(path)
    assert "holds something else than a PoNAS store" in _refusal(path)
    assert _contents(path) == before


@pytest.mark.parametrize("pattern", ["CURRENT", "MANIFEST-*"])
def test_a_damaged_store_is_refused_and_its_data_left_as_it_is(
    tmp_path: Path, pattern: str
) -> None:
    path = _store_with_unflushed_writes(tmp_path, count=3)
    next(path.glob(pattern)).write_bytes(b"\x17garbage\n" * 20)
    before = _contents(path)
    sentence = _refusal(path)
    assert sentence.startswith(f"the store in {path} is damaged (Corruption: ")
    after = _contents(path)
    assert {name: after.get(name) for name in before if "LOG" not in name} == {
        name: data for name, data in before.items() if "LOG" not in name
    }


def test_a_flipped_bit_amid_acknowledged_writes_is_damage_not_a_silent_loss(
    tmp_path: Path,
) -> None:
    path = _store_with_unflushed_writes(tmp_path, count=20)
    log = max(path.glob("*.log"), key=lambda file: file.stat().st_size)
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 1
    log.write_bytes(data)
    assert "is damaged (Corruption: " in _refusal(path)


def test_a_folder_that_can_not_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "store"
    assert f"can't open or make a store in {path}: File exists" in _refusal(path)


class _SlowStore(MemoryStore):
    """Writes wait until the test lets them go on, as on a busy disk."""

    def __init__(self) -> None:
        super().__init__()
        self.may_write = threading.Event()

    def write(self, changes: Sequence[Change]) -> None:
        self.may_write.wait(timeout=10)
        super().write(changes)


async def test_a_slow_disk_does_not_hold_up_the_event_loop() -> None:
    store = _SlowStore()
    writer = ThreadWriter(store)
    writes = [
        asyncio.ensure_future(writer.write([Put(Table.BLOCKS, b"tip", b"%d" % height)]))
        for height in range(5)
    ]
    for _ in range(3):
        await asyncio.sleep(0)
    assert not any(write.done() for write in writes)
    store.may_write.set()
    await asyncio.gather(*writes)
    assert store.get(Table.BLOCKS, b"tip") == b"4"
    await writer.close()


@pytest.mark.parametrize("make_writer", [ThreadWriter, InlineWriter])
async def test_a_writer_finishes_then_closes_the_store(
    make_writer: Callable[[Store], Writer],
) -> None:
    store = _SlowStore()
    store.may_write.set()
    writer = make_writer(store)
    last = asyncio.ensure_future(writer.write([Put(Table.BLOCKS, b"tip", b"9")]))
    await asyncio.sleep(0)
    await writer.close()
    await last
    with pytest.raises(StoreError, match="closed"):
        store.get(Table.BLOCKS, b"tip")


async def test_a_failed_write_reaches_the_caller() -> None:
    store = MemoryStore()
    store.close()
    writer = ThreadWriter(store)
    with pytest.raises(StoreError, match="closed"):
        await writer.write([Put(Table.BLOCKS, b"tip", b"9")])
    await writer.close()


class _CountingStore(_SlowStore):
    """Counts the batches that reach it."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def write(self, changes: Sequence[Change]) -> None:
        super().write(changes)
        self.batches.append(len(changes))


async def test_writes_that_come_while_the_disk_is_busy_share_one_sync() -> None:
    store = _CountingStore()
    writer = ThreadWriter(store)
    first = asyncio.ensure_future(writer.write([Put(Table.BLOCKS, b"tip", b"0")]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [
        asyncio.ensure_future(writer.write([Put(Table.BLOCKS, b"tip", b"%d" % height)]))
        for height in range(1, 5)
    ]
    given_up = others.pop(1)
    await asyncio.sleep(0)
    given_up.cancel()
    store.may_write.set()
    await asyncio.gather(first, *others)
    assert store.batches == [1, 4]
    assert store.get(Table.BLOCKS, b"tip") == b"4"
    await writer.close()


def test_a_store_of_an_earlier_version_gets_the_tables_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "store"
    open_store(path, NETWORK).close()
    families = {name: Options(raw_mode=True) for name in Rdict.list_cf(str(path))}
    database = Rdict(str(path), Options(raw_mode=True), families)
    database.drop_column_family(str(Table.PEERS))
    database.close()
    store = open_store(path, NETWORK)
    store.write([Put(Table.PEERS, b"known", b"[]")])
    store.close()
    again = open_store(path, NETWORK)
    assert again.get(Table.PEERS, b"known") == b"[]"
    again.close()
