"""Maps inside of records: persistent ones, or ones that belong to the newest state alone.

A manager's are persistent: a changed copy shares what did not change, and earlier states stay as
they were, as while one is written to disk. A simulation never looks back. Its tables change in
place, which takes a tenth of the time, and a state that an event was applied to is used up.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from immutables import Map

K = TypeVar("K")
V = TypeVar("V")


class Table(Mapping[K, V]):
    """A map of which events make the next one."""

    __slots__ = ()

    @abstractmethod
    def set(self, key: K, value: V, /) -> Table[K, V]:
        """The table with an entry, new or in the place of another; this one may be used up."""

    @abstractmethod
    def delete(self, key: K, /) -> Table[K, V]:
        """The table without an entry; this one may be used up. Raises KeyError if it has none."""


class Owned(dict[K, V], Table[K, V]):
    """Changes in place."""

    __slots__ = ()

    def set(self, key: K, value: V, /) -> Owned[K, V]:
        """Implements `Table`."""
        self[key] = value
        return self

    def delete(self, key: K, /) -> Owned[K, V]:
        """Implements `Table`."""
        del self[key]
        return self


Table.register(Map)


def persistent(entries: Mapping[K, V] | None = None) -> Table[K, V]:
    """A table with these entries, that never changes."""
    return cast(Table[K, V], Map(entries or {}))


def refilled(table: Table[Any, Any], entries: Mapping[K, V]) -> Table[K, V]:
    """A table of the same kind with these entries alone."""
    return type(table)(entries)  # type: ignore[call-arg]
