"""A pool's blocks that have become final, also those that did while its node was down."""

from typing import Protocol

from node.consensus.chain import Chain

LOOKED_AT = 16
"""Blocks looked at in one go: a node that catches up has more to do."""


class Paid(Protocol):
    """What is told of a pool's blocks."""

    @property
    def paid_round(self) -> int:
        """The newest round that it was told of, also before a restart; 0 for none."""
        ...

    def paid(self, round_number: int) -> None:
        """Its block of a round is final."""
        ...


class Winnings:
    """Looks through the final chain, block by block, for those of `producer`.

    It begins an era back. Finality that takes longer is a split, in which no pool goes on.
    """

    def __init__(self, producer: bytes, chain: Chain, pool: Paid) -> None:
        self._producer = producer
        self._chain = chain
        self._pool = pool
        self._height = max(0, chain.final_height - chain.network.parameters.era_rounds)

    def tell(self) -> None:
        """Tell the pool of its final blocks that it does not know of, oldest first."""
        final = self._chain.final_height
        for height in range(self._height + 1, min(final, self._height + LOOKED_AT) + 1):
            self._height = height
            block_id = self._chain.id_at(height)
            block = None if block_id is None else self._chain.block(block_id)
            if block is None or block.header.signer != self._producer or block.is_fallback:
                continue
            if block.round > self._pool.paid_round:
                self._pool.paid(block.round)
