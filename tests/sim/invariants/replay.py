"""I18: the blocks alone say what the state is."""

from __future__ import annotations

from node.chain.errors import Rejected
from node.chain.forkchoice import BlockTree
from node.chain.state import compute_root
from node.chain.transition import apply_block
from tests.sim.watch import Invariant


class Replays(Invariant):
    """I18: applying the blocks of a node again, from genesis on, gives the roots it holds.

    That one seed gives one trace is the tests' own to check: it takes two worlds.
    """

    name = "I18"

    def on_end(self) -> None:
        for name in self.scene.honest:
            node = self.scene.node(name)
            if node is None:
                continue
            head, tree = node.chain.tree.head(), BlockTree(self.scene.network)
            *path, _genesis = self.watch.ancestors(head.id)
            for block_id in reversed(path):
                block = self.watch.blocks[block_id].block
                context = tree.context_for(block.parent, block.round)
                parent = tree.entry(block.parent).state
                try:
                    tree.add(block, apply_block(context, parent, block, node._designs))
                except Rejected as error:
                    self.fail(f"{name} follows a block of round {block.round} that is {error}")
                    return
            if compute_root(tree.head().state) != compute_root(head.state):
                self.fail(f"{name} holds another state than its blocks give")
            return
