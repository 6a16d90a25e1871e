"""Blobs in rows: any part of one, without the rest."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.chain.hashing import blob_hash
from node.store.base import Delete, Put, Table
from node.store.blobs import (
    PART_BYTES,
    delete_blob,
    has_blob,
    part_of,
    put_blob,
    read_blob,
    read_part,
)
from node.store.memory import MemoryStore

LENGTHS = (0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES, 3 * PART_BYTES + 7)
BLOBS = {length: random.Random(length).randbytes(length) for length in LENGTHS}
LONGEST = BLOBS[LENGTHS[-1]]


class CountingStore(MemoryStore):
    """Counts the bytes that are read."""

    read_bytes = 0

    def get(self, table: Table, key: bytes) -> bytes | None:
        value = super().get(table, key)
        self.read_bytes += len(value or b"")
        return value


def filled() -> CountingStore:
    store = CountingStore()
    store.write([row for blob in BLOBS.values() for row in put_blob(blob)])
    return store


STORE = filled()


@pytest.mark.parametrize("blob", BLOBS.values(), ids=lambda blob: str(len(blob)))
def test_a_blob_is_read_as_it_was_written(blob: bytes) -> None:
    assert read_blob(STORE, blob_hash(blob)) == blob


@given(
    blob=st.sampled_from(list(BLOBS.values())),
    offset=st.sampled_from([0, 1, PART_BYTES, 2 * PART_BYTES + 5, 2**64 - 1])
    | st.integers(0, 4 * PART_BYTES),
)
def test_a_part_is_the_same_from_the_store_and_from_memory(blob: bytes, offset: int) -> None:
    assert read_part(STORE, blob_hash(blob), offset) == part_of(blob, offset)


@pytest.mark.parametrize(
    ("offset", "most_rows"), [(0, 1), (2 * PART_BYTES, 1), (PART_BYTES // 2, 2), (2**63, 0)]
)
def test_a_part_costs_no_more_than_its_rows(offset: int, most_rows: int) -> None:
    before = STORE.read_bytes
    read_part(STORE, blob_hash(LONGEST), offset)
    assert STORE.read_bytes - before <= most_rows * PART_BYTES + 4


def test_a_blob_that_was_removed_leaves_nothing() -> None:
    store = filled()
    for blob in BLOBS.values():
        store.write(delete_blob(store, blob_hash(blob)))
        assert not has_blob(store, blob_hash(blob))
        assert read_blob(store, blob_hash(blob)) is None
        assert read_part(store, blob_hash(blob), 0) is None
    assert list(rows(store)) == []


def test_to_remove_a_blob_that_is_not_here_is_no_error() -> None:
    store = filled()
    before = Counter(rows(store))
    store.write(delete_blob(store, blob_hash(b"another")))
    assert Counter(rows(store)) == before


def test_all_rows_of_a_blob_are_one_batch() -> None:
    """A crash can't come between them, as the caller writes them at once."""
    tables = Counter(row.table for row in put_blob(LONGEST))
    assert tables == {Table.BLOBS: 1, Table.BLOB_PARTS: 4}
    assert all(isinstance(row, Put) for row in put_blob(LONGEST))


def rows(store: MemoryStore) -> Iterator[tuple[bytes, bytes]]:
    for table in (Table.BLOBS, Table.BLOB_PARTS):
        yield from store.scan(table)


def test_a_blob_with_a_lost_row_is_not_here() -> None:
    store = filled()
    lost = next(key for key, _ in store.scan(Table.BLOB_PARTS, blob_hash(LONGEST)))
    store.write([Delete(Table.BLOB_PARTS, lost)])
    assert read_blob(store, blob_hash(LONGEST)) is None
    assert read_part(store, blob_hash(LONGEST), 0) is None
