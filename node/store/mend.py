"""A store that the disk has damaged, made readable again with what is left of it."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

from node.errors import DamagedStoreError, StoreError
from node.store.base import Put, Store, Table
from node.store.rocks import open_store, rebuild_index

_ROWS_AT_ONCE = 256


def mend_store(path: Path, network_id: bytes) -> bool:
    """Make the store at `path` readable with the rows that can still be read.

    False if all of it could be read, and nothing was done. The damaged store is left beside it as
    `PATH.damaged`.

    Raises:
        StoreError: it is no store of this network, is in use, or is damaged beyond this.
    """
    aside, new = (path.with_name(f"{path.name}.{what}") for what in ("damaged", "new.mended"))
    try:
        with closing(open_store(path, network_id)) as store:
            if all(_is_sound(store, table) for table in Table):
                return False
        opens = True
    except DamagedStoreError:
        opens = False
    if aside.exists():
        raise StoreError(f"{aside} is still there from an earlier repair; move it away first")
    shutil.rmtree(new, ignore_errors=True)
    if opens:
        # RocksDB's own repair drops a file of rows for one bad bit.
        with (
            closing(open_store(path, network_id)) as damaged,
            closing(open_store(new, network_id)) as sound,
        ):
            for table in Table:
                rows = _readable(damaged, table)
                while some := [Put(table, *row) for row in islice(rows, _ROWS_AT_ONCE)]:
                    sound.write(some)
    else:
        shutil.copytree(path, new)
        rebuild_index(new)
        with closing(open_store(new, network_id)):
            pass
    path.rename(aside)
    new.rename(path)
    return True


def _is_sound(store: Store, table: Table) -> bool:
    try:
        for _ in store.scan(table):
            pass
    except DamagedStoreError:
        return False
    return True


def _readable(store: Store, table: Table) -> Iterator[tuple[bytes, bytes]]:
    """The rows up to the first damage, and those back from the end to the last."""
    for reverse in (False, True):
        try:
            yield from store.scan(table, reverse=reverse)
        except DamagedStoreError:
            continue
        else:
            return
