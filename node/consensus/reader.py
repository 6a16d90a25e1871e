"""What a node tells peers and people of its blocks."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice
from typing import TypeVar

import structlog

from node.chain.block import Block, read_header
from node.chain.codec import decode
from node.chain.eras import Eras
from node.chain.errors import Rejected
from node.chain.forkchoice import BlockTree
from node.chain.genesis import Network
from node.chain.messages import Envelope
from node.chain.movements import Movement
from node.chain.state import Checkpoint, State
from node.consensus.blockstore import BlockStore, StoredSnapshot
from node.consensus.records import BlockRecord, TaskWin
from node.consensus.settling import Settling
from node.store.base import Store, Table
from node.store.blobs import Part, read_blob, read_part

T = TypeVar("T")

_log = structlog.get_logger("chain")


class ChainReader:
    """Reads the tree, and what is behind it in the store."""

    tree: BlockTree

    def __init__(self, network: Network, store: Store, own_key: bytes = b"") -> None:
        self.network = network
        self._store = store
        self._blocks = BlockStore(store, network)
        self._settling = Settling(store, self._blocks, network.id, own_key)

    @property
    def final_state(self) -> State:
        """State of the final block."""
        return self.tree.entry(self.tree.final.id).state

    def win(self, block_id: bytes) -> TaskWin | None:
        """The published task that a block of this node has won; None for the standing task."""
        data = self._store.get(Table.TASK_WINS, block_id)
        return None if data is None else decode(TaskWin, data)

    def wins(self) -> Iterator[tuple[bytes, TaskWin]]:
        """Blocks that have won published tasks, by id."""
        for block_id, data in self._store.scan(Table.TASK_WINS):
            yield block_id, decode(TaskWin, data)

    def logits_hash(self, block_id: bytes) -> bytes:
        """Hash of the logits of a block's model; empty if it was not counted here."""
        return self._settling.logits_hash(block_id)

    def block(self, block_id: bytes) -> Block | None:
        """A block from the tree or the store; None if it is not here, or for genesis."""
        if block_id in self.tree and (block := self.tree.entry(block_id).block):
            return block
        record = self.record(block_id)
        return None if record is None else record.open(self.network.id)

    def record(self, block_id: bytes) -> BlockRecord | None:
        """A block as it lies in the store, or None; it was checked before it was written."""
        return self._blocks.record(block_id)

    def movements(self, block_id: bytes) -> Sequence[Movement]:
        """What a block did to accounts beside what its body shows."""
        return self._blocks.movements(block_id)

    def body(self, block_id: bytes) -> bytes | None:
        """The body of a block of this node, or None."""
        found = _up_to_damage(self._blocks.body(each) for each in (block_id,))
        return found[0] if found else None

    def height(self, block_id: bytes) -> int | None:
        """Blocks from genesis to a block, or None if it is unknown."""
        return self._blocks.height(block_id)

    def has(self, block_id: bytes) -> bool:
        """Whether a block is in the tree, or final. One of which the disk has kept no more than the
        id may come again."""
        height = self.height(block_id)
        return block_id in self.tree or (height is not None and height <= self.final_height)

    def snapshots(self) -> list[StoredSnapshot]:
        """States that peers can start from, oldest first; their bytes are served as blobs."""
        return self._blocks.snapshots()

    @property
    def missing_blocks(self) -> int:
        """How many blocks after genesis are not here, pruned or not fetched yet."""
        gap = self._blocks.gap()
        return 0 if gap is None else gap.height

    def denies(self, checkpoint: Checkpoint) -> bool:
        """Whether the final chain has no such block in a round that this node has blocks of."""
        tree = self.tree
        if checkpoint.round > tree.final.round:
            return False
        # A block may be in the tree, and final, before it is written.
        if checkpoint.id in tree:
            return not tree.is_descendant(tree.final.id, tree.entry(checkpoint.id).checkpoint)
        if self._height_on_chain(checkpoint.id) is not None:
            return False
        lowest = _up_to_damage(islice(self._blocks.headers_from(0), 1))
        rounds = [read_header(header, self.network.id).message.round for _, header in lowest]
        return any(lowest_round <= checkpoint.round for lowest_round in rounds)

    def eras_at(self, round_number: int) -> Eras:
        """The seats of a round that a block of this node is of.

        Of a fork that has lasted for more than an era it may be the other side's.
        """
        return self._blocks.eras(round_number // self.network.parameters.era_rounds)

    def id_at(self, height: int) -> bytes | None:
        """The block at a height of the chain this node follows, or None if it is not here."""
        if height > self._settling.height:
            chain = self.tree.chain(self.tree.head().id)
            return next((entry.id for entry in chain if entry.state.height == height), None)
        return next(iter(self._blocks.ids_at(height)), None) if height >= 0 else None

    @property
    def final_height(self) -> int:
        return self.final_state.height

    def blob(self, wanted: bytes) -> bytes | None:
        """A model or an accused body that this node serves, by its hash."""
        return read_blob(self._store, wanted)

    def blob_part(self, wanted: bytes, offset: int) -> Part | None:
        """Some bytes of such a blob; the rest is not read."""
        return read_part(self._store, wanted, offset)

    def locator(self) -> list[bytes]:
        """Ids of the followed chain, newest first, at distances that double."""
        top = self.tree.head().state.height
        heights, step = [top], 1
        while heights[-1] > 0:
            heights.append(max(0, heights[-1] - step))
            step *= 2
        return [block_id for height in heights if (block_id := self.id_at(height))]

    def after(self, locator: Sequence[bytes], limit: int) -> list[Envelope]:
        """Headers of the followed chain after the first known id of a locator.

        Nothing if what follows is not here.
        """
        start = next((h for i in locator if (h := self._height_on_chain(i)) is not None), 0)
        return _up_to_damage(islice(self._headers_from(start + 1), limit))

    def _headers_from(self, height: int) -> Iterator[Envelope]:
        """Headers from a height on; as far as a height has one block alone, read in one go."""
        due = range(height, self._settling.height + 1)
        for settled, (found, header) in zip(due, self._blocks.headers_from(height), strict=False):
            if found != settled:
                break
            yield header
            height += 1
        yield from self._headers_at(count(height))

    def _headers_at(self, heights: Iterable[int]) -> Iterator[Envelope]:
        """Headers at some heights, up to the first one that is not here."""
        for height in heights:
            block_id = self.id_at(height)
            header = None if block_id is None else self._blocks.header(block_id)
            if header is None:
                return
            yield header

    def down_from(self, block_id: bytes, limit: int) -> list[Envelope]:
        """Headers of a block of the followed chain and those below it, as far as they are here."""
        top = self._height_on_chain(block_id) or 0
        return _up_to_damage(self._headers_at(range(top, max(0, top - limit), -1)))

    def _height_on_chain(self, block_id: bytes) -> int | None:
        height = self._blocks.height(block_id)
        return height if height is not None and self.id_at(height) == block_id else None


def _up_to_damage(served: Iterator[T]) -> list[T]:
    """What the disk has kept well: peers take for a liar whoever tells them the rest.

    Blocks far below the final one are not read when a node starts.
    """
    sound = list[T]()
    try:
        for each in served:
            sound.append(each)
    except Rejected as error:
        _log.error("block_damaged", reason=str(error))
    return sound
