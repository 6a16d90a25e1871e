"""A store that lives as long as the process: for simulations, and the contract's plain oracle."""

from collections.abc import Iterator, Sequence

from node.errors import StoreError
from node.store.base import Change, Put, Table


class MemoryStore:
    """`Store` over dictionaries."""

    def __init__(self) -> None:
        self._tables: dict[Table, dict[bytes, bytes]] | None = {table: {} for table in Table}

    def get(self, table: Table, key: bytes) -> bytes | None:
        return self._open()[table].get(key)

    def scan(
        self, table: Table, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        rows = self._open()[table].items()
        if start is not None:
            rows_from_start = (
                row for row in rows if (row[0] <= start if reverse else row[0] >= start)
            )
            return iter(sorted(rows_from_start, reverse=reverse))
        return iter(sorted(rows, reverse=reverse))

    def write(self, changes: Sequence[Change]) -> None:
        tables = self._open()
        for change in changes:
            if isinstance(change, Put):
                tables[change.table][change.key] = change.value
            else:
                tables[change.table].pop(change.key, None)

    def close(self) -> None:
        self._tables = None

    def _open(self) -> dict[Table, dict[bytes, bytes]]:
        if self._tables is None:
            raise StoreError("the store is closed")
        return self._tables
