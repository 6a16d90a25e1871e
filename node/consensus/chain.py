"""The blocks a node holds: a tree in memory, everything behind it in the store."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from node.aside import Aside
from node.chain.block import Block, Header
from node.chain.branches import Entry
from node.chain.codec import decode, encode
from node.chain.context import RoundContext
from node.chain.envelope import Signed, open_as
from node.chain.eras import Eras
from node.chain.errors import Reason, Rejected, SafetyAlarm
from node.chain.forkchoice import BlockTree
from node.chain.genesis import Network
from node.chain.hashing import blob_hash, u64
from node.chain.messages import Claim, Envelope, Transaction, Vote
from node.chain.movements import Movement
from node.chain.state import Checkpoint, State
from node.chain.transition import apply_block, check_block, follow_block
from node.chain.validity import DesignRules, check_searchable
from node.consensus.backlog import Backlog
from node.consensus.blockstore import BlockStore, StoredSnapshot
from node.consensus.false_claims import accused
from node.consensus.records import BlockRecord, TaskWin
from node.consensus.snapshot import SnapshotError, encode_snapshot
from node.errors import StoreError
from node.store.base import Change, Delete, Put, Store, Table
from node.store.writer import Writer
from node.tasks import TaskOwner

MODELS_KEPT = 64
"""Heights below the final one at which models are still served."""

# Key of the alarm that stopped this node for good.
_ALARM = b"safety alarm"


class Chain:
    """Valid blocks whose count this node checked or a quorum of votes vouches for.

    `tree` decides the head. `on_alarm` hears of a safety alarm, beside whoever's call raised it.
    """

    def __init__(
        self,
        network: Network,
        designs: DesignRules,
        store: Store,
        writer: Writer,
        tasks: TaskOwner,
        on_alarm: Callable[[SafetyAlarm], None],
    ) -> None:
        self.network = network
        self._designs = designs
        self._store = store
        self._blocks = BlockStore(store, network)
        self._writer = writer
        self._tasks = tasks
        self._on_alarm = on_alarm
        self.backlog = Backlog(
            lambda context, block: check_block(context, block, designs),
            self._alarm,
            self._keep_withheld,
        )
        # The newest snapshot that waits until all below it is checked: a block and its parent.
        self._withheld: tuple[Entry, Entry] | None = None
        self._logits: dict[bytes, bytes] = {}
        # The first block of each signer in each round that is not final yet.
        self._signed: dict[tuple[bytes, int], bytes] = {}
        # Greatest height of a block that names a model or accuses a body, by the blob's hash.
        self._named: dict[bytes, int] = {}
        # Up to here losing blocks were removed from the store.
        self._settled_height = 0
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

    @property
    def final_state(self) -> State:
        """State of the final block."""
        return self.tree.entry(self.tree.final.id).state

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

    def win(self, block_id: bytes) -> TaskWin | None:
        """The published task that a block of this node has won; None for the standing task."""
        data = self._store.get(Table.TASK_WINS, block_id)
        return None if data is None else decode(TaskWin, data)

    def wins(self) -> Iterator[tuple[bytes, TaskWin]]:
        """Blocks that have won published tasks, by id."""
        for block_id, data in self._store.scan(Table.TASK_WINS):
            yield block_id, decode(TaskWin, data)

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
        changes += [Put(Table.BLOBS, blob_hash(blob), blob) for blob in blobs]
        changes += _win_of(self.tree.context_for(block.parent, block.round), block)
        await self._writer.write(changes)
        final = self.tree.final
        self._enter(self.tree, block, state, logits_hash)
        if self.tree.final != final:
            await self._settle()

    async def follow(self, blocks: Sequence[Block], aside: Aside) -> None:
        """Keep blocks that a quorum vouches for, each building on the one before it.

        Their states are followed now, in the order given; the rest is checked by `backlog`.
        Raises Rejected, and SafetyAlarm.
        """
        final, changes = self.tree.final, list[Change]()
        try:
            for block in blocks:
                # Another peer may have brought it meanwhile.
                if block.id in self.tree or self.height(block.id) is not None:
                    continue
                context = self.tree.context_for(block.parent, block.round)
                parent = self.tree.entry(block.parent).state
                state = await aside(follow_block, context, parent, block)
                self.backlog.add(context, block)
                changes += self._blocks.put(block, state, b"")
                changes += _win_of(context, block)
                self._enter(self.tree, block, state, b"")
        finally:
            # Together, since a synced write takes as long as many blocks. What a crash loses comes
            # again by sync: nothing is signed before it is written.
            if changes:
                await self._writer.write(changes)
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
        await self._writer.write(changes)
        self.tree = self._load([parent, entry])

    def logits_hash(self, block_id: bytes) -> bytes:
        """Hash of the logits of a block's model; empty if it was not counted here."""
        return self._logits.get(block_id, b"")

    def has_rival(self, block: Block) -> bool:
        """Whether the same signer has another block of the round in the tree."""
        return self._signed.get((block.header.signer, block.round), block.id) != block.id

    def block(self, block_id: bytes) -> Block | None:
        """A block from the tree or the store; None if unknown, or for genesis."""
        if block_id in self.tree:
            return self.tree.entry(block_id).block
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
        record = self.record(block_id)
        return None if record is None else record.body

    def height(self, block_id: bytes) -> int | None:
        """Blocks from genesis to a block, or None if it is unknown."""
        return self._blocks.height(block_id)

    def snapshots(self) -> list[StoredSnapshot]:
        """States that peers can start from, oldest first; their bytes are served as blobs."""
        return self._blocks.snapshots()

    def denies(self, checkpoint: Checkpoint) -> bool:
        """Whether the final chain has no such block in a round that this node has blocks of."""
        if checkpoint.round > self.tree.final.round:
            return False
        if self._height_on_chain(checkpoint.id) is not None:
            return False
        stored = (record.open(self.network.id) for _, record in self._blocks.records_from(0))
        return next((block.round <= checkpoint.round for block in stored), False)

    def eras_at(self, round_number: int) -> Eras:
        """The seats of a round that a block of this node is of.

        Of a fork that has lasted for more than an era it may be the other side's.
        """
        return self._blocks.eras(round_number // self.network.parameters.era_rounds)

    def id_at(self, height: int) -> bytes | None:
        """The block at a height of the chain this node follows, or None if it is not here."""
        if height > self._settled_height:
            chain = self.tree.chain(self.tree.head().id)
            return next((entry.id for entry in chain if entry.state.height == height), None)
        return next(iter(self._blocks.ids_at(height)), None) if height >= 0 else None

    @property
    def final_height(self) -> int:
        return self.final_state.height

    def blob(self, wanted: bytes) -> bytes | None:
        """A model or an accused body that this node serves, by its hash."""
        return self._store.get(Table.BLOBS, wanted)

    def locator(self) -> list[bytes]:
        """Ids of the followed chain, newest first, at distances that double."""
        top = self.tree.head().state.height
        heights, step = [top], 1
        while heights[-1] > 0:
            heights.append(max(0, heights[-1] - step))
            step *= 2
        return [block_id for height in heights if (block_id := self.id_at(height))]

    def after(self, locator: Sequence[bytes], limit: int) -> list[tuple[Envelope, bytes]]:
        """Headers and bodies of the followed chain after the first known id of a locator.

        Nothing if what follows is not here.
        """
        start = next((h for i in locator if (h := self._height_on_chain(i)) is not None), 0)
        found: list[tuple[Envelope, bytes]] = []
        for height in range(start + 1, start + 1 + limit):
            block_id = self.id_at(height)
            record = None if block_id is None else self.record(block_id)
            if record is None:
                break
            found.append((record.envelope, record.body))
        return found

    def _height_on_chain(self, block_id: bytes) -> int | None:
        height = self._blocks.height(block_id)
        return height if height is not None and self.id_at(height) == block_id else None

    def _enter(self, tree: BlockTree, block: Block, state: State, logits_hash: bytes) -> None:
        with self._alarmed():
            tree.add(block, state)
        self._note(block, state.height, logits_hash)
        self._signed.setdefault((block.header.signer, block.round), block.id)

    def _note(self, block: Block, height: int, logits_hash: bytes) -> None:
        """Remember what a block names, for as long as that is kept."""
        claims = [claim.message for claim in accused(block.transactions, self.network.id)]
        if isinstance(block.header.message, Claim):
            claims.append(block.header.message)
        self._named |= dict.fromkeys(
            (blob for claim in claims for blob in (claim.model_hash, claim.body_hash)), height
        )
        if logits_hash:
            self._logits[block.id] = logits_hash

    @contextmanager
    def _alarmed(self) -> Iterator[None]:
        """Remember a split for good, and tell the node, whoever's call it is that shows it."""
        try:
            yield
        except SafetyAlarm as alarm:
            self._alarm(alarm)
            raise

    def _alarm(self, alarm: SafetyAlarm) -> None:
        # At once and in the open: from here on the node does nothing but stop.
        self._store.write([Put(Table.META, _ALARM, str(alarm).encode())])
        self._on_alarm(alarm)

    async def _settle(self) -> None:
        """After finality has moved: drop what nobody needs any more, and keep what is of use."""
        final_height, final_round = self.final_height, self.tree.final.round
        final_chain = self.tree.chain(self.tree.final.id)
        fresh = [entry for entry in final_chain if entry.state.height > self._settled_height]
        self._signed = {key: i for key, i in self._signed.items() if key[1] >= final_round}
        changes = [*self._lost_blocks(fresh), *self._old_blobs(), *self._new_snapshot(fresh)]
        for key, _ in self._store.scan(Table.VOTES):
            if int.from_bytes(key[:8], "big") >= final_round:
                break
            changes.append(Delete(Table.VOTES, key))
        if changes:
            await self._writer.write(changes)
        self._settled_height = max(self._settled_height, final_height)

    def _lost_blocks(self, fresh: Sequence[Entry]) -> Iterator[Change]:
        """Records of the blocks that did not become final at the heights of those that did."""
        for entry in fresh:
            for block_id in self._blocks.ids_at(entry.state.height):
                if block_id != entry.id:
                    self._logits.pop(block_id, None)
                    yield Delete(Table.TASK_WINS, block_id)
                    yield from self._blocks.drop(entry.state.height, block_id)

    def _old_blobs(self) -> Iterator[Change]:
        """What blocks well below the final one have named, whether they won or not."""
        oldest = self.final_height - MODELS_KEPT
        for block_id in list(self._logits):
            if (self._blocks.height(block_id) or 0) <= oldest:
                del self._logits[block_id]
        # Who wins a published task next has to beat its last winner.
        incumbents = {
            incumbent.model_hash
            for record in self.final_state.tasks.values()
            for incumbent in record.incumbents
        }
        for named, height in list(self._named.items()):
            if height <= oldest and named not in incumbents:
                del self._named[named]
                yield Delete(Table.BLOBS, named)

    def _new_snapshot(self, fresh: Sequence[Entry]) -> Iterator[Change]:
        """The state of the newest of these final blocks that begins an era."""
        held = {snapshot.checkpoint for snapshot in self.snapshots()}
        for entry in fresh:
            if entry.parent is None or entry.parent not in self.tree or entry.checkpoint in held:
                continue
            parent = self.tree.entry(entry.parent)
            if parent.state.eras.era != entry.state.eras.era:
                if self.backlog.reason:
                    # A restart takes what is below a snapshot as checked.
                    self._withheld = parent, entry
                else:
                    yield from self._snapshot(parent, entry)
                return

    def _keep_withheld(self) -> None:
        """Write the snapshot that waited for the backlog."""
        if self._withheld is not None:
            changes, self._withheld = self._snapshot(*self._withheld), None
            self._tasks.spawn(self._writer.write(changes), name="keep snapshot")

    def _snapshot(self, parent: Entry, entry: Entry) -> list[Change]:
        data = encode_snapshot(parent, entry)
        return self._blocks.put_snapshot(entry.state.height, entry.checkpoint, data)

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
                    self._note(block, found, record.logits_hash)
                # A branch whose beginning has lost leads nowhere.
                elif block.parent in tree:
                    context = tree.context_for(block.parent, block.round)
                    parent = tree.entry(block.parent).state
                    state = apply_block(context, parent, block, self._designs)
                    self._enter(tree, block, state, record.logits_hash)
            for _, data in self._store.scan(Table.VOTES):
                _readd(tree, open_as(Vote, decode(Envelope, data), self.network.id))
        except (Rejected, SnapshotError) as error:
            raise StoreError(
                f"the chain in the data folder is damaged: {error}; "
                "`ponas chain repair` removes what is damaged, to be had again from peers"
            ) from error
        tree.adopt_justified()
        *_, lowest = tree.chain(tree.final.id)
        self._settled_height = max(height, lowest.state.height - 1)
        return tree


def _readd(tree: BlockTree, vote: Signed[Vote]) -> None:
    try:
        tree.add_vote(vote)
    except Rejected as error:
        # Finality may have passed it by since it was written.
        if error.reason is not Reason.STALE:
            raise


def _win_of(context: RoundContext, block: Block) -> list[Change]:
    """Remember which published task a block has won, if it has: the state forgets done tasks."""
    paid = context.paid
    if paid is None or block.is_fallback:
        return []
    win = TaskWin(paid.task_id, paid.shard, paid.terms, paid.record.publisher)
    return [Put(Table.TASK_WINS, block.id, encode(win))]
