"""Blocks and snapshots on disk: found by id and by height."""

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import NamedTuple, cast

import msgspec

from node.chain.block import Block
from node.chain.branches import Entry
from node.chain.codec import decode, encode
from node.chain.context import RoundContext
from node.chain.envelope import Signed, read_envelope
from node.chain.eras import Eras
from node.chain.errors import InvalidBlock, Reason, Rejected
from node.chain.genesis import Network
from node.chain.hashing import blob_hash, u64
from node.chain.messages import Claim, Envelope, Fallback
from node.chain.movements import Movement
from node.chain.state import Checkpoint, State
from node.consensus.records import (
    BlockRecord,
    HeaderRecord,
    TaskWin,
    block_key,
    height_of,
    id_of,
)
from node.consensus.snapshot import decode_snapshot
from node.store.base import Change, Delete, Put, Store, Table
from node.store.blobs import delete_blob, put_blob, read_blob

SNAPSHOTS_KEPT = 2
"""So that who is about to fetch one can finish when the next one is made."""


_GAP = b"gap"


class StoredSnapshot(NamedTuple):
    """A snapshot by the block that it is of; its bytes are the blob of this hash."""

    height: int
    checkpoint: Checkpoint
    blob: bytes


class Gap(NamedTuple):
    """The highest block of the final chain that is not here, and all below it are not either; at
    height 0, genesis, only that those above it are still to be checked."""

    height: int
    id: bytes


class BlockStore:
    """Reads rows, and says which changes write them. Genesis is no row."""

    def __init__(self, store: Store, network: Network) -> None:
        self._store = store
        self._network = network

    def height(self, block_id: bytes) -> int | None:
        """Blocks from genesis to a block, or None if it is not here."""
        if block_id == self._network.genesis_id:
            return 0
        height = self._store.get(Table.HEIGHTS, block_id)
        return None if height is None else int.from_bytes(height, "big")

    def ids_at(self, height: int) -> list[bytes]:
        """The blocks at a height: one, once their competitors were removed."""
        if height == 0:
            return [self._network.genesis_id]
        rows = self._store.scan(Table.BLOCKS, u64(height))
        return [id_of(key) for key, _ in takewhile(lambda row: height_of(row[0]) == height, rows)]

    def header(self, block_id: bytes) -> Envelope | None:
        """The header of a block; its body is not read. Raises Rejected."""
        row = self._row(block_id)
        return None if row is None else self._read(block_id, row).envelope

    def headers_from(self, height: int) -> Iterator[tuple[int, Envelope]]:
        """Height and header of each block from a height on, ascending; no body is read. Raises
        Rejected."""
        for key, data in self._store.scan(Table.BLOCKS, u64(height)):
            yield height_of(key), self._read(id_of(key), decode(HeaderRecord, data)).envelope

    def body(self, block_id: bytes) -> bytes | None:
        """The body of a block. Raises Rejected."""
        record = self.record(block_id)
        if record is None:
            return None
        if self._read(block_id, record.row).message.body_hash != blob_hash(record.body):
            raise InvalidBlock(Reason.BODY_HASH, _spoilt(block_id))
        return record.body

    def record(self, block_id: bytes) -> BlockRecord | None:
        """A block as it was written; it was checked before that."""
        row, height = self._row(block_id), self._store.get(Table.HEIGHTS, block_id) or b""
        body = self._store.get(Table.BODIES, height + block_id)
        return None if row is None or body is None else BlockRecord(row, body)

    def records_from(self, height: int) -> Iterator[tuple[int, BlockRecord]]:
        """Height and record of each block from a height on, ascending. Raises Rejected."""
        for key, data in self._store.scan(Table.BLOCKS, u64(height)):
            yield height_of(key), self.join(key, data)

    def join(self, key: bytes, data: bytes) -> BlockRecord:
        """The block of a row of `Table.BLOCKS`. Raises Rejected."""
        row, body = decode(HeaderRecord, data), self._store.get(Table.BODIES, key)
        if body is None:
            raise InvalidBlock(Reason.BODY_HASH, "its body is not here")
        return BlockRecord(row, body)

    def _read(self, block_id: bytes, row: HeaderRecord) -> Signed[Claim] | Signed[Fallback]:
        """A header as it was written, but for its signature: the disk may have changed it since."""
        read = read_envelope(row.envelope, self._network.id)
        if read.id != block_id:
            raise Rejected(Reason.NOT_CANONICAL, _spoilt(block_id))
        return cast(Signed[Claim] | Signed[Fallback], read)

    def _row(self, block_id: bytes) -> HeaderRecord | None:
        height = self._store.get(Table.HEIGHTS, block_id)
        data = None if height is None else self._store.get(Table.BLOCKS, height + block_id)
        return None if data is None else decode(HeaderRecord, data)

    def eras(self, era: int) -> Eras:
        """The seats as they were in an era that a block of this node is of."""
        data = self._store.get(Table.ERAS, u64(era))
        if data is None:
            raise KeyError(era)
        return msgspec.msgpack.decode(data, type=Eras)

    def movements(self, block_id: bytes) -> Sequence[Movement]:
        """What a block did to accounts beside what its body shows; nothing of one whose state was
        taken from others."""
        data = self._store.get(Table.MOVEMENTS, block_id)
        return () if data is None else msgspec.msgpack.decode(data, type=tuple[Movement, ...])

    def put(self, block: Block, state: State, logits_hash: bytes) -> list[Change]:
        """Write a block, and with the first of an era its seats."""
        record = BlockRecord.of(block, logits_hash)
        return [*self.put_record(state.height, block.id, record), *self.put_facts(block.id, state)]

    def put_record(self, height: int, block_id: bytes, record: BlockRecord) -> list[Change]:
        """Write a block alone."""
        key = block_key(height, block_id)
        return [
            Put(Table.BLOCKS, key, encode(record.row)),
            Put(Table.BODIES, key, record.body),
            Put(Table.HEIGHTS, block_id, u64(height)),
        ]

    def put_facts(self, block_id: bytes, state: State) -> list[Change]:
        """Write what the state after a block tells beside itself: what the block did to accounts,
        and the seats of an era that it begins."""
        changes = list[Change]()
        if state.moved:
            moved = msgspec.msgpack.encode(state.moved)
            changes.append(Put(Table.MOVEMENTS, block_id, moved))
        era = u64(state.eras.era)
        if self._store.get(Table.ERAS, era) is None:
            changes.append(Put(Table.ERAS, era, msgspec.msgpack.encode(state.eras)))
        return changes

    def drop(self, height: int, block_id: bytes) -> list[Change]:
        """Remove a block."""
        return [
            Delete(Table.BLOCKS, block_key(height, block_id)),
            Delete(Table.BODIES, block_key(height, block_id)),
            Delete(Table.HEIGHTS, block_id),
            Delete(Table.MOVEMENTS, block_id),
            Delete(Table.TASK_WINS, block_id),
        ]

    def gap(self) -> Gap | None:
        """Up to where the history is missing; None if it is here and checked."""
        data = self._store.get(Table.META, _GAP)
        return None if data is None else Gap(int.from_bytes(data[:8], "big"), data[8:])

    def put_gap(self, gap: Gap | None) -> list[Change]:
        """Write up to where the history is missing."""
        if gap is None:
            return [Delete(Table.META, _GAP)]
        return [Put(Table.META, _GAP, u64(gap.height) + gap.id)]

    def snapshots(self) -> list[StoredSnapshot]:
        """Those that are kept, oldest first."""
        return [
            StoredSnapshot(
                int.from_bytes(key, "big"),
                Checkpoint(int.from_bytes(value[:8], "big"), value[8:40]),
                value[40:],
            )
            for key, value in self._store.scan(Table.SNAPSHOTS)
        ]

    def newest_snapshot(self) -> Sequence[Entry]:
        """The two blocks of the newest snapshot; none if there is none. Raises SnapshotError."""
        for snapshot in reversed(self.snapshots()):
            return self.open_snapshot(snapshot)
        return ()

    def open_snapshot(self, snapshot: StoredSnapshot) -> tuple[Entry, Entry]:
        """The two blocks of a snapshot. Raises SnapshotError."""
        data = read_blob(self._store, snapshot.blob) or b""
        return decode_snapshot(data, snapshot.checkpoint, self._network)

    def put_snapshot(self, height: int, checkpoint: Checkpoint, data: bytes) -> list[Change]:
        """Write a snapshot, and remove those that are too many."""
        blob = blob_hash(data)
        changes: list[Change] = [
            *put_blob(data),
            Put(Table.SNAPSHOTS, u64(height), u64(checkpoint.round) + checkpoint.id + blob),
        ]
        for old in self.snapshots()[: 1 - SNAPSHOTS_KEPT]:
            changes += delete_blob(self._store, old.blob)
            changes.append(Delete(Table.SNAPSHOTS, u64(old.height)))
        return changes


def put_win(context: RoundContext, block: Block) -> list[Change]:
    """Write which published task a block has won, if it has: the state forgets done tasks."""
    paid, claim = context.paid, block.header.message
    if paid is None or not isinstance(claim, Claim):
        return []
    terms, publisher = encode(paid.terms), paid.record.publisher
    win = TaskWin(paid.task_id, paid.shard, terms, publisher, claim.model_hash)
    return [Put(Table.TASK_WINS, block.id, encode(win))]


def _spoilt(block_id: bytes) -> str:
    return f"block {block_id.hex()} on the disk is not the one that was written"
