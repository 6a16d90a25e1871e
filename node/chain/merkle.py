"""Binary Merkle trees: one hash of many leaves, and short proofs that a leaf is among them.

Leaves, nodes and the root have tags of their own, and the root binds the number of leaves, so that
no node passes for a leaf and no list has the root of another (CVE-2012-2459). A last node without
a partner moves up a level as it is, like in RFC 6962.
"""

from __future__ import annotations

from collections.abc import Sequence

from node.chain.hashing import HASH_BYTES, blake, u64

_NO_LEAVES = bytes(HASH_BYTES)


def compute_merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaves of any length, in their order; 32 bytes. No leaves have a root too."""
    level = _hash_leaves(leaves)
    while len(level) > 1:
        level = _level_above(level)
    return _seal(len(leaves), level[0] if level else _NO_LEAVES)


def prove_leaf(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Hashes beside the way from leaf `index` to the root, from the bottom up.

    Of n leaves at most ceil(log2(n)) hashes. Raises ValueError for an index outside the leaves.
    """
    if not 0 <= index < len(leaves):
        raise ValueError(f"there is no leaf {index} among {len(leaves)}")
    path = []
    level = _hash_leaves(leaves)
    while len(level) > 1:
        if (index ^ 1) < len(level):
            path.append(level[index ^ 1])
        level, index = _level_above(level), index // 2
    return tuple(path)


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


def _hash_leaves(leaves: Sequence[bytes]) -> list[bytes]:
    return [_hash_leaf(leaf) for leaf in leaves]


def _level_above(level: Sequence[bytes]) -> list[bytes]:
    joined = [_join(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
    return [*joined, level[-1]] if len(level) % 2 else joined


def _join(left: bytes, right: bytes) -> bytes:
    return blake("ponas/merkle/node", left, right)


def _seal(count: int, top: bytes) -> bytes:
    return blake("ponas/merkle/root", u64(count), top)
