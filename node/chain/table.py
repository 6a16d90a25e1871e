"""A map from keys to records with one hash for all of it, cheap to change and to share.

The form is a binary trie on the hash of the key: bit d (little-endian) of H("ponas/table/path",
key) says which way to go at depth d. A subtree of one entry is that entry's leaf, so the same
entries have the same trie, whatever the history. A changed table shares all but one path with
the one before, so that states of sibling blocks cost little.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Generic, Protocol, TypeAlias, TypeVar

from node.chain.codec import Bytes, RepeatedBytes, encode
from node.chain.trie import EMPTY, MAX_DEPTH, hash_branch, hash_leaf, path_of

MAX_RECORD_BYTES = 2**16


class Record(Protocol):
    """What a table holds: a frozen dataclass that `node.chain.codec` can encode."""

    @property
    def held(self) -> int:
        """Base units that are in the record."""


V = TypeVar("V", bound=Record)


@dataclass(frozen=True)
class TableProof:
    """The hashes beside the way to a key, from the top down, and what lies at its end.

    For an absent key the end is nothing, or the entry of another key (`other_*`).
    """

    siblings: Annotated[tuple[bytes, ...], RepeatedBytes(1, most=MAX_DEPTH)]
    other_key: Annotated[bytes, Bytes(2, 0)] = b""
    other_record: Annotated[bytes, Bytes(3, 0, MAX_RECORD_BYTES)] = b""


class _Leaf(Generic[V]):
    """One entry; its hash is computed when it is first asked for."""

    __slots__ = ("_digest", "key", "path", "record")

    def __init__(self, path: int, key: bytes, record: V) -> None:
        self.path, self.key, self.record = path, key, record
        self._digest: bytes | None = None

    @property
    def digest(self) -> bytes:
        if self._digest is None:
            self._digest = hash_leaf(self.key, encode(self.record))
        return self._digest


class _Branch(Generic[V]):
    """Two or more entries, by the next bit of their paths."""

    __slots__ = ("_digest", "left", "right")

    def __init__(self, left: _Node[V], right: _Node[V]) -> None:
        self.left, self.right = left, right
        self._digest: bytes | None = None

    @property
    def digest(self) -> bytes:
        if self._digest is None:
            self._digest = hash_branch(_digest(self.left), _digest(self.right))
        return self._digest


_Node: TypeAlias = _Leaf[V] | _Branch[V] | None


class Table(Generic[V]):
    """Immutable: `set` and `delete` return the changed table. Keys are 1 byte or longer."""

    def __init__(self, entries: Iterable[tuple[bytes, V]] = ()) -> None:
        leaves = [_Leaf(_path(key), key, record) for key, record in dict(entries).items()]
        self._top = _build(leaves, 0)
        self._count = len(leaves)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: bytes) -> bool:
        return self.get(key) is not None

    def __getitem__(self, key: bytes) -> V:
        record = self.get(key)
        if record is None:
            raise KeyError(key)
        return record

    def get(self, key: bytes) -> V | None:
        """The record of a key, or None."""
        node, way = self._top, _path(key)
        while isinstance(node, _Branch):
            node, way = (node.right if way & 1 else node.left), way >> 1
        return node.record if node is not None and node.key == key else None

    def set(self, key: bytes, record: V) -> Table[V]:
        """The table with this record at the key."""
        top = _insert(self._top, 0, _Leaf(_path(key), key, record))
        return _make(top, self._count + (key not in self))

    def delete(self, key: bytes) -> Table[V]:
        """The table without the key; the same one if it is not there."""
        if key not in self:
            return self
        return _make(_remove(self._top, 0, _path(key)), self._count - 1)

    def items(self) -> Iterator[tuple[bytes, V]]:
        """Keys and records in the order of the trie, which is that of hashes, not of keys."""
        below = [self._top]
        while below:
            node = below.pop()
            if isinstance(node, _Leaf):
                yield node.key, node.record
            elif node is not None:
                below += (node.right, node.left)

    def values(self) -> Iterator[V]:
        """Records in the order of `items`."""
        return (record for _, record in self.items())

    @property
    def root(self) -> bytes:
        """Hash over all entries, 32 bytes."""
        return _digest(self._top)

    def prove(self, key: bytes) -> TableProof:
        """What shows to who knows the root which record the key has, or that it has none."""
        node, way = self._top, _path(key)
        siblings = []
        while isinstance(node, _Branch):
            near, far = (node.right, node.left) if way & 1 else (node.left, node.right)
            siblings.append(_digest(far))
            node, way = near, way >> 1
        if node is None or node.key == key:
            return TableProof(tuple(siblings))
        return TableProof(tuple(siblings), node.key, encode(node.record))


def verify_proof(root: bytes, key: bytes, record: bytes | None, proof: TableProof) -> bool:
    """Whether the table under `root` has exactly this encoded record at the key.

    With None the question is whether the key is absent. Never raises.
    """
    way, depth = _path(key), len(proof.siblings)
    if depth > MAX_DEPTH:
        return False
    if record is not None:
        node = hash_leaf(key, record)
    elif not proof.other_key:
        node = EMPTY
    else:
        # Another entry shows absence only from the place where the key would be.
        shared = (1 << depth) - 1
        if proof.other_key == key or (_path(proof.other_key) ^ way) & shared:
            return False
        node = hash_leaf(proof.other_key, proof.other_record)
    for level in reversed(range(depth)):
        beside = proof.siblings[level]
        node = hash_branch(beside, node) if way >> level & 1 else hash_branch(node, beside)
    return node == root


def _make(top: _Node[V], count: int) -> Table[V]:
    table = Table[V]()
    table._top, table._count = top, count
    return table


def _build(leaves: Sequence[_Leaf[V]], depth: int) -> _Node[V]:
    """The subtree of leaves whose paths agree up to a depth; much faster than one by one."""
    if len(leaves) < 2:
        return leaves[0] if leaves else None
    left = [leaf for leaf in leaves if not leaf.path >> depth & 1]
    right = [leaf for leaf in leaves if leaf.path >> depth & 1]
    return _Branch(_build(left, depth + 1), _build(right, depth + 1))


def _insert(node: _Node[V], depth: int, leaf: _Leaf[V]) -> _Leaf[V] | _Branch[V]:
    if node is None:
        return leaf
    if isinstance(node, _Leaf):
        if node.key == leaf.key:
            return leaf
        node = _Branch(None, node) if node.path >> depth & 1 else _Branch(node, None)
    if leaf.path >> depth & 1:
        return _Branch(node.left, _insert(node.right, depth + 1, leaf))
    return _Branch(_insert(node.left, depth + 1, leaf), node.right)


def _remove(node: _Node[V], depth: int, path: int) -> _Node[V]:
    """The subtree without the entry at `path`, which is in it."""
    if not isinstance(node, _Branch):
        return None
    if path >> depth & 1:
        left, right = node.left, _remove(node.right, depth + 1, path)
    else:
        left, right = _remove(node.left, depth + 1, path), node.right
    # One entry alone moves up, so that the trie is the one which its entries have.
    if left is None and isinstance(right, _Leaf):
        return right
    if right is None and isinstance(left, _Leaf):
        return left
    return _Branch(left, right)


@lru_cache(maxsize=16_384)
def _path(key: bytes) -> int:
    """Remembered, since a transaction looks at the same two accounts again and again."""
    return path_of(key)


def _digest(node: _Node[V]) -> bytes:
    return EMPTY if node is None else node.digest
