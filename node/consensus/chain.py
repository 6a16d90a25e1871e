"""The blocks a node holds: a tree in memory, everything behind it in the store."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from node.aside import Aside
from node.chain.block import Block, Header
from node.chain.branches import Entry
from node.chain.codec import decode, encode
from node.chain.context import RoundContext
from node.chain.envelope import Signed, open_as
from node.chain.errors import Reason, Rejected, SafetyAlarm
from node.chain.forkchoice import BlockTree
from node.chain.genesis import Network
from node.chain.hashing import u64
from node.chain.messages import Envelope, Transaction, Vote
from node.chain.state import Checkpoint, State
from node.chain.transition import apply_block, check_block, follow_block
from node.chain.validity import DesignRules, check_searchable
from node.consensus.backlog import Backlog
from node.consensus.blockstore import Gap, put_win
from node.consensus.reader import ChainReader
from node.consensus.settling import MODELS_KEPT
from node.consensus.snapshot import SnapshotError, encode_snapshot
from node.errors import StoreError
from node.store.base import Change, Put, Store, Table
from node.store.blobs import put_blob
from node.store.writer import Writer
from node.tasks import TaskOwner

# Key of the alarm that stopped this node for good.
_ALARM = b"safety alarm"


class Chain(ChainReader):
    """Valid blocks whose count this node checked or a quorum of votes vouches for.

    `tree` decides the head. `on_alarm` hears of a safety alarm, beside whoever's call raised it.
    Models that have won tasks of `own_key` are kept for good.
    """

    def __init__(
        self,
        network: Network,
        designs: DesignRules,
        store: Store,
        writer: Writer,
        tasks: TaskOwner,
        aside: Aside,
        on_alarm: Callable[[SafetyAlarm], None],
        own_key: bytes = b"",
    ) -> None:
        super().__init__(network, store, own_key)
        self._designs = designs
        self._writer = writer
        self._tasks = tasks
        self._aside = aside
        self._on_alarm = on_alarm
        self.backlog = Backlog(
            lambda context, block: check_block(context, block, designs),
            self.stop,
            self._keep_snapshot,
        )
        # The first block of each signer in each round that is not final yet.
        self._signed: dict[tuple[bytes, int], bytes] = {}
        # Rows that are not on the disk yet, in the order of the blocks that they are of.
        self._unwritten: list[Change] = []
        self._writing = asyncio.Lock()
        self.tree = self._load()

    def head(self, before_round: int) -> Entry:
        """The block that a block of `before_round` builds on."""
        return self.tree.head(max_round=before_round - 1)

    def context(self, round_number: int) -> RoundContext:
        """What a round is played with on the chain this node follows."""
        return self.tree.context_for(self.head(round_number).id, round_number)

    def next_context(self) -> RoundContext:
        """What the first block on this node's head is played with, for what waits to be in it."""
        head = self.tree.head()
        return self.tree.context_for(head.id, head.state.round + 1)

    def judge_of(self, header: Header) -> Callable[[Block], State]:
        """What finds the state after the block of a header, by every rule but the count.

        It is pure, and raises Rejected. Raises Rejected itself if the parent is unknown.
        """
        context = self.tree.context_for(header.parent, header.round)
        parent = self.tree.entry(header.parent).state
        return lambda block: apply_block(context, parent, block, self._designs)

    def apply(self, block: Block) -> State:
        """State after a block by every rule but the count. Raises Rejected."""
        return self.judge_of(block.header.message)(block)

    def check_transaction(self, signed: Signed[Transaction]) -> None:
        """Refuse what no state can make valid: a task that can't be searched. Raises Rejected."""
        check_searchable(signed, self._designs)

    async def adopt(
        self, block: Block, state: State, blobs: Sequence[bytes] = (), logits_hash: bytes = b""
    ) -> None:
        """Keep a block that `apply` let pass, and blobs that it names. Raises SafetyAlarm."""
        if block.id in self.tree:
            return
        changes = self._blocks.put(block, state, logits_hash)
        changes += [row for blob in blobs for row in put_blob(blob)]
        changes += put_win(self.tree.context_for(block.parent, block.round), block)
        await self._write(changes)
        final = self.tree.final
        self._enter(self.tree, block, state, logits_hash)
        if self.tree.final != final:
            await self._settle()
        # Finality may have passed it by while it was judged or written, and in the store a height
        # that is final has one block.
        place = Checkpoint(block.round, block.id)
        if state.height <= self.final_height and not self.tree.is_descendant(
            self.tree.final.id, place
        ):
            await self._write(self._blocks.drop(state.height, block.id))

    async def follow(self, blocks: Sequence[Block]) -> None:
        """Keep blocks that a quorum vouches for, each building on the one before it.

        Their states are followed now, in the order given; the rest is checked by `backlog`.
        Raises Rejected, and SafetyAlarm.
        """
        final = self.tree.final
        try:
            for block in blocks:
                if self.has(block.id):
                    continue
                context = self.tree.context_for(block.parent, block.round)
                parent = self.tree.entry(block.parent).state
                state = await self._aside(follow_block, context, parent, block)
                # Another peer may have brought it meanwhile.
                if self.has(block.id):
                    continue
                self.backlog.add(context, block)
                self._unwritten += self._blocks.put(block, state, b"")
                self._unwritten += put_win(context, block)
                self._enter(self.tree, block, state, b"")
        finally:
            # Together, since a synced write takes as long as many blocks. What a crash loses comes
            # again by sync: nothing is signed before it is written.
            await self._write()
        if self.tree.final != final:
            await self._settle()

    def add_vote(self, vote: Signed[Vote], *, is_in_block: bool = False) -> bool:
        """Count a vote, or hold it until its target is known; whether it is new.

        One that `is_in_block` is kept with the block. Raises Rejected and SafetyAlarm.

        The write follows in the background: peers have the vote too, and finality that a crash
        takes from this node is found again from theirs.
        """
        final = self.tree.final
        with self._alarmed():
            is_new = self.tree.add_vote(vote)
        if is_new and not is_in_block:
            key = u64(vote.message.round) + vote.id
            self._tasks.spawn(
                self._writer.write([Put(Table.VOTES, key, encode(vote.envelope))]), name="keep vote"
            )
        if self.tree.final != final:
            self._tasks.spawn(self._settle(), name="settle")
        return is_new

    async def trust(self, checkpoint: Checkpoint) -> None:
        """Take a block of the tree for final on the operator's word. Raises SafetyAlarm."""
        self.tree.trust(checkpoint)
        await self._settle()

    async def begin_at(self, parent: Entry, entry: Entry, snapshot: bytes) -> None:
        """Leave what was known for a final block that others vouch for, given with its parent, and
        the bytes that hold both.

        What is below it is not here then.
        """
        changes: list[Change] = []
        for each in (parent, entry):
            if each.block is not None:
                changes += self._blocks.put(each.block, each.state, b"")
        changes += self._blocks.put_snapshot(entry.state.height, entry.checkpoint, snapshot)
        gap = Gap(parent.state.height - 1, parent.parent) if parent.parent else Gap(0, parent.id)
        changes += self._blocks.put_gap(gap)
        await self._write(changes)
        self.tree = self._load([parent, entry])

    def has_rival(self, block: Block) -> bool:
        """Whether the same signer has another block of the round in the tree."""
        return self._signed.get((block.header.signer, block.round), block.id) != block.id

    def _enter(self, tree: BlockTree, block: Block, state: State, logits_hash: bytes) -> None:
        with self._alarmed():
            tree.add(block, state)
        self._settling.note(block, state.height, logits_hash)
        self._signed.setdefault((block.header.signer, block.round), block.id)

    @contextmanager
    def _alarmed(self) -> Iterator[None]:
        """Remember a split for good, and tell the node, whoever's call it is that shows it."""
        try:
            yield
        except SafetyAlarm as alarm:
            self.stop(alarm)
            raise

    def stop(self, alarm: SafetyAlarm) -> None:
        """Remember an alarm for good, and tell the node."""
        # At once and in the open: from here on the node does nothing but stop.
        self._store.write([Put(Table.META, _ALARM, str(alarm).encode())])
        self._on_alarm(alarm)

    async def _settle(self) -> None:
        """After finality has moved."""
        # It removes, of the rows on the disk, those of blocks that have lost.
        await self._write()
        height, final_round = self.final_height, self.tree.final.round
        self._signed = {key: i for key, i in self._signed.items() if key[1] >= final_round}
        await self._write(self._settling.settle(self.tree))
        self._settling.height = max(self._settling.height, height)
        self._keep_snapshot()

    def _keep_snapshot(self) -> None:
        """Write the snapshot that waits, once all below it is checked: a restart takes it as such.

        The node goes on meanwhile. After a crash it begins at an older one.
        """
        if not self.backlog.reason and (due := self._settling.take_due()):
            self._tasks.spawn(self._write_snapshot(*due), name="keep snapshot")

    async def _write_snapshot(self, parent: Entry, entry: Entry) -> None:
        data = await self._aside(encode_snapshot, parent, entry)
        await self._write(self._blocks.put_snapshot(entry.state.height, entry.checkpoint, data))

    async def _write(self, changes: Sequence[Change] = ()) -> None:
        """Write after what came before: on the disk no block lies without the one below it.

        What can't be written now goes before what is written next.
        """
        self._unwritten += changes
        async with self._writing:
            batch, self._unwritten = self._unwritten, []
            try:
                if batch:
                    await self._writer.write(batch)
            except BaseException:
                self._unwritten = batch + self._unwritten
                raise

    def _load(self, base: Sequence[Entry] = ()) -> BlockTree:
        """Re-enter what was kept: it was checked before it was written, so it needs no count.

        From `base` on, the block of the newest snapshot and its parent; read if it is not given.
        """
        if alarm := self._store.get(Table.META, _ALARM):
            raise SafetyAlarm(alarm.decode())
        try:
            base = base or self._blocks.newest_snapshot()
            tree = BlockTree(self.network, base)
            height = base[-1].state.height if base else 0
            for found, record in self._blocks.records_from(max(0, height - MODELS_KEPT)):
                block = record.open(self.network.id)
                if found <= height:
                    self._settling.note(block, found, record.row.logits_hash)
                elif block.parent not in tree:
                    self._check_lost(found, block)
                else:
                    context = tree.context_for(block.parent, block.round)
                    parent = tree.entry(block.parent).state
                    state = apply_block(context, parent, block, self._designs)
                    self._enter(tree, block, state, record.row.logits_hash)
            for _, data in self._store.scan(Table.VOTES):
                vote = open_as(Vote, decode(Envelope, data), self.network.id)
                # It was kept before its target came, or before finality passed it by. What a
                # voter signed wrongly is no damage.
                with suppress(Rejected):
                    tree.add_vote(vote)
        except (Rejected, SnapshotError) as error:
            raise StoreError(
                f"the chain in the data folder is damaged: {error}; "
                "`ponas chain repair` removes what is damaged, to be had again from peers"
            ) from error
        tree.adopt_justified()
        *_, lowest = tree.chain(tree.final.id)
        self._settling.height = max(height, lowest.state.height - 1)
        return tree

    def _check_lost(self, height: int, block: Block) -> None:
        """Of a branch that has lost the beginning may be gone, but not for want of a row.

        Raises Rejected.
        """
        is_cut = self._blocks.height(block.parent) is not None and not self.record(block.parent)
        if is_cut or not self._blocks.ids_at(height - 1):
            raise Rejected(
                Reason.UNKNOWN_PARENT, f"the block below that of height {height} is lost"
            )
