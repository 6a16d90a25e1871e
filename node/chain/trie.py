"""Hashes of the trie that a table is (`node.chain.table`), and its root from entries in a row."""

from __future__ import annotations

from collections.abc import Iterable

from node.chain.hashing import HASH_BYTES, blake

MAX_DEPTH = 8 * HASH_BYTES
EMPTY = bytes(HASH_BYTES)
"""Hash of a subtree without entries."""


class OutOfOrder(ValueError):
    """Entries that do not come in the order of the trie, or of which one comes twice."""


def path_of(key: bytes) -> int:
    """The way to a key: bit d says whether it goes right at depth d."""
    return int.from_bytes(blake("ponas/table/path", key), "little")


def hash_leaf(key: bytes, record: bytes) -> bytes:
    """Hash of an entry, its record in canonical bytes."""
    return blake("ponas/table/leaf", key, record)


def hash_branch(left: bytes, right: bytes) -> bytes:
    """Hash of a subtree of two entries or more."""
    return blake("ponas/table/branch", left, right)


def hash_entries(entries: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The root of a table with these keys and encoded records, in the order of the trie.

    Takes no memory for entries that it has seen. Raises OutOfOrder.
    """
    # Left subtrees whose right sides are still to come, by the depths at which they stand.
    waiting = list[tuple[int, bytes]]()
    last: tuple[int, bytes] | None = None
    shared_before = -1
    for key, record in entries:
        way = path_of(key)
        if last is not None:
            shared = _shared(last[0], way)
            _close(waiting, *last, shared_before, shared)
            shared_before = shared
        last = way, hash_leaf(key, record)
    if last is None:
        return EMPTY
    _close(waiting, *last, shared_before, -1)
    ((_, root),) = waiting
    return root


def _shared(before: int, way: int) -> int:
    """How many bits from the top two paths share, the lesser one first. Raises OutOfOrder."""
    differing = before ^ way
    shared = (differing & -differing).bit_length() - 1
    if shared < 0 or before >> shared & 1:
        raise OutOfOrder("an entry is not after the one before it in the order of the trie")
    return shared


def _close(
    waiting: list[tuple[int, bytes]], way: int, node: bytes, shared_before: int, shared_next: int
) -> None:
    """Hash a leaf with all that is complete once the next one is known, and let that wait.

    The leaf stands below what its path shares with those of its neighbours.
    """
    for depth in range(max(shared_before, shared_next), shared_next, -1):
        if not way >> depth & 1:
            node = hash_branch(node, EMPTY)
        elif waiting and waiting[-1][0] == depth:
            node = hash_branch(waiting.pop()[1], node)
        else:
            node = hash_branch(EMPTY, node)
    waiting.append((shared_next, node))
