"""Old blocks: those below the one that a node began with are brought and checked in the background,
or all too old ones dropped.

Whoever begins with a checkpoint believes its operator, and takes part at once. The history that led
there comes later, from the top down, so that hashes bind every block to the one that is believed;
then all of it is judged from genesis on (consensus A5, A6).
"""

from collections.abc import Sequence
from itertools import islice
from typing import Protocol

import structlog

from node.aside import Aside
from node.chain.block import open_header
from node.chain.bonds import UNBOND_ERAS
from node.chain.errors import InvalidBlock, Reason, Rejected, SafetyAlarm
from node.chain.forkchoice import BlockTree
from node.chain.validity import DesignRules
from node.clock import Clock
from node.consensus.blockstore import BlockStore, Gap, put_win
from node.consensus.chain import Chain
from node.consensus.examination import enter_record
from node.consensus.records import BlockRecord, HeaderRecord
from node.consensus.settling import MODELS_KEPT
from node.errors import StoreError
from node.net.protocol import Header
from node.store.base import Change, Store
from node.store.writer import Writer

# Blocks that are judged or dropped at a time, some tens of milliseconds.
_AT_ONCE = 32
_PAUSE_MS = 5_000

_log = structlog.get_logger("history")


class Ancestors(Protocol):
    """Asks peers for old blocks."""

    async def fetch(self, block_id: bytes) -> Sequence[tuple[Header, bytes]]:
        """Header and body of a block and of some below it, downwards, as hashes bind them."""
        ...


class Historian:
    """Brings the old blocks that are missing, or drops those that are too old if it `prunes`."""

    def __init__(
        self,
        chain: Chain,
        designs: DesignRules,
        store: Store,
        writer: Writer,
        ancestors: Ancestors,
        clock: Clock,
        aside: Aside,
        *,
        prunes: bool,
    ) -> None:
        self._chain = chain
        self._designs = designs
        self._blocks = BlockStore(store, chain.network)
        self._writer = writer
        self._ancestors = ancestors
        self._clock = clock
        self._aside = aside
        self._prunes = prunes

    async def run(self) -> None:
        """Fill the gap as far as peers can, or drop what is too old, until cancelled.

        Ends with an alarm of the chain if its history is not valid.
        """
        work = self._drop_some if self._prunes else self._complete
        try:
            while True:
                if not await work():
                    await self._clock.sleep_until(self._clock.now_ms() + _PAUSE_MS)
        except SafetyAlarm as alarm:
            self._chain.stop(alarm)

    async def _complete(self) -> bool:
        """A step towards the whole history; False if there is nothing to do now."""
        gap = self._blocks.gap()
        if gap is None:
            return False
        try:
            if (gap.height == 0) != (gap.id == self._chain.network.genesis_id):
                raise InvalidBlock(Reason.UNKNOWN_PARENT, "it does not begin with the genesis")
            if gap.height > 0:
                return await self._fetch_below(gap)
            await self._check_all()
        except Rejected as error:
            raise SafetyAlarm(f"the history below the checkpoint is not valid: {error}") from error
        return False

    async def _fetch_below(self, gap: Gap) -> bool:
        """Take in the highest blocks that are missing; whether any came."""
        changes = list[Change]()
        blocks = self._known_from(gap.id) or await self._ancestors.fetch(gap.id)
        for height, (header, body) in zip(range(gap.height, 0, -1), blocks, strict=False):
            for rival in self._blocks.ids_at(height):
                if rival != header.id:
                    changes += self._blocks.drop(height, rival)
            record = BlockRecord(HeaderRecord.of(header.envelope), body)
            changes += self._blocks.put_record(height, header.id, record)
            gap = Gap(height - 1, header.message.parent)
        if changes:
            await self._writer.write([*changes, *self._blocks.put_gap(gap)])
        return bool(changes)

    def _known_from(self, block_id: bytes) -> Sequence[tuple[Header, bytes]]:
        """A block and some below it, if they are here from before this node was away for long."""
        found = list[tuple[Header, bytes]]()
        while len(found) < _AT_ONCE and (record := self._blocks.record(block_id)) is not None:
            header = open_header(record.row.envelope, self._chain.network.id)
            found.append((header, record.body))
            block_id = header.message.parent
        return found

    async def _check_all(self) -> None:
        """Judge all blocks from genesis up to the newest state that is kept, a few at a time."""
        tree, top = BlockTree(self._chain.network), self._blocks.snapshots()[-1]
        for first in range(1, top.height + 1, _AT_ONCE):
            changes = list[Change]()
            for height in range(first, min(first + _AT_ONCE, top.height + 1)):
                # One by one: a full block takes half a second, and a round's own bodies wait.
                judged = await self._aside(self._judge, tree, height)
                # Of several blocks of an era the first tells its seats.
                changes = [*judged, *changes]
            await self._writer.write(changes)
        if top.checkpoint.id not in tree:
            raise StoreError("blocks are missing in the data folder; try `ponas chain repair`")
        await self._writer.write(self._blocks.put_gap(None))
        _log.info("history_complete", blocks=top.height)

    def _judge(self, tree: BlockTree, height: int) -> list[Change]:
        """Put the blocks at a height into a tree; what to write of them. Raises Rejected."""
        changes = list[Change]()
        for block_id in self._blocks.ids_at(height):
            record = self._blocks.record(block_id)
            if record is not None and enter_record(tree, record, self._designs):
                entry = tree.entry(block_id)
                changes = [*self._blocks.put_facts(block_id, entry.state), *changes]
                if entry.block is not None:
                    context = tree.context_for(entry.block.parent, entry.block.round)
                    changes += put_win(context, entry.block)
        return changes

    async def _drop_some(self) -> bool:
        """Drop the oldest blocks, if they are old enough; whether there were any."""
        era_rounds = self._chain.network.parameters.era_rounds
        round_ = self._chain.tree.final.round - UNBOND_ERAS * era_rounds
        height = self._chain.final_height - MODELS_KEPT
        rows = [
            (found, open_header(header, self._chain.network.id))
            for found, header in islice(self._blocks.headers_from(0), _AT_ONCE + 1)
        ]
        old = [row for row in rows[:-1] if row[0] < height and row[1].message.round < round_]
        if not old:
            return False
        changes = [
            change for found, header in old for change in self._blocks.drop(found, header.id)
        ]
        lowest, header = rows[len(old)]
        gap = Gap(lowest - 1, header.message.parent)
        known = self._blocks.gap()
        # Between what a node had long ago and what it began with lies one already.
        if known is None or known.height < gap.height:
            changes += self._blocks.put_gap(gap)
        await self._writer.write(changes)
        return True
