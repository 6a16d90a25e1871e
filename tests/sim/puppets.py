"""Attesters and producers that do nothing by themselves: a test signs with their keys.

What the honest machines of a world make of a certain schedule of blocks and votes can be tried so,
step by step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from node.assembly import Node
from node.chain.block import Block, open_block
from node.chain.envelope import sign
from node.chain.messages import Body, Fallback, Vote
from node.chain.proposal import complete
from node.chain.transition import apply_block
from node.wire import WireBlock
from tests.sim.world import World


class Puppet:
    """Keeps a full node from attesting."""

    def corrupt(self, world: World, name: str, node: Node) -> None:
        node._make_attester = lambda: None  # type: ignore[method-assign]


@dataclass
class Stage:
    """Builds fallback blocks and votes of the puppets on any parent, and shows them to machines."""

    world: World
    tree_of: str

    def block(
        self, parent: bytes, round_number: int, votes: Iterable[Vote] = (), place: int = 0
    ) -> Block:
        """A block of the puppet at a place in the fallback order, with these votes of everybody."""
        node = self.world[self.tree_of]
        tree, network = node.chain.tree, self.world.network
        context = tree.context_for(parent, round_number)
        key = context.fallback_order()[place]
        name = next(name for name in self._puppets() if self.world.key(name) == key)
        signer = self.world.machines[name].setup.identity.signing_key
        draft = Fallback(round_number, parent, place, (), bytes(32), bytes(32))
        state = tree.entry(parent).state
        carried = [
            sign(vote, self.world.machines[each].setup.identity.signing_key, network.id)
            for vote in votes
            for each in self._puppets()
        ]
        header, data = complete(
            context, state, draft, bytes(signer.verify_key), Body(), carried, ()
        )
        block = open_block(sign(header, signer, network.id).envelope, data, network.id)
        tree.add(block, apply_block(context, state, block, node._designs))
        return block

    def vote(self, target: Block) -> Vote:
        """The honest vote for a block."""
        source = self.world[self.tree_of].chain.tree.source_for(target.id)
        return Vote(source.round, source.id, target.round, target.id, b"", b"")

    async def show(self, to: str, *blocks: Block) -> None:
        """Let a machine sync blocks."""
        for block in blocks:
            wire = WireBlock(block.header.envelope, block.body_bytes)
            await self.world[to]._gate.on_blocks([wire], [])

    def tell(self, to: str, vote: Vote, *voters: str) -> None:
        """Let a machine hear the votes of some puppets."""
        for name in voters:
            key = self.world.machines[name].setup.identity.signing_key
            self.world[to]._gate.on_gossip(sign(vote, key, self.world.network.id).envelope)

    def _puppets(self) -> list[str]:
        return [name for name in self.world.machines if name not in self.world.honest]
