"""The blocks a node holds: a tree in memory, everything behind it in the store."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from node.chain.block import Block
from node.chain.codec import decode, encode
from node.chain.context import RoundContext
from node.chain.envelope import Signed, open_as
from node.chain.eras import Eras
from node.chain.errors import Reason, Rejected, SafetyAlarm
from node.chain.forkchoice import BlockTree, Entry
from node.chain.genesis import Network
from node.chain.hashing import u64
from node.chain.messages import Claim, Envelope, Vote
from node.chain.state import State
from node.chain.transition import apply_block
from node.chain.validity import DesignRules
from node.consensus.records import BlockRecord, block_key
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
        self.tree = BlockTree(network)
        self._designs = designs
        self._store = store
        self._writer = writer
        self._tasks = tasks
        self._on_alarm = on_alarm
        # Height of every block in the store, and the id at every final height.
        self._heights: dict[bytes, int] = {network.genesis_id: 0}
        self._final_ids: list[bytes] = [network.genesis_id]
        self._logits: dict[bytes, bytes] = {}
        # The first block of each signer in each round that is not final yet.
        self._signed: dict[tuple[bytes, int], bytes] = {}
        # Greatest height of a block with this model, by the model's hash.
        self._models: dict[bytes, int] = {}
        # The seats that counted in each era, for people who ask about old blocks.
        self._eras: dict[int, Eras] = {}
        # Final heights whose losing blocks are still in the store.
        self._unsettled: list[int] = []
        self._load()

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

    def apply(self, block: Block) -> State:
        """State after a block by every rule but the count. Raises Rejected."""
        parent = self.tree.entry(block.parent).state
        context = self.tree.context_for(block.parent, block.round)
        return apply_block(context, parent, block, self._designs)

    async def adopt(
        self, block: Block, state: State, model: bytes | None = None, logits_hash: bytes = b""
    ) -> None:
        """Keep a block that `apply` let pass. Raises SafetyAlarm."""
        if block.id in self.tree:
            return
        key, record = block_key(state.height, block.id), BlockRecord.of(block, logits_hash)
        changes: list[Change] = [Put(Table.BLOCKS, key, encode(record))]
        if model is not None and isinstance(block.header.message, Claim):
            changes.append(Put(Table.BLOBS, block.header.message.model_hash, model))
        await self._writer.write(changes)
        final = self.tree.final
        self._enter(block, state, logits_hash)
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
            self._unsettled += self._note_final()
            self._tasks.spawn(self._settle(), name="settle")
        return is_new

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
        """A block as it lies in the store; it was checked before it was written."""
        height = self._heights.get(block_id)
        if height is None:
            return None
        data = self._store.get(Table.BLOCKS, block_key(height, block_id))
        return None if data is None else decode(BlockRecord, data)

    def body(self, block_id: bytes) -> bytes | None:
        """The body of a block of this node, or None."""
        record = self.record(block_id)
        return None if record is None else record.body

    def height(self, block_id: bytes) -> int | None:
        """Blocks from genesis to a block, or None if it is unknown."""
        return self._heights.get(block_id)

    def eras_at(self, round_number: int) -> Eras:
        """The seats of a round that a block of this node is of.

        Of a fork that has lasted for more than an era it may be the other side's.
        """
        return self._eras[round_number // self.network.parameters.era_rounds]

    def id_at(self, height: int) -> bytes | None:
        """The block at a height of the chain this node follows."""
        if 0 <= height < len(self._final_ids):
            return self._final_ids[height]
        chain = self.tree.chain(self.tree.head().id)
        return next((entry.id for entry in chain if entry.state.height == height), None)

    @property
    def final_height(self) -> int:
        return len(self._final_ids) - 1

    def blob(self, blob_hash: bytes) -> bytes | None:
        """A model that this node serves."""
        return self._store.get(Table.BLOBS, blob_hash)

    def locator(self) -> list[bytes]:
        """Ids of the followed chain, newest first, at distances that double."""
        top = self.tree.head().state.height
        heights, step = [top], 1
        while heights[-1] > 0:
            heights.append(max(0, heights[-1] - step))
            step *= 2
        return [block_id for height in heights if (block_id := self.id_at(height))]

    def after(self, locator: Sequence[bytes], limit: int) -> list[tuple[Envelope, bytes]]:
        """Headers and bodies of the followed chain after the first known id of a locator."""
        start = next((h for i in locator if (h := self._height_on_chain(i)) is not None), 0)
        top = self.tree.head().state.height
        ids = (self.id_at(height) for height in range(start + 1, min(top, start + limit) + 1))
        records = (record for block_id in ids if block_id and (record := self.record(block_id)))
        return [(record.envelope, record.body) for record in records]

    def _height_on_chain(self, block_id: bytes) -> int | None:
        height = self._heights.get(block_id)
        return height if height is not None and self.id_at(height) == block_id else None

    def _enter(self, block: Block, state: State, logits_hash: bytes) -> None:
        with self._alarmed():
            self.tree.add(block, state)
        self._heights[block.id] = state.height
        self._eras[state.eras.era] = state.eras
        if isinstance(block.header.message, Claim):
            self._models[block.header.message.model_hash] = state.height
        self._signed.setdefault((block.header.signer, block.round), block.id)
        if logits_hash:
            self._logits[block.id] = logits_hash
        self._unsettled += self._note_final()

    @contextmanager
    def _alarmed(self) -> Iterator[None]:
        """Remember a split for good, and tell the node, whoever's call it is that shows it."""
        try:
            yield
        except SafetyAlarm as alarm:
            # At once and in the open: from here on the node does nothing but stop.
            self._store.write([Put(Table.META, _ALARM, str(alarm).encode())])
            self._on_alarm(alarm)
            raise

    def _note_final(self) -> list[int]:
        """Extend the final ids; returns the heights that are new."""
        fresh: list[bytes] = []
        for entry in self.tree.chain(self.tree.final.id):
            if entry.state.height < len(self._final_ids):
                break
            fresh.append(entry.id)
        start = len(self._final_ids)
        self._final_ids.extend(reversed(fresh))
        return list(range(start, len(self._final_ids)))

    async def _settle(self) -> None:
        """After finality has moved: drop what nobody needs any more."""
        heights, self._unsettled = self._unsettled, []
        final_round = self.tree.final.round
        self._signed = {key: i for key, i in self._signed.items() if key[1] >= final_round}
        changes = [*self._lost_blocks(heights), *self._old_models()]
        for key, _ in self._store.scan(Table.VOTES):
            if int.from_bytes(key[:8], "big") >= final_round:
                break
            changes.append(Delete(Table.VOTES, key))
        if changes:
            await self._writer.write(changes)

    def _lost_blocks(self, heights: Sequence[int]) -> Iterator[Change]:
        """Records of the blocks that did not become final at these heights."""
        for height in heights:
            for key, _ in self._store.scan(Table.BLOCKS, u64(height)):
                if key[:8] != u64(height):
                    break
                if key[8:] != self._final_ids[height]:
                    self._heights.pop(key[8:], None)
                    self._logits.pop(key[8:], None)
                    yield Delete(Table.BLOCKS, key)

    def _old_models(self) -> Iterator[Change]:
        """Models of blocks well below the final one, whether they won or not."""
        oldest = len(self._final_ids) - MODELS_KEPT
        self._logits = {i: h for i, h in self._logits.items() if self._heights[i] >= oldest}
        for model_hash, height in list(self._models.items()):
            if height < oldest:
                del self._models[model_hash]
                yield Delete(Table.BLOBS, model_hash)

    def _load(self) -> None:
        """Re-enter what was kept: it was checked before it was written, so it needs no count."""
        if alarm := self._store.get(Table.META, _ALARM):
            raise SafetyAlarm(alarm.decode())
        try:
            for _, data in self._store.scan(Table.BLOCKS):
                record = decode(BlockRecord, data)
                block = record.open(self.network.id)
                # A branch whose beginning has lost leads nowhere.
                if block.parent in self.tree:
                    self._enter(block, self.apply(block), record.logits_hash)
            for _, data in self._store.scan(Table.VOTES):
                vote = open_as(Vote, decode(Envelope, data), self.network.id)
                self._readd(vote)
        except Rejected as error:
            raise StoreError(
                f"the chain in the data folder is damaged: {error.detail}; "
                "`ponas chain repair` removes what is damaged, to be had again from peers"
            ) from error
        self._unsettled += self._note_final()

    def _readd(self, vote: Signed[Vote]) -> None:
        try:
            self.tree.add_vote(vote)
        except Rejected as error:
            # Finality may have passed it by since it was written.
            if error.reason is not Reason.STALE:
                raise
