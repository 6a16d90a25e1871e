"""What is on disk of blocks that others have left behind."""

from __future__ import annotations

from tests.chain_world import ATTESTERS, World
from tests.desk import Desk


async def test_a_block_that_comes_after_its_height_is_final_is_not_kept() -> None:
    desk = Desk(World())
    blocks = [await desk.mine() for _ in range(4)]
    assert desk.chain.final_height == 2
    for place in range(len(ATTESTERS)):
        late = desk.world.fallback_block(blocks[0].id, 2, place)
        await desk.chain.adopt(late, desk.chain.apply(late))
        assert desk.chain.record(late.id) is None
    served = [header for header, _ in desk.chain.after([desk.world.genesis], limit=9)]
    assert served == [block.header.envelope for block in blocks]
