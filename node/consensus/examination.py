"""What lies in a store, judged anew by every rule: is it a chain, and if not, what must go?

Counts of images are not repeated: models are kept for a while only.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from node.chain.branches import Entry
from node.chain.codec import decode
from node.chain.envelope import open_as
from node.chain.errors import Reason, Rejected
from node.chain.forkchoice import BlockTree
from node.chain.genesis import Network
from node.chain.hashing import blob_hash, u64
from node.chain.messages import Envelope, Vote
from node.chain.state import Checkpoint
from node.chain.transition import apply_block
from node.chain.validity import DesignRules
from node.consensus.blockstore import BlockStore
from node.consensus.records import BlockRecord, height_of, id_of
from node.consensus.snapshot import SnapshotError, decode_snapshot
from node.store.base import Delete, Store, Table


class Damage(NamedTuple):
    """A row that is not what this node wrote, or a block without the one that it builds on."""

    table: Table
    key: bytes
    reason: str

    def removal(self) -> list[Delete]:
        """What makes a chain of the rest, once it is done for all damage."""
        row = Delete(self.table, self.key)
        if self.table is not Table.BLOCKS:
            return [row]
        return [row, Delete(Table.HEIGHTS, id_of(self.key))]


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

    Where the blocks from genesis on do not lead to the newest snapshot, the chain begins anew with
    that one, and what lies loose before it is damage. Raises SafetyAlarm: the blocks hold two final
    ones that conflict.
    """
    base, damage = _snapshots(store, network)
    begins = {entry.id for entry in base}
    tree, blocks, loose = BlockTree(network), 0, list[bytes]()
    for key, data in store.scan(Table.BLOCKS):
        on_block(height_of(key))
        if base and height_of(key) > base[-1].state.height and base[-1].id not in tree:
            damage += _cut_off(loose, tree)
            tree, loose = BlockTree(network, base), []
        try:
            if _enter(tree, key, data, designs) or id_of(key) in begins:
                blocks += 1
            else:
                loose.append(key)
        except Rejected as error:
            damage.append(Damage(Table.BLOCKS, key, str(error)))
    if base and base[-1].id not in tree:
        damage += _cut_off(loose, tree)
        tree, loose = BlockTree(network, base), []
    damage += _enter_votes(tree, store)
    damage += _cut_off(loose, tree)
    damage += _bad_blobs(store)
    damage += _lost_ways(store)
    return Examination(blocks, tree.final, tuple(damage))


def _snapshots(store: Store, network: Network) -> tuple[Sequence[Entry], list[Damage]]:
    """The newest snapshot that can be read, and those that can't."""
    base: Sequence[Entry] = ()
    damage = []
    for snapshot in BlockStore(store, network).snapshots():
        try:
            data = store.get(Table.BLOBS, snapshot.blob) or b""
            base = decode_snapshot(data, snapshot.checkpoint, network)
        except SnapshotError as error:
            damage.append(Damage(Table.SNAPSHOTS, u64(snapshot.height), str(error)))
    return base, damage


def _cut_off(loose: Iterable[bytes], tree: BlockTree) -> Iterator[Damage]:
    """Of the blocks without a parent those above the head.

    A branch that has lost may have lost its beginning; what is above the head has not lost.
    """
    top = tree.head().state.height
    for key in loose:
        if height_of(key) > top:
            yield Damage(Table.BLOCKS, key, "the block that it builds on is missing")


def _lost_ways(store: Store) -> Iterator[Damage]:
    """Ids that lead to no block, and blocks that no id leads to."""
    for block_id, height in store.scan(Table.HEIGHTS):
        if store.get(Table.BLOCKS, height + block_id) is None:
            yield Damage(Table.HEIGHTS, block_id, "it leads to no block")
    for key, _ in store.scan(Table.BLOCKS):
        if store.get(Table.HEIGHTS, id_of(key)) != u64(height_of(key)):
            yield Damage(Table.BLOCKS, key, "its id leads nowhere")


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
