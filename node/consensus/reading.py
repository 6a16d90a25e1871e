"""Blocks that sync brings, decoded once however often they come again while they wait."""

from collections import OrderedDict
from collections.abc import Sequence

from node.aside import Aside
from node.chain.block import Block, check_votes, read_block
from node.chain.envelope import Signed, read_envelope
from node.chain.messages import Vote
from node.wire import WireBlock

MAX_BYTES = 32 * 1024 * 1024
"""Bytes of bodies whose blocks are kept, of all peers together; decoded they take about five times
as many."""


class BlockReader:
    """Decodes blocks and checks the votes in them, beside the event loop and one at a time."""

    def __init__(self, network_id: bytes, aside: Aside) -> None:
        self._network_id = network_id
        self._aside = aside
        self._blocks: OrderedDict[bytes, Block] = OrderedDict()
        self._num_bytes = 0
        # The head at which the votes of each were asked for last.
        self._voted_at: dict[bytes, bytes] = {}

    async def read(self, wire: WireBlock) -> Block:
        """As `node.chain.block.read_block`. Raises Rejected."""
        # A header pins its body: what was read before is all that the block can be.
        block_id = read_envelope(wire.header, self._network_id).id
        if (known := self._blocks.get(block_id)) is not None:
            return known
        block = await self._aside(read_block, wire.header, wire.body, self._network_id)
        self._keep(block)
        return block

    async def votes(self, block: Block, head_id: bytes) -> Sequence[Signed[Vote]]:
        """The votes in a block, by the signers they name; none if they were asked for at this head
        before. Another one may give other keys seats. Raises Rejected."""
        if block.id not in self._voted_at:
            await self._aside(check_votes, block, self._network_id)
        if self._voted_at.get(block.id) == head_id:
            return ()
        if block.id in self._blocks:
            self._voted_at[block.id] = head_id
        return block.votes

    def forget(self, final_round: int, block_ids: set[bytes]) -> None:
        """Keep none of these, and none that is not above the final block."""
        for block_id, block in list(self._blocks.items()):
            if block_id in block_ids or block.round <= final_round:
                self._drop(block_id)

    def _keep(self, block: Block) -> None:
        # Another peer may have brought it meanwhile.
        if block.id not in self._blocks:
            self._blocks[block.id] = block
            self._num_bytes += len(block.body_bytes)
        while self._num_bytes > MAX_BYTES:
            self._drop(next(iter(self._blocks)))

    def _drop(self, block_id: bytes) -> None:
        self._num_bytes -= len(self._blocks.pop(block_id).body_bytes)
        self._voted_at.pop(block_id, None)
