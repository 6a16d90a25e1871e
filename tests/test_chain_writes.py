"""What is on the disk of blocks that several peers bring at once, whenever the node is killed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from typing import ParamSpec, TypeVar

import pytest

from node.chain.block import Block
from node.chain.params import FAST
from node.consensus.records import height_of
from node.errors import StoreError
from node.store.base import Change, Table
from node.store.memory import MemoryStore
from tests.chain_world import ATTESTERS, World, make_network
from tests.desk import Desk

P = ParamSpec("P")
T = TypeVar("T")


class Disk(MemoryStore):
    """Remembers what a crash after each write would leave; refuses to write while it is full."""

    def __init__(self) -> None:
        super().__init__()
        self.crashes: list[MemoryStore] = []
        self.is_full = False

    def write(self, changes: Sequence[Change]) -> None:
        if self.is_full:
            raise StoreError("the disk is full")
        super().write(changes)
        left = MemoryStore()
        left._tables = deepcopy(self._tables)
        self.crashes.append(left)


class Held:
    """Implements `Aside`: while it is slow, each piece of work waits until it is let go."""

    def __init__(self) -> None:
        self.is_slow = True
        self._free = asyncio.Semaphore(0)

    async def __call__(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        if self.is_slow:
            await self._free.acquire()
        return work(*args, **kwargs)

    async def let_go(self, pieces: int) -> None:
        for _ in range(pieces):
            self._free.release()
            await _idle()


def make_blocks(world: World, count: int) -> list[Block]:
    blocks: list[Block] = []
    for number in range(1, count + 1):
        parent = world.tree.head()
        votes = world.votes(parent.id, ATTESTERS) if parent.block else ()
        blocks.append(world.add(world.fallback_block(parent.id, number, votes=votes)))
    return blocks


async def _idle() -> None:
    """Until all that can go on has done so."""
    for _ in range(20):
        await asyncio.sleep(0)


def heights(store: MemoryStore) -> list[int]:
    return [height_of(key) for key, _ in store.scan(Table.BLOCKS)]


async def test_a_crash_while_two_peers_bring_blocks_leaves_no_gap() -> None:
    disk, world, slow = Disk(), World(), Held()
    blocks, desk = make_blocks(world, 8), Desk(world, disk, slow)
    rival = world.fallback_block(blocks[2].id, 4, place=1)
    first = asyncio.ensure_future(desk.chain.follow(blocks))
    await slow.let_go(4)
    assert heights(disk) == []
    # Peers that are ahead of the first one, with a branch of their own or without.
    await desk.chain.adopt(rival, desk.chain.apply(rival))
    await slow.let_go(1)
    slow.is_slow = False
    await desk.chain.follow(blocks[:7])
    slow.is_slow = True
    assert (first.done(), heights(disk)[-1]) == (False, 7)
    await slow.let_go(3)
    await first
    assert len(disk.crashes) > 2
    for left in disk.crashes:
        assert Desk(world, left).chain.tree.head().state.height == heights(left)[-1]


async def test_a_block_that_two_peers_bring_at_once_is_checked_once() -> None:
    world, slow = World(), Held()
    blocks, desk = make_blocks(world, 2), Desk(world, aside=slow)
    both = asyncio.gather(*(desk.chain.follow(blocks) for _ in range(2)))
    await slow.let_go(4)
    await both
    assert len(desk.chain.backlog) == 2


async def test_what_a_peer_has_brought_is_written_though_its_sync_is_given_up() -> None:
    disk, world, slow = Disk(), World(), Held()
    blocks, desk = make_blocks(world, 3), Desk(world, disk, slow)
    sync = asyncio.ensure_future(desk.chain.follow(blocks))
    await slow.let_go(2)
    sync.cancel()
    await _idle()
    assert (sync.cancelled(), heights(disk)) == (True, [1, 2])


async def test_what_could_not_be_written_goes_before_what_is_written_next() -> None:
    disk, world = Disk(), World()
    blocks, desk = make_blocks(world, 4), Desk(world, disk)
    disk.is_full = True
    with pytest.raises(StoreError):
        await desk.chain.follow(blocks[:3])
    disk.is_full = False
    await desk.chain.adopt(blocks[3], desk.chain.apply(blocks[3]))
    assert heights(disk) == [1, 2, 3, 4]
    assert Desk(world, disk).chain.tree.head().id == blocks[3].id


async def test_a_block_that_finality_passes_by_before_it_is_written_goes_all_the_same() -> None:
    disk, world, slow = Disk(), World(), Held()
    blocks, desk = make_blocks(world, 2), Desk(world, disk, slow)
    for block in blocks:
        await desk.chain.adopt(block, desk.chain.apply(block))
    rivals = [world.fallback_block(world.genesis, 1, place=1)]
    rivals.append(world.fallback_block(blocks[0].id, 2, place=1))
    late = asyncio.ensure_future(desk.chain.follow(rivals))
    await slow.let_go(1)
    for vote in world.votes(blocks[1].id, ATTESTERS):
        desk.chain.add_vote(vote)
    await _idle()
    assert desk.chain.final_height == 1
    late.cancel()
    with suppress(asyncio.CancelledError):
        await late
    assert heights(disk) == [1, 2]


async def test_blocks_go_on_while_a_snapshot_is_made() -> None:
    disk, slow = Disk(), Held()
    world = World(make_network(replace(FAST, era_rounds=4)))
    desk = Desk(world, disk, slow)
    blocks = make_blocks(world, 7)
    for block in blocks:
        await desk.chain.adopt(block, desk.chain.apply(block))
    await _idle()
    assert (desk.chain.tree.head().id, desk.chain.snapshots()) == (blocks[-1].id, [])
    assert Desk(world, disk.crashes[-1]).chain.tree.head().id == blocks[-1].id
    await slow.let_go(1)
    (snapshot,) = desk.chain.snapshots()
    assert snapshot.checkpoint.id == blocks[3].id
