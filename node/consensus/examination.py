"""What lies in a store, judged anew by every rule: is it a chain, and if not, what must go?

Counts of images are not repeated: models are kept for a while only.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from node.chain.codec import decode
from node.chain.envelope import open_as
from node.chain.errors import Reason, Rejected
from node.chain.forkchoice import BlockTree
from node.chain.genesis import Network
from node.chain.hashing import blob_hash
from node.chain.messages import Envelope, Vote
from node.chain.state import Checkpoint
from node.chain.transition import apply_block
from node.chain.validity import DesignRules
from node.consensus.records import BlockRecord, height_of
from node.store.base import Store, Table


class Damage(NamedTuple):
    """A row that is not what this node wrote, or a block without the one that it builds on.

    Without all of these the rest is a chain.
    """

    table: Table
    key: bytes
    reason: str


@dataclass(frozen=True)
class Examination:
    """What a store holds: blocks that stand, the last final one, and all damage."""

    blocks: int
    final: Checkpoint
    damage: tuple[Damage, ...]


def examine(
    store: Store, network: Network, designs: DesignRules, on_block: Callable[[int], None]
) -> Examination:
    """Read all that peers can give again; `on_block` hears of the height of each block.

    Raises SafetyAlarm: the blocks hold two final ones that conflict.
    """
    tree, blocks = BlockTree(network), 0
    damage, loose = list[Damage](), list[bytes]()
    for key, data in store.scan(Table.BLOCKS):
        on_block(height_of(key))
        try:
            if _enter(tree, key, data, designs):
                blocks += 1
            else:
                loose.append(key)
        except Rejected as error:
            damage.append(Damage(Table.BLOCKS, key, str(error)))
    damage += _enter_votes(tree, store)
    # A branch that has lost may have lost its beginning; what is above the head has not lost.
    top = tree.head().state.height
    damage += (
        Damage(Table.BLOCKS, key, "the block that it builds on is missing")
        for key in loose
        if height_of(key) > top
    )
    damage += _bad_blobs(store)
    return Examination(blocks, tree.final, tuple(damage))


def _enter(tree: BlockTree, key: bytes, data: bytes, designs: DesignRules) -> bool:
    """Put a block into the tree; False if what it builds on is not there. Raises Rejected."""
    block = decode(BlockRecord, data).open(tree.network.id)
    if block.parent not in tree:
        return False
    context = tree.context_for(block.parent, block.round)
    state = apply_block(context, tree.entry(block.parent).state, block, designs)
    tree.add(block, state)
    return True


def _enter_votes(tree: BlockTree, store: Store) -> Iterator[Damage]:
    """Count the votes that are kept beside the blocks."""
    for key, data in store.scan(Table.VOTES):
        try:
            tree.add_vote(open_as(Vote, decode(Envelope, data), tree.network.id))
        except Rejected as error:
            # Finality may have passed it by since it was written.
            if error.reason is not Reason.STALE:
                yield Damage(Table.VOTES, key, str(error))


def _bad_blobs(store: Store) -> Iterator[Damage]:
    for key, data in store.scan(Table.BLOBS):
        if blob_hash(data) != key:
            yield Damage(Table.BLOBS, key, "the bytes have another hash")
