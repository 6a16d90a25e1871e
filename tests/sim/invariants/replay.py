"""I18: the blocks alone say what the state is."""

from __future__ import annotations

from collections.abc import Sequence

from node.assembly import Node
from node.chain.block import Block
from node.chain.errors import Rejected
from node.chain.forkchoice import BlockTree
from node.chain.state import compute_root
from node.chain.transition import apply_block
from node.consensus.snapshot import decode_snapshot, encode_snapshot
from tests.sim.watch import Invariant


class Replays(Invariant):
    """I18: applying the blocks of a node again gives the root that it holds, from genesis on as
    well as from a snapshot in the middle, below which everything was forgotten.

    That one seed gives one trace is the tests' own to check: it takes two worlds.
    """

    name = "I18"

    def on_end(self) -> None:
        for name in self.scene.honest:
            if (node := self.scene.node(name)) is not None:
                self._replay(name, node)
                return

    def _replay(self, name: str, node: Node) -> None:
        head, tree = node.chain.tree.head(), BlockTree(self.scene.network)
        *path, _genesis = self.watch.ancestors(head.id)
        blocks = [self.watch.blocks[block_id].block for block_id in reversed(path)]
        middle = len(blocks) // 2
        try:
            _apply(tree, blocks[:middle], node)
            pruned = _pruned(tree, blocks[:middle])
            for each in (tree, pruned):
                _apply(each, blocks[middle:], node)
        except Rejected as error:
            self.fail(f"{name} follows a block that is {error}")
            return
        for each in (tree, pruned):
            last = each.entry(head.id)
            if compute_root(last.state) != compute_root(head.state):
                self.fail(f"{name} holds another state than its blocks give")


def _apply(tree: BlockTree, blocks: Sequence[Block], node: Node) -> None:
    for block in blocks:
        context = tree.context_for(block.parent, block.round)
        parent = tree.entry(block.parent).state
        tree.add(block, apply_block(context, parent, block, node._designs))


def _pruned(tree: BlockTree, blocks: Sequence[Block]) -> BlockTree:
    """A tree that begins with the bytes of the last of these blocks' states."""
    if not blocks:
        return BlockTree(tree.network)
    entry, parent = tree.entry(blocks[-1].id), tree.entry(blocks[-1].parent)
    data = encode_snapshot(parent, entry)
    return BlockTree(tree.network, decode_snapshot(data, entry.checkpoint, tree.network))
