"""The state of a block as bytes: to start from it, instead of from genesis.

A block is judged by its parent's state and by that of an ancestor up to two rounds before, so a
snapshot holds two blocks in a row. Nobody has to be believed: both states hash to what signed
headers name, and the newer block's id is the checkpoint that the reader trusts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args, get_origin

import msgspec

from node.chain.block import open_block
from node.chain.branches import Entry
from node.chain.codec import decode, encode
from node.chain.errors import Rejected
from node.chain.genesis import Network
from node.chain.messages import Envelope
from node.chain.state import Checkpoint, State, compute_root, genesis_state
from node.chain.table import Table


class SnapshotError(ValueError):
    """Bytes that are no snapshot of the block asked for."""


class _Row(msgspec.Struct, frozen=True):
    """A block with the state after it; without header and body for genesis."""

    header: bytes
    body: bytes
    state: State


class _Snapshot(msgspec.Struct, frozen=True):
    parent: _Row
    block: _Row


def encode_snapshot(parent: Entry, entry: Entry) -> bytes:
    """The bytes from which a node can go on after a block, given it and its parent."""
    return msgspec.msgpack.encode(_Snapshot(_row(parent), _row(entry)), enc_hook=_from_table)


def decode_snapshot(data: bytes, checkpoint: Checkpoint, network: Network) -> tuple[Entry, Entry]:
    """The parent of a block, and the block. Raises SnapshotError."""
    try:
        snapshot = msgspec.msgpack.decode(data, type=_Snapshot, dec_hook=_to_table)
        parent, entry = (_entry(row, network) for row in (snapshot.parent, snapshot.block))
    except (msgspec.MsgspecError, Rejected, ValueError, OverflowError) as error:
        raise SnapshotError(f"this is no snapshot: {error}") from error
    if entry.checkpoint != checkpoint:
        raise SnapshotError("this is a snapshot of another block")
    if entry.parent != parent.id:
        raise SnapshotError("the two blocks of the snapshot do not follow each other")
    return parent, entry


def _row(entry: Entry) -> _Row:
    state = replace(entry.state, moved=())
    if entry.block is None:
        return _Row(b"", b"", state)
    return _Row(encode(entry.block.header.envelope), entry.block.body_bytes, state)


def _entry(row: _Row, network: Network) -> Entry:
    """A block whose state is the one that its header names. Raises Rejected and SnapshotError."""
    state = replace(row.state, moved=())
    root = compute_root(state)
    if not row.header:
        if root != compute_root(genesis_state(network)):
            raise SnapshotError("it begins with another genesis")
        return Entry(network.genesis_id, state, None)
    block = open_block(decode(Envelope, row.header), row.body, network.id)
    if root != block.header.message.state_root:
        raise SnapshotError(f"the state of round {block.round} is not the one its header names")
    return Entry(block.id, state, block)


def _from_table(value: Any) -> Any:
    if isinstance(value, Table):
        return list(value.items())
    raise NotImplementedError(type(value))


def _to_table(kind: type[Any], value: Any) -> Any:
    if get_origin(kind) is Table:
        (record,) = get_args(kind)
        return Table(msgspec.convert(value, list[tuple[bytes, record]]))  # type: ignore[valid-type]
    raise NotImplementedError(kind)
