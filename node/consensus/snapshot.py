"""The state of a block as bytes: to start from it, instead of from genesis.

A block is judged by its parent's state and by that of an ancestor up to two rounds before, so a
snapshot holds two blocks in a row. Nobody has to be believed: both states hash to what signed
headers name, and the newer block's id is the checkpoint that the reader trusts. They are hashed
while they are read, so that bytes which are no such state never become objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import msgspec

from node.chain.block import Block, open_block, open_header
from node.chain.bonds import Bond
from node.chain.branches import Entry
from node.chain.codec import decode, encode
from node.chain.eras import Eras
from node.chain.errors import Rejected
from node.chain.genesis import Network
from node.chain.hashing import HASH_BYTES
from node.chain.messages import Envelope
from node.chain.offence import Punished
from node.chain.published.record import TaskRecord
from node.chain.seals import SealChain
from node.chain.state import (
    TABLES,
    Account,
    Ancestor,
    Checkpoint,
    State,
    combine_roots,
    compute_root,
    genesis_state,
    root_parts,
)
from node.chain.table import Table
from node.chain.trie import hash_entries

_MAX_HEAD_BYTES = 64 * 1024
"""Twice what full eras and a full window of votes take."""
_LENGTH_BYTES = 4


class SnapshotError(ValueError):
    """Bytes that are no snapshot of the block asked for."""


class _Rows(NamedTuple):
    """How a table lies in a snapshot: the length of its keys, and the class of its records."""

    key_bytes: int
    record: type[Any]


_ROWS: Mapping[str, _Rows] = MappingProxyType(
    {
        "accounts": _Rows(HASH_BYTES, Account),
        "bonds": _Rows(1 + HASH_BYTES, Bond),
        "seals": _Rows(HASH_BYTES, SealChain),
        "tasks": _Rows(HASH_BYTES, TaskRecord),
        "punished": _Rows(1 + HASH_BYTES + 8, Punished),
    }
)


class _Head(msgspec.Struct, frozen=True):
    """What of a state is in no table; fields as in `State`."""

    round: int
    height: int
    beacon: bytes
    justified: Checkpoint
    ancestors: tuple[Ancestor, ...]
    issued: int
    burnt: int
    eras: Eras

    def state(self, tables: Mapping[str, Table[Any]]) -> State:
        """The state with these tables."""
        fields: dict[str, Any] = {**msgspec.structs.asdict(self), **tables}
        return State(**fields)


# One for each of `TABLES`, all in the bytes that they were read from. Of a fixed number, since
# views of nothing would take a hundred times their bytes.
_Tables: TypeAlias = tuple[memoryview, memoryview, memoryview, memoryview, memoryview]


class _Row(msgspec.Struct, frozen=True):
    """A block with the state after it; without header and body for genesis."""

    header: memoryview
    body: memoryview
    head: memoryview
    tables: _Tables


class _Snapshot(msgspec.Struct, frozen=True):
    parent: _Row
    block: _Row


def encode_snapshot(parent: Entry, entry: Entry) -> bytes:
    """The bytes from which a node can go on after a block, given it and its parent."""
    return msgspec.msgpack.encode({"parent": _written(parent), "block": _written(entry)})


def decode_snapshot(data: bytes, checkpoint: Checkpoint, network: Network) -> tuple[Entry, Entry]:
    """The parent of a block, and the block. Raises SnapshotError.

    Takes little more memory than the bytes, unless they are the states asked for.
    """
    try:
        snapshot = msgspec.msgpack.decode(data, type=_Snapshot)
        if _place(snapshot.block, network) != checkpoint:
            raise SnapshotError("this is a snapshot of another block")
        block = _open(snapshot.block, network)
        parent_id = _place(snapshot.parent, network).id
        if block is None or block.parent != parent_id:
            raise SnapshotError("the two blocks of the snapshot do not follow each other")
        parent = _open(snapshot.parent, network)
        heads = _checked(snapshot.parent, parent, network), _checked(snapshot.block, block, network)
        states = [
            head.state({name: _read(name, rows) for name, rows in _named(row)})
            for head, row in zip(heads, (snapshot.parent, snapshot.block), strict=True)
        ]
    except SnapshotError:
        raise
    except (msgspec.MsgspecError, Rejected, ValueError, OverflowError, RecursionError) as error:
        raise SnapshotError(f"this is no snapshot: {error}") from error
    grandparent = None if parent is None else parent.parent
    return (
        Entry(parent_id, states[0], grandparent, parent),
        Entry(block.id, states[1], parent_id, block),
    )


def _written(entry: Entry) -> dict[str, Any]:
    """What `_Row` reads."""
    state, block = entry.state, entry.block
    head = {name: getattr(state, name) for name in _Head.__struct_fields__}
    return {
        "header": b"" if block is None else encode(block.header.envelope),
        "body": b"" if block is None else block.body_bytes,
        "head": msgspec.msgpack.encode(head),
        "tables": [_write(getattr(state, name).items()) for name in TABLES],
    }


def _write(entries: Iterable[tuple[bytes, Any]]) -> bytes:
    out = bytearray()
    for key, record in entries:
        data = encode(record)
        out += key + len(data).to_bytes(_LENGTH_BYTES, "big") + data
    return bytes(out)


def _place(row: _Row, network: Network) -> Checkpoint:
    """Round and id by a block's header. Raises Rejected."""
    if not row.header:
        return Checkpoint(0, network.genesis_id)
    header = open_header(decode(Envelope, bytes(row.header)), network.id)
    return Checkpoint(header.message.round, header.id)


def _open(row: _Row, network: Network) -> Block | None:
    """The block of a row, None for genesis. Raises Rejected."""
    if not row.header:
        return None
    return open_block(decode(Envelope, bytes(row.header)), bytes(row.body), network.id)


def _checked(row: _Row, block: Block | None, network: Network) -> _Head:
    """What is in no table of the state that a block's header names. Raises SnapshotError."""
    if len(row.head) > _MAX_HEAD_BYTES:
        raise SnapshotError(f"beside its tables a state has at most {_MAX_HEAD_BYTES} bytes")
    head = msgspec.msgpack.decode(row.head, type=_Head)
    head_hash, *_ = root_parts(head.state({name: Table[Any]() for name in TABLES}))
    tables = (hash_entries(_rows(name, rows)) for name, rows in _named(row))
    root = combine_roots([head_hash, *tables])
    if block is None and root != compute_root(genesis_state(network)):
        raise SnapshotError("it begins with another genesis")
    if block is not None and root != block.header.message.state_root:
        raise SnapshotError(f"the state of round {block.round} is not the one its header names")
    return head


def _named(row: _Row) -> Iterator[tuple[str, memoryview]]:
    return zip(TABLES, row.tables, strict=True)


def _read(name: str, rows: memoryview) -> Table[Any]:
    """A table whose root was checked. Raises Rejected."""
    record = _ROWS[name].record
    return Table((key, decode(record, data)) for key, data in _rows(name, rows))


def _rows(name: str, rows: memoryview) -> Iterator[tuple[bytes, bytes]]:
    """Keys and encoded records as they lie there. Raises SnapshotError."""
    key_bytes, at = _ROWS[name].key_bytes, 0
    while at < len(rows):
        key_end = at + key_bytes
        start = key_end + _LENGTH_BYTES
        end = start + int.from_bytes(rows[key_end:start], "big")
        if end > len(rows):
            raise SnapshotError(f"a row of {name} is cut off")
        yield bytes(rows[at:key_end]), bytes(rows[start:end])
        at = end
