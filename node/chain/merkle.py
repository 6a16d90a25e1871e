"""Binary Merkle trees: one hash of many leaves, and short proofs that a leaf is among them.

Leaves, nodes and the root have tags of their own, and the root binds the number of leaves, so that
no node passes for a leaf and no list has the root of another (CVE-2012-2459). A last node without
a partner moves up a level as it is, like in RFC 6962.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from node.chain.hashing import HASH_BYTES, blake, u64

_NO_LEAVES = bytes(HASH_BYTES)


@dataclass(frozen=True)
class MerkleTree:
    """All hashes over some leaves, level by level from the leaves up."""

    count: int
    levels: tuple[tuple[bytes, ...], ...]

    @property
    def root(self) -> bytes:
        """The hash of the whole list, 32 bytes."""
        return _seal(self.count, self.levels[-1][0] if self.count else _NO_LEAVES)

    def prove(self, index: int) -> tuple[bytes, ...]:
        """Hashes beside the way from leaf `index` to the root, from the bottom up.

        Of n leaves at most ceil(log2(n)) hashes. Raises ValueError for an index outside the leaves.
        """
        if not 0 <= index < self.count:
            raise ValueError(f"there is no leaf {index} among {self.count}")
        path = []
        for level in self.levels[:-1]:
            if (index ^ 1) < len(level):
                path.append(level[index ^ 1])
            index //= 2
        return tuple(path)


def plant(leaves: Iterable[bytes]) -> MerkleTree:
    """The tree over leaves of any length, in their order. No leaves have a root too."""
    level = tuple(_hash_leaf(leaf) for leaf in leaves)
    levels = [level]
    while len(level) > 1:
        level = _level_above(level)
        levels.append(level)
    return MerkleTree(len(levels[0]), tuple(levels))


def verify_leaf(root: bytes, leaf: bytes, index: int, count: int, path: Sequence[bytes]) -> bool:
    """Whether `leaf` is number `index` of the `count` leaves under `root`. Never raises."""
    if not 0 <= index < count:
        return False
    node, width, beside = _hash_leaf(leaf), count, list(path)
    while width > 1:
        if (index ^ 1) < width:
            if not beside:
                return False
            other = beside.pop(0)
            node = _join(other, node) if index % 2 else _join(node, other)
        index, width = index // 2, (width + 1) // 2
    return not beside and _seal(count, node) == root


def _hash_leaf(leaf: bytes) -> bytes:
    return blake("ponas/merkle/leaf", leaf)


def _level_above(level: Sequence[bytes]) -> tuple[bytes, ...]:
    joined = [_join(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
    return (*joined, level[-1]) if len(level) % 2 else tuple(joined)


def _join(left: bytes, right: bytes) -> bytes:
    return blake("ponas/merkle/node", left, right)


def _seal(count: int, top: bytes) -> bytes:
    return blake("ponas/merkle/root", u64(count), top)
