"""Blocks by what they build on: the shape of a tree that begins a little below its final block."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from node.chain.block import Block
from node.chain.eras import Seats
from node.chain.errors import Reason, Rejected
from node.chain.state import Checkpoint, State


@dataclass(frozen=True)
class Entry:
    """A block of the tree; `block` is None for genesis, and for what has lost for good: that is in
    the store alone, if anywhere."""

    id: bytes
    state: State
    parent: bytes | None
    block: Block | None

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self.state.round, self.id)

    @property
    def seats(self) -> Seats:
        """Whose votes for the block count."""
        return self.state.eras.current


class Branches:
    """Blocks with their states from `base` on. Knows nothing of votes."""

    def __init__(self, base: Sequence[Entry]) -> None:
        self._entries = {entry.id: entry for entry in base}
        self._children: dict[bytes, list[bytes]] = {}

    def __contains__(self, block_id: bytes) -> bool:
        return block_id in self._entries

    def entry(self, block_id: bytes) -> Entry:
        """The entry of a block. Raises Rejected(UNKNOWN_PARENT) if it is not in the tree."""
        if block_id not in self._entries:
            raise Rejected(Reason.UNKNOWN_PARENT, f"block {block_id.hex()[:8]} is not known")
        return self._entries[block_id]

    def ancestor(self, block_id: bytes, max_round: int) -> Entry:
        """Newest block with a round up to `max_round` on the way from a block to genesis.

        Genesis if there is none. Raises Rejected(UNKNOWN_PARENT) below what is kept.
        """
        entry = self.entry(block_id)
        while entry.state.round > max_round and entry.parent is not None:
            entry = self.entry(entry.parent)
        return entry

    def _enter(self, block: Block, state: State) -> None:
        """Put a new block in its place. Raises Rejected(UNKNOWN_PARENT)."""
        self.entry(block.parent)
        self._entries[block.id] = Entry(block.id, state, block.parent, block)
        self._children.setdefault(block.parent, []).append(block.id)

    def children(self, block_id: bytes) -> Sequence[bytes]:
        """The blocks that build on one, in the order in which they came."""
        return self._children.get(block_id, [])

    def chain(self, block_id: bytes) -> Iterator[Entry]:
        """The entries from a block down to the lowest that is kept."""
        entry: Entry | None = self.entry(block_id)
        while entry is not None:
            yield entry
            entry = self._entries.get(entry.parent) if entry.parent else None

    def is_descendant(self, block_id: bytes, of: Checkpoint) -> bool:
        """Whether `of` is the block or above it; blocks that are not kept are above nothing."""
        for entry in self.chain(block_id):
            # Rounds fall on the way down.
            if entry.state.round <= of.round:
                return entry.id == of.id
        return False

    def _shed_losers(self, final: Checkpoint, own: Collection[bytes]) -> None:
        """Let go of the contents of all blocks that are not on `own`, the final block's chain, and
        not above it either. Whoever may propose blocks could fill the memory with them."""
        for entry in list(self._entries.values()):
            is_shed = entry.id in own or entry.block is None
            if not is_shed and not self.is_descendant(entry.id, final):
                self._entries[entry.id] = replace(entry, block=None)

    def _drop_below(self, height: int) -> None:
        """Forget the blocks below a height."""
        self._entries = {i: e for i, e in self._entries.items() if e.state.height >= height}
        self._children = {i: below for i, below in self._children.items() if i in self._entries}
