"""What is kept with blocks, and what of it goes once others are final."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from node.chain.block import Block
from node.chain.branches import Entry
from node.chain.codec import decode
from node.chain.forkchoice import BlockTree
from node.chain.messages import Claim
from node.consensus.blockstore import BlockStore
from node.consensus.false_claims import accused
from node.consensus.records import TaskWin
from node.store.base import Change, Delete, Store, Table
from node.store.blobs import delete_blob, has_blob

MODELS_KEPT = 64
"""Heights below the final one at which models are still served, and after its end a task's."""


class _Win(NamedTuple):
    task_id: bytes
    model_hash: bytes


class Settling:
    """Says which changes of the store follow when finality moves.

    Up to `height` losing blocks were removed. Models that have won tasks of `own_key` stay for
    good.
    """

    def __init__(
        self, store: Store, blocks: BlockStore, network_id: bytes, own_key: bytes = b""
    ) -> None:
        self._store = store
        self._blocks = blocks
        self._network_id = network_id
        self._logits: dict[bytes, bytes] = {}
        # Greatest height of a block that names a model or accuses a body, by the blob's hash.
        self._named: dict[bytes, int] = {}
        self._own_key = own_key
        # By the block that has won, of others' tasks that may still run.
        self._wins: dict[bytes, _Win] = {}
        # Models that have won tasks of `own_key`, by the blocks.
        self._own: dict[bytes, bytes] = {}
        for block_id, data in store.scan(Table.TASK_WINS):
            win = decode(TaskWin, data)
            if win.publisher == own_key or has_blob(store, win.model_hash):
                self._note_win(block_id, win)
        # What the newest snapshot that waits is of: a block and its parent.
        self._due: tuple[Entry, Entry] | None = None
        self.height = 0

    def logits_hash(self, block_id: bytes) -> bytes:
        """Hash of the logits of a block's model; empty if it was not counted here."""
        return self._logits.get(block_id, b"")

    def note(self, block: Block, height: int, logits_hash: bytes) -> None:
        """Remember what a block names, for as long as that is kept."""
        claims = [claim.message for claim in accused(block.transactions, self._network_id)]
        if isinstance(block.header.message, Claim):
            claims.append(block.header.message)
        self._named |= dict.fromkeys(
            (blob for claim in claims for blob in (claim.model_hash, claim.body_hash)), height
        )
        if logits_hash:
            self._logits[block.id] = logits_hash

    def settle(self, tree: BlockTree) -> list[Change]:
        """Drop what nobody needs any more. A snapshot that is due waits for `take_due`."""
        final_chain = tree.chain(tree.final.id)
        fresh = [entry for entry in final_chain if entry.state.height > self.height]
        self._note_wins(fresh)
        changes = [*self._lost_blocks(fresh), *self._old_blobs(tree.entry(tree.final.id))]
        if found := self._new_snapshot(tree, fresh):
            self._due = found
        for key, _ in self._store.scan(Table.VOTES):
            if int.from_bytes(key[:8], "big") >= tree.final.round:
                break
            changes.append(Delete(Table.VOTES, key))
        return changes

    def take_due(self) -> tuple[Entry, Entry] | None:
        """The block of the snapshot that waits, if there is one, after its parent."""
        due, self._due = self._due, None
        return due

    def _lost_blocks(self, fresh: Sequence[Entry]) -> Iterator[Change]:
        """Records of the blocks that did not become final at the heights of those that did."""
        for entry in fresh:
            for block_id in self._blocks.ids_at(entry.state.height):
                if block_id != entry.id:
                    self._logits.pop(block_id, None)
                    self._wins.pop(block_id, None)
                    self._own.pop(block_id, None)
                    yield from self._blocks.drop(entry.state.height, block_id)

    def _old_blobs(self, final: Entry) -> Iterator[Change]:
        """What blocks well below the final one have named, whether they won or not."""
        oldest = final.state.height - MODELS_KEPT
        for block_id in list(self._logits):
            if (self._blocks.height(block_id) or 0) <= oldest:
                del self._logits[block_id]
        self._name_again(final)
        # A claim may have named a snapshot as its model, for nothing but that it be dropped.
        kept = {*self._own.values(), *(snapshot.blob for snapshot in self._blocks.snapshots())}
        for named, height in list(self._named.items()):
            if height <= oldest:
                del self._named[named]
                if named not in kept:
                    yield from delete_blob(self._store, named)

    def _note_wins(self, fresh: Sequence[Entry]) -> None:
        for entry in fresh:
            if (data := self._store.get(Table.TASK_WINS, entry.id)) is not None:
                self._note_win(entry.id, decode(TaskWin, data))

    def _note_win(self, block_id: bytes, win: TaskWin) -> None:
        if win.publisher == self._own_key:
            self._own[block_id] = win.model_hash
        else:
            self._wins[block_id] = _Win(win.task_id, win.model_hash)

    def _name_again(self, final: Entry) -> None:
        """Models of tasks that are not over are kept as if the final block had named them.

        Their publishers fetch them, and who wins next has to beat the last of them.
        """
        tasks, height = final.state.tasks, final.state.height
        for record in tasks.values():
            self._named |= dict.fromkeys((each.model_hash for each in record.incumbents), height)
        for block_id, win in list(self._wins.items()):
            if win.task_id in tasks:
                self._named[win.model_hash] = height
            else:
                del self._wins[block_id]
                # After a restart it may have no name any more.
                self._named.setdefault(win.model_hash, height)

    def _new_snapshot(self, tree: BlockTree, fresh: Sequence[Entry]) -> tuple[Entry, Entry] | None:
        """The newest of these final blocks that begins an era, after its parent."""
        held = {snapshot.checkpoint for snapshot in self._blocks.snapshots()}
        for entry in fresh:
            if entry.parent is None or entry.parent not in tree or entry.checkpoint in held:
                continue
            parent = tree.entry(entry.parent)
            if parent.state.eras.era != entry.state.eras.era:
                return parent, entry
        return None
