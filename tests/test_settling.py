"""What is on disk of blocks that others have left behind."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from node.chain.block import Block
from node.chain.branches import Entry
from node.chain.codec import encode
from node.chain.forkchoice import BlockTree
from node.chain.hashing import blob_hash
from node.chain.state import genesis_state
from node.chain.table import Table as StateTable
from node.consensus.blockstore import BlockStore
from node.consensus.records import TaskWin, block_key
from node.consensus.settling import MODELS_KEPT, Settling
from node.store.base import Delete, Put, Table
from node.store.blobs import has_blob, put_blob
from node.store.memory import MemoryStore
from tests.chain_world import ATTESTERS, ClaimPlan, World
from tests.desk import Desk
from tests.task_world import make_record, make_terms

TASK, PUBLISHER = blob_hash(b"a published task"), blob_hash(b"its publisher")


async def test_a_block_that_comes_after_its_height_is_final_is_not_kept() -> None:
    desk = Desk(World())
    blocks = [await desk.mine() for _ in range(4)]
    assert desk.chain.final_height == 2
    for place in range(len(ATTESTERS)):
        late = desk.world.fallback_block(blocks[0].id, 2, place)
        await desk.chain.adopt(late, desk.chain.apply(late))
        assert desk.chain.record(late.id) is None
    served = desk.chain.after([desk.world.genesis], limit=9)
    assert served == [block.header.envelope for block in blocks]


async def test_headers_are_served_without_their_bodies() -> None:
    desk = Desk(World())
    blocks = [await desk.mine() for _ in range(4)]
    bodies = [key for key, _ in desk.store.scan(Table.BODIES)]
    desk.store.write([Delete(Table.BODIES, key) for key in bodies])
    headers = [block.header.envelope for block in blocks]
    assert desk.chain.after([blocks[0].id], limit=2) == headers[1:3]
    assert desk.chain.after([blocks[0].id], limit=9) == headers[1:]
    assert desk.chain.down_from(blocks[2].id, limit=2) == headers[2:0:-1]
    assert desk.chain.body(blocks[2].id) is None


class OneBlock:
    """As much of a tree as is asked for when its only block is final."""

    def __init__(self, block: Entry) -> None:
        self.final = block.checkpoint
        self._block = block

    def __contains__(self, _: bytes) -> bool:
        return False

    def entry(self, _: bytes) -> Entry:
        return self._block

    def chain(self, _: bytes) -> list[Entry]:
        return [self._block]


class Keeper:
    """What a node keeps of blocks that have won rounds of one task."""

    def __init__(self) -> None:
        self.world = World()
        self.store = MemoryStore()
        self.restart()

    def restart(self, own_key: bytes = b"") -> None:
        network = self.world.network
        blocks = BlockStore(self.store, network)
        self.settling = Settling(self.store, blocks, network.id, own_key)

    def win(self, height: int, model: bytes) -> None:
        """A block of this height wins a round of the task, and is final."""
        self.store.write(put_blob(model))
        self.settle(height, self.write_win(height, model), is_running=True)

    def write_win(self, height: int, model: bytes) -> Block:
        """A block of this height wins a round of the task; its model is not here yet."""
        plan = ClaimPlan(edit_claim=lambda claim: replace(claim, model_hash=blob_hash(model)))
        block = self.world.claim_block(self.world.genesis, 1, plan)
        win = TaskWin(TASK, 0, encode(make_terms()), PUBLISHER, blob_hash(model))
        self.store.write([Put(Table.TASK_WINS, block.id, encode(win))])
        self.settling.note(block, height, b"")
        return block

    def settle(self, height: int, block: Block | None = None, *, is_running: bool) -> None:
        """A block of this height is final, after which the task still runs or does not."""
        tasks = StateTable([(TASK, make_record())] if is_running else ())
        state = replace(genesis_state(self.world.network), height=height, tasks=tasks)
        final = Entry(bytes(32) if block is None else block.id, state, None, block)
        changes = self.settling.settle(cast("BlockTree", OneBlock(final)))
        self.store.write(changes)
        self.settling.height = height

    def has(self, model: bytes) -> bool:
        return has_blob(self.store, blob_hash(model))


def test_models_that_have_won_are_kept_as_long_as_their_task_runs_and_for_a_while_after() -> None:
    keeper = Keeper()
    keeper.win(10, b"first")
    keeper.win(12, b"second")
    end = 12 + 2 * MODELS_KEPT
    keeper.settle(end, is_running=True)
    keeper.settle(end + MODELS_KEPT - 1, is_running=False)
    assert keeper.has(b"first")
    assert keeper.has(b"second")
    keeper.settle(end + MODELS_KEPT, is_running=False)
    assert not keeper.has(b"first")
    assert not keeper.has(b"second")


def test_models_that_have_won_are_kept_over_a_restart() -> None:
    keeper = Keeper()
    keeper.win(10, b"model")
    keeper.restart()
    end = 10 + 2 * MODELS_KEPT
    keeper.settle(end, is_running=True)
    assert keeper.has(b"model")
    # The task may have ended before the restart, nobody knows when.
    keeper.restart()
    keeper.settle(end + MODELS_KEPT, is_running=False)
    assert keeper.has(b"model")
    keeper.settle(end + 2 * MODELS_KEPT, is_running=False)
    assert not keeper.has(b"model")


def test_a_publishers_own_node_keeps_them_for_good() -> None:
    keeper = Keeper()
    keeper.restart(own_key=PUBLISHER)
    keeper.win(10, b"model")
    for end in (10 + 2 * MODELS_KEPT, 10 + 4 * MODELS_KEPT):
        keeper.settle(end, is_running=False)
        keeper.restart(own_key=PUBLISHER)
    keeper.settle(10 + 6 * MODELS_KEPT, is_running=False)
    assert keeper.has(b"model")


def test_a_publishers_node_keeps_what_it_fetches_after_a_restart() -> None:
    keeper = Keeper()
    block = keeper.write_win(10, b"model")
    keeper.restart(own_key=PUBLISHER)
    keeper.settling.note(block, 10, b"")
    keeper.store.write(put_blob(b"model"))
    keeper.settle(10 + 2 * MODELS_KEPT, is_running=False)
    assert keeper.has(b"model")


def test_a_publishers_node_does_not_keep_what_has_lost_its_height() -> None:
    keeper = Keeper()
    block = keeper.write_win(10, b"model")
    keeper.store.write([Put(Table.BLOCKS, block_key(10, block.id), b"")])
    keeper.restart(own_key=PUBLISHER)
    keeper.settling.note(block, 10, b"")
    keeper.store.write(put_blob(b"model"))
    keeper.settle(10, is_running=True)
    keeper.settle(10 + 2 * MODELS_KEPT, is_running=False)
    assert not keeper.has(b"model")


def test_a_snapshot_that_a_claim_names_as_its_model_is_kept() -> None:
    keeper = Keeper()
    value = bytes(40) + blob_hash(b"snapshot")
    keeper.store.write([Put(Table.SNAPSHOTS, (8).to_bytes(8, "big"), value)])
    keeper.win(10, b"snapshot")
    keeper.settle(10 + 2 * MODELS_KEPT, is_running=False)
    keeper.settle(10 + 4 * MODELS_KEPT, is_running=False)
    assert keeper.has(b"snapshot")
