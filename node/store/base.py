"""The key-value interface that the node keeps its chain, votes and blobs behind."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Table(StrEnum):
    """Independent ordered key spaces."""

    META = "meta"  # schema version, network id, and single facts about the whole
    BLOCKS = "blocks"  # headers and what else is short, by height and id
    BODIES = "bodies"  # of the same blocks, by the same keys
    HEIGHTS = "heights"  # of blocks by their ids
    MOVEMENTS = "movements"  # what a block did to accounts beside what its body shows, by its id
    ERAS = "eras"  # seats by era, for people who ask about old blocks
    SNAPSHOTS = "snapshots"  # which blobs are states, by height
    VOTES = "votes"
    SIGNED = "signed"  # what this node signed last, so that it never contradicts itself
    BLOBS = "blobs"  # lengths by hash
    BLOB_PARTS = "blob-parts"  # their bytes, see node.store.blobs
    SUBMITTED = "submitted"  # transactions taken in from this node's users, until they are final
    TASK_DATA = "task-data"  # chunks and manifests of published tasks, by hash
    TASK_TERMS = "task-terms"  # published tasks whose data are kept, by id
    TASK_WINS = "task-wins"  # which published task a block has won, by the block's id
    RECEIPTS = "receipts"  # what pools have signed for this miner, by round
    SHARE_PAGES = "share-pages"  # a manager's share log, by hash
    SHARE_INDEX = "share-index"  # the same pages by round
    PEERS = "peers"  # addresses and bans: nothing is lost with them that peers can't tell again
    POOL_EVENTS = "pool-events"  # a manager's journal, by number
    POOL_STATE = "pool-state"
    POOL_BLOBS = "pool-blobs"  # models and weights of a manager's bests


@dataclass(frozen=True, slots=True)
class Put:
    """Set a key; an earlier value is replaced."""

    table: Table
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a key; one that is not there is no error."""

    table: Table
    key: bytes


Change = Put | Delete


class Store(Protocol):
    """Ordered tables of byte keys and byte values.

    Keys order as `bytes` compare. Any method may be called from any thread, and raises
    `node.errors.StoreError` once the store is closed or the medium fails.
    """

    def get(self, table: Table, key: bytes) -> bytes | None:
        """The value, or None if the key is not there."""
        ...

    def scan(
        self, table: Table, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values in ascending order from `start` on, or descending if `reverse`.

        `start` itself is included; None starts at the first key, or at the last if `reverse`.
        The iterator shows the table as it was when `scan` was called; drop it before the store is
        closed, since it may hold the medium open.
        """
        ...

    def write(self, changes: Sequence[Change]) -> None:
        """Apply all changes in order, or none; when this returns, a crash can't lose them."""
        ...

    def close(self) -> None:
        """Release the medium; closing twice is no error."""
        ...
