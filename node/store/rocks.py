"""The store on disk: RocksDB, one column family per table, synced write batches.

A store belongs to one network and one schema version, both written in the META table when the
store is made. Opening checks both, and changes nothing in a store that it refuses.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from rocksdict import (
    DbClosedError,
    DBRecoveryMode,
    Options,
    Rdict,
    RdictIter,
    WriteBatch,
    WriteOptions,
)

from node.errors import DamagedStoreError, StoreError
from node.files import sync_folder
from node.store.base import Change, Put, Table

SCHEMA_VERSION = 1
_SCHEMA_KEY = b"schema-version"
_NETWORK_KEY = b"network-id"

T = TypeVar("T")


class RocksStore:
    """`Store` over an open RocksDB; made by `open_store`."""

    def __init__(self, database: Rdict) -> None:
        self._database = database
        self._families = {table: database.get_column_family(table) for table in Table}
        self._handles = {table: database.get_column_family_handle(table) for table in Table}
        self._synced = WriteOptions()
        self._synced.sync = True
        self._is_closed = False

    def get(self, table: Table, key: bytes) -> bytes | None:
        value: bytes | None = _guarded(lambda: self._families[table].get(key))
        return value

    def scan(
        self, table: Table, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        # RocksDB iterators read a snapshot taken here, when they are made.
        iterator = _guarded(lambda: self._families[table].iter())
        if start is None:
            _guarded(iterator.seek_to_last if reverse else iterator.seek_to_first)
        else:
            seek = iterator.seek_for_prev if reverse else iterator.seek
            _guarded(lambda: seek(start))
        return _rows(iterator, iterator.prev if reverse else iterator.next)

    def write(self, changes: Sequence[Change]) -> None:
        if self._is_closed:
            raise StoreError("the store is closed")
        batch = WriteBatch(raw_mode=True)
        for change in changes:
            if isinstance(change, Put):
                batch.put(change.key, change.value, self._handles[change.table])
            else:
                batch.delete(change.key, self._handles[change.table])
        _guarded(lambda: self._database.write(batch, self._synced))

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            # RocksDB stays open, and locked, while any handle to it lives.
            self._handles.clear()
            for family in self._families.values():
                family.close()
            self._database.close()


def _rows(iterator: RdictIter, step: Callable[[], None]) -> Iterator[tuple[bytes, bytes]]:
    while iterator.valid():
        yield iterator.key(), iterator.value()
        step()
    # It ends at damage as it does at the last row; only the status tells one from the other.
    _guarded(iterator.status)


def open_store(path: Path, network_id: bytes) -> RocksStore:
    """Open the store in the folder `path`, or make it there if there is none or an empty one.

    Raises:
        StoreError: the folder holds something else, another network's store or a newer schema's;
            it is damaged, in use by another process, or can't be read or written.
    """
    try:
        if not path.exists() or _is_empty_folder(path):
            _create(path, network_id)
        # Every RocksDB has this file; without it, RocksDB would start anew over what is there.
        if not (path / "CURRENT").is_file():
            raise StoreError(
                f"{path} holds something else than a PoNAS store; it was left as it is"
            )
    except OSError as error:
        raise StoreError(f"can't open or make a store in {path}: {error.strerror}") from error
    database = _open(path)
    try:
        _check_belongs(path, database, network_id)
        _add_missing_tables(path, database)
        return RocksStore(database)
    except BaseException:
        database.close()
        raise


def rebuild_index(path: Path) -> None:
    """Have RocksDB find out anew which of its files can be read; rows in the others are lost."""
    _guarded(lambda: Rdict.repair(str(path), _options()))


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and next(path.iterdir(), None) is None


def _create(path: Path, network_id: bytes) -> None:
    """Make a complete store beside `path`, then move it there: no crash leaves half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f"{path.name}.new.", dir=path.parent))
    try:
        options = _options()
        options.create_if_missing(True)
        options.create_missing_column_families(True)
        families = {str(table): _options() for table in Table}
        store = RocksStore(_guarded(lambda: Rdict(str(new), options, families)))
        store.write(
            [
                Put(Table.META, _SCHEMA_KEY, str(SCHEMA_VERSION).encode()),
                Put(Table.META, _NETWORK_KEY, network_id),
            ]
        )
        store.close()
        # Fails if another process was faster; then its store stands, and opening says so.
        new.rename(path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _open(path: Path) -> Rdict:
    try:
        # As listed, since a newer schema may have more tables than this version knows.
        families = Rdict.list_cf(str(path), _options())
        return Rdict(str(path), _options(), {name: _options() for name in families})
    except Exception as error:  # rocksdict raises bare Exception; the text is all there is
        if "/LOCK" in str(error):
            raise StoreError(f"{path} is in use by another node; stop that one first") from error
        raise DamagedStoreError(
            f"the store in {path} is damaged ({_one_line(error)}); it was left as it is: "
            "restore it from a backup, or let `ponas chain repair` save what can be read"
        ) from error


def _check_belongs(path: Path, database: Rdict, network_id: bytes) -> None:
    schema, found_id = _read_meta(path, database)
    if schema is None or not schema.isdigit() or found_id is None:
        raise StoreError(f"{path} holds a database of another program; it was left as it is")
    if int(schema) > SCHEMA_VERSION:
        raise StoreError(
            f"the store in {path} has schema version {int(schema)}, but this program knows "
            f"{SCHEMA_VERSION} at most; install a newer PoNAS"
        )
    if found_id != network_id:
        raise StoreError(
            f"the store in {path} belongs to the network {found_id.hex()}, not to "
            f"{network_id.hex()}; choose another --data-dir or --network"
        )


def _add_missing_tables(path: Path, database: Rdict) -> None:
    """Tables that the version which made the store did not know yet; it may open it again."""
    present = Rdict.list_cf(str(path), _options())
    for name in (str(table) for table in Table if table not in present):
        _guarded(partial(database.create_column_family, name, _options())).close()


def _read_meta(path: Path, database: Rdict) -> tuple[bytes | None, bytes | None]:
    """Schema version and network id; None where the database has no such table or key."""
    if Table.META not in Rdict.list_cf(str(path), _options()):
        return None, None
    meta = database.get_column_family(Table.META)
    try:
        return _guarded(lambda: meta.get(_SCHEMA_KEY)), _guarded(lambda: meta.get(_NETWORK_KEY))
    finally:
        meta.close()


def _options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(False)
    # A torn last record was never acknowledged; damage elsewhere must stop us, not lose writes.
    options.set_wal_recovery_mode(DBRecoveryMode.tolerate_corrupted_tail_records())
    options.set_keep_log_file_num(4)
    return options


def _guarded(call: Callable[[], T]) -> T:
    """Run a RocksDB call and turn its bare exceptions into `StoreError`."""
    try:
        return call()
    except DbClosedError as error:
        raise StoreError("the store is closed") from error
    except Exception as error:
        # rocksdict raises bare Exception; the text is all there is
        if "Corruption" in str(error):
            raise DamagedStoreError(
                f"the store is damaged ({_one_line(error)}); "
                "`ponas chain repair` saves what can be read"
            ) from error
        raise StoreError(f"the store failed: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
