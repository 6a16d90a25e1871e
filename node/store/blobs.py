"""Blobs in the store: in rows of 1 MiB, so that a part is read without the rest."""

from __future__ import annotations

from typing import NamedTuple

from node.chain.hashing import HASH_BYTES, blob_hash
from node.store.base import Change, Delete, Put, Store, Table

PART_BYTES = 1024 * 1024
_LENGTH_BYTES, _PLACE_BYTES = 4, 2


class Part(NamedTuple):
    """Some bytes of a blob, and how many it has in all."""

    total: int
    data: bytes


def part_of(blob: bytes, offset: int) -> Part:
    """At most `PART_BYTES` of a blob from an offset on; none beyond its end."""
    return Part(len(blob), blob[offset : offset + PART_BYTES])


def put_blob(blob: bytes) -> list[Change]:
    """Write a blob under its hash."""
    name = blob_hash(blob)
    parts = (blob[start : start + PART_BYTES] for start in range(0, len(blob), PART_BYTES))
    return [
        Put(Table.BLOBS, name, len(blob).to_bytes(_LENGTH_BYTES, "big")),
        *(Put(Table.BLOB_PARTS, _key(name, place), part) for place, part in enumerate(parts)),
    ]


def delete_blob(store: Store, name: bytes) -> list[Change]:
    """Remove a blob; one that is not here is no error."""
    places = _places(0, _length(store, name) or 0)
    parts = (Delete(Table.BLOB_PARTS, _key(name, place)) for place in places)
    return [Delete(Table.BLOBS, name), *parts]


def has_blob(store: Store, name: bytes) -> bool:
    """Whether a blob is here."""
    return _length(store, name) is not None


def read_blob(store: Store, name: bytes) -> bytes | None:
    """A whole blob, or None if it is not here."""
    length = _length(store, name)
    return None if length is None else _read(store, name, _places(0, length))


def read_part(store: Store, name: bytes, offset: int) -> Part | None:
    """As `part_of`, reading no more rows than it takes; None if the blob is not here."""
    length = _length(store, name)
    if length is None:
        return None
    # Of an offset beyond the end, which peers may ask for, there are no rows.
    found = _read(store, name, _places(offset, min(offset + PART_BYTES, length)))
    start = offset % PART_BYTES
    return None if found is None else Part(length, found[start : start + PART_BYTES])


def owner_of(key: bytes) -> bytes:
    """The name of the blob that a row of parts belongs to."""
    return key[:HASH_BYTES]


def _length(store: Store, name: bytes) -> int | None:
    data = store.get(Table.BLOBS, name)
    # No more bytes than are written, so that damage can't make it endless.
    return None if data is None else int.from_bytes(data[:_LENGTH_BYTES], "big")


def _places(start: int, end: int) -> range:
    """Which rows hold the bytes from `start` to before `end`."""
    return range(start // PART_BYTES, -(-end // PART_BYTES))


def _read(store: Store, name: bytes, places: range) -> bytes | None:
    """What lies in some rows; None if one of them is lost."""
    rows = [store.get(Table.BLOB_PARTS, _key(name, place)) for place in places]
    found = [row for row in rows if row is not None]
    return b"".join(found) if len(found) == len(rows) else None


def _key(name: bytes, place: int) -> bytes:
    return name + place.to_bytes(_PLACE_BYTES, "big")
