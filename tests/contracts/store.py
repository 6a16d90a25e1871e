"""What every `node.store.base.Store` must do; a backend's tests subclass and give `new_store`."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import pytest

from node.errors import StoreError
from node.store.base import Delete, Put, Store, Table

ROWS = [(b"", b"empty key"), (b"\x00", b""), (b"a", b"1"), (b"ab", b"2"), (b"\xff", b"3")]


class StoreContract(ABC):
    """Run by pytest once per backend."""

    @abstractmethod
    def new_store(self) -> Store:
        """An empty store."""

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        store = self.new_store()
        yield store
        store.close()

    @pytest.fixture
    def filled(self, store: Store) -> Store:
        store.write([Put(Table.BLOCKS, key, value) for key, value in reversed(ROWS)])
        return store

    def test_a_missing_key_is_none_and_an_empty_value_is_not(self, filled: Store) -> None:
        assert filled.get(Table.BLOCKS, b"b") is None
        assert filled.get(Table.BLOCKS, b"\x00") == b""
        assert filled.get(Table.BLOCKS, b"") == b"empty key"

    def test_tables_are_independent(self, filled: Store) -> None:
        filled.write([Put(Table.VOTES, b"a", b"vote"), Delete(Table.BLOBS, b"a")])
        assert filled.get(Table.BLOCKS, b"a") == b"1"
        assert filled.get(Table.VOTES, b"a") == b"vote"
        assert list(filled.scan(Table.VOTES)) == [(b"a", b"vote")]
        assert list(filled.scan(Table.SIGNED)) == []

    def test_every_table_can_be_written(self, store: Store) -> None:
        store.write([Put(table, b"key", table.value.encode()) for table in Table])
        assert [store.get(table, b"key") for table in Table] == [t.value.encode() for t in Table]

    def test_scan_is_in_key_order_both_ways(self, filled: Store) -> None:
        assert list(filled.scan(Table.BLOCKS)) == ROWS
        assert list(filled.scan(Table.BLOCKS, reverse=True)) == ROWS[::-1]

    @pytest.mark.parametrize("start", [b"", b"a", b"aa", b"\xff", b"\xff\xff"])
    def test_scan_includes_its_start(self, filled: Store, start: bytes) -> None:
        upwards = list(filled.scan(Table.BLOCKS, start))
        downwards = list(filled.scan(Table.BLOCKS, start, reverse=True))
        assert upwards == [row for row in ROWS if row[0] >= start]
        assert downwards == [row for row in reversed(ROWS) if row[0] <= start]

    def test_scan_shows_the_table_as_it_was(self, filled: Store) -> None:
        rows = filled.scan(Table.BLOCKS)
        filled.write([Delete(Table.BLOCKS, b"a"), Put(Table.BLOCKS, b"b", b"new")])
        assert list(rows) == ROWS

    def test_changes_of_one_batch_apply_in_order(self, store: Store) -> None:
        store.write(
            [
                Put(Table.META, b"k", b"first"),
                Put(Table.META, b"k", b"second"),
                Put(Table.META, b"gone", b"x"),
                Delete(Table.META, b"gone"),
                Delete(Table.META, b"back"),
                Put(Table.META, b"back", b"y"),
            ]
        )
        assert list(store.scan(Table.META, b"back"))[:1] == [(b"back", b"y")]
        assert store.get(Table.META, b"k") == b"second"
        assert store.get(Table.META, b"gone") is None

    def test_a_mebibyte_comes_back_whole(self, store: Store) -> None:
        blob = bytes(range(256)) * 4096
        store.write([Put(Table.BLOBS, b"model", blob)])
        assert store.get(Table.BLOBS, b"model") == blob

    def test_an_empty_batch_is_no_error(self, store: Store) -> None:
        store.write([])

    def test_a_closed_store_says_so(self, filled: Store) -> None:
        filled.close()
        filled.close()
        for use in (
            lambda: filled.get(Table.BLOCKS, b"a"),
            lambda: filled.scan(Table.BLOCKS),
            lambda: filled.write([Put(Table.BLOCKS, b"a", b"2")]),
            lambda: filled.write([]),
        ):
            with pytest.raises(StoreError, match="the store is closed"):
                use()
