"""What lies in a store, judged anew by every rule: is it a chain, and if not, what must go?

Counts of images are not repeated: models are kept for a while only.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from node.chain.block import open_header
from node.chain.branches import Entry
from node.chain.codec import decode
from node.chain.envelope import open_as
from node.chain.errors import Rejected
from node.chain.forkchoice import BlockTree
from node.chain.genesis import Network
from node.chain.hashing import blob_hash, u64
from node.chain.messages import Envelope, Vote
from node.chain.state import Checkpoint
from node.chain.transition import apply_block
from node.chain.validity import DesignRules
from node.consensus.blockstore import BlockStore, Gap
from node.consensus.records import BlockRecord, HeaderRecord, height_of, id_of
from node.consensus.snapshot import SnapshotError
from node.store.base import Delete, Store, Table
from node.store.blobs import owner_of, read_blob


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
        return [row, Delete(Table.BODIES, self.key), Delete(Table.HEIGHTS, id_of(self.key))]


@dataclass(frozen=True)
class Examination:
    """What a store holds: blocks that stand, the last final one, and all damage.

    Where the first blocks are not here, up to `gap`, those that follow are `unjudged`: hashes bind
    them to one whose state is here.
    """

    blocks: int
    unjudged: int
    gap: Gap | None
    final: Checkpoint
    damage: tuple[Damage, ...]


def examine(
    store: Store, network: Network, designs: DesignRules, on_block: Callable[[int], None]
) -> Examination:
    """Read all that peers can give again; `on_block` hears of the height of each block.

    Where the blocks from genesis on do not lead to the newest snapshot, the chain begins anew with
    that one. What lies loose before it is damage, unless hashes bind it to the snapshot. Raises
    SafetyAlarm: the blocks hold two final ones that conflict.
    """
    blocks = BlockStore(store, network)
    base, damage = _snapshots(blocks)
    top = base[-1].state.height if base else 0
    tree, bound, gap = BlockTree(network), list[bytes](), None
    rows = _told(store.scan(Table.BLOCKS), on_block)
    old = _enter(tree, blocks, takewhile(lambda row: height_of(row[0]) <= top, rows), designs)
    if base and base[-1].id not in tree:
        bound, gap = _bound(store, old.loose, base[-1], network)
        stands = set(bound)
        damage += _cut_off([key for key in old.loose if key not in stands], tree)
        tree, old = BlockTree(network, base), old._replace(loose=[])
    rows = _told(store.scan(Table.BLOCKS, u64(top + 1)), on_block)
    new = _enter(tree, blocks, rows, designs)
    damage += [*old.damage, *new.damage, *_enter_votes(tree, store)]
    damage += _cut_off([*old.loose, *new.loose], tree)
    damage += [*_bad_blobs(store), *_lost_ways(store)]
    entered = old.entered + len(bound) + new.entered
    return Examination(entered, len(bound), gap, tree.final, tuple(damage))


class _Entered(NamedTuple):
    """How many rows are in a tree, which ones build on nothing in it, and which are damaged."""

    entered: int
    loose: list[bytes]
    damage: list[Damage]


_Rows = Iterator[tuple[bytes, bytes]]


def _told(rows: _Rows, on_block: Callable[[int], None]) -> _Rows:
    for key, data in rows:
        on_block(height_of(key))
        yield key, data


def _enter(tree: BlockTree, blocks: BlockStore, rows: _Rows, designs: DesignRules) -> _Entered:
    entered, loose, damage = 0, list[bytes](), list[Damage]()
    for key, data in rows:
        try:
            if enter_record(tree, blocks.join(key, data), designs):
                entered += 1
            else:
                loose.append(key)
        except Rejected as error:
            damage.append(Damage(Table.BLOCKS, key, str(error)))
    return _Entered(entered, loose, damage)


def _bound(
    store: Store, loose: Sequence[bytes], top: Entry, network: Network
) -> tuple[list[bytes], Gap]:
    """Of blocks without a parent, in the order of their heights, those that lead down from one that
    is known without a gap; and the first one that is missing."""
    bound, gap = list[bytes](), Gap(top.state.height, top.id)
    for key in reversed(loose):
        data = store.get(Table.BLOCKS, key)
        if data is not None and (height_of(key), id_of(key)) == gap:
            bound.append(key)
            header = open_header(decode(HeaderRecord, data).envelope, network.id)
            gap = Gap(gap.height - 1, header.message.parent)
    return bound, gap


def _snapshots(blocks: BlockStore) -> tuple[Sequence[Entry], list[Damage]]:
    """The newest snapshot that can be read, and those that can't."""
    base: Sequence[Entry] = ()
    damage = []
    for snapshot in blocks.snapshots():
        try:
            base = blocks.open_snapshot(snapshot)
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
    """Ids and bodies without a block, and blocks that no id leads to."""
    for block_id, height in store.scan(Table.HEIGHTS):
        if store.get(Table.BLOCKS, height + block_id) is None:
            yield Damage(Table.HEIGHTS, block_id, "it leads to no block")
    for key, _ in store.scan(Table.BLOCKS):
        if store.get(Table.HEIGHTS, id_of(key)) != u64(height_of(key)):
            yield Damage(Table.BLOCKS, key, "its id leads nowhere")
    for key, _ in store.scan(Table.BODIES):
        if store.get(Table.BLOCKS, key) is None:
            yield Damage(Table.BODIES, key, "its header is not here")


def enter_record(tree: BlockTree, record: BlockRecord, designs: DesignRules) -> bool:
    """Put a block into the tree; False if what it builds on is not there. Raises Rejected."""
    block = record.open(tree.network.id)
    if block.parent not in tree:
        return False
    context = tree.context_for(block.parent, block.round)
    state = apply_block(context, tree.entry(block.parent).state, block, designs)
    tree.add(block, state)
    return True


def _enter_votes(tree: BlockTree, store: Store) -> Iterator[Damage]:
    """Count the votes that are kept beside the blocks; damage is only what is no vote."""
    for key, data in store.scan(Table.VOTES):
        try:
            vote = open_as(Vote, decode(Envelope, data), tree.network.id)
        except Rejected as error:
            yield Damage(Table.VOTES, key, str(error))
            continue
        # It was kept before its target came, or before finality passed it by.
        with suppress(Rejected):
            tree.add_vote(vote)


def _bad_blobs(store: Store) -> Iterator[Damage]:
    sound = set[bytes]()
    for key, _ in store.scan(Table.BLOBS):
        if blob_hash(read_blob(store, key) or b"") == key:
            sound.add(key)
        else:
            yield Damage(Table.BLOBS, key, "the bytes have another hash")
    for key, _ in store.scan(Table.BLOB_PARTS):
        if owner_of(key) not in sound:
            yield Damage(Table.BLOB_PARTS, key, "it is a part of no blob")
