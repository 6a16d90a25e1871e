"""Blocks that wait are decoded once, and their votes looked at once for each head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import pytest

from node.chain.block import Block, check_votes, read_block
from node.chain.errors import Reason, Rejected
from node.consensus import reading
from node.consensus.reading import BlockReader
from node.wire import WireBlock
from tests.chain_world import ATTESTERS, ClaimPlan, World

P = ParamSpec("P")
T = TypeVar("T")


class Noting:
    """Implements `Aside`, and remembers what was done."""

    def __init__(self) -> None:
        self.done: list[Any] = []

    async def __call__(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        self.done.append(work)
        return work(*args, **kwargs)


class Bench:
    """A reader and a chain of three blocks, each but the first with votes for the one below."""

    def __init__(self) -> None:
        self.world = World()
        self.aside = Noting()
        self.reader = BlockReader(self.world.network.id, self.aside)
        self.blocks = list[Block]()
        parent = self.world.genesis
        for number in (1, 2, 3):
            votes = self.world.votes(parent, ATTESTERS) if self.blocks else ()
            block = self.world.claim_block(parent, number, ClaimPlan(votes=votes))
            self.blocks.append(self.world.add(block))
            parent = block.id

    async def read(self, *numbers: int) -> None:
        for number in numbers:
            block = self.blocks[number]
            assert (await self.reader.read(wire_of(block))).id == block.id


def wire_of(block: Block) -> WireBlock:
    return WireBlock(block.header.envelope, block.body_bytes)


async def test_a_block_is_decoded_once() -> None:
    bench = Bench()
    await bench.read(0, 1, 0, 1)
    assert bench.aside.done == [read_block] * 2


async def test_a_wrong_body_is_no_block() -> None:
    bench = Bench()
    wire = WireBlock(bench.blocks[0].header.envelope, bench.blocks[1].body_bytes)
    with pytest.raises(Rejected) as refused:
        await bench.reader.read(wire)
    assert refused.value.reason is Reason.BODY_HASH
    await bench.read(0)


async def test_votes_are_checked_once_and_told_once_for_each_head() -> None:
    bench = Bench()
    block = bench.blocks[1]
    await bench.read(1)
    told = [await bench.reader.votes(block, head) for head in (b"one", b"one", b"two")]
    assert told == [block.votes, (), block.votes]
    assert bench.aside.done == [read_block, check_votes]


async def test_what_was_taken_in_and_what_is_final_is_forgotten() -> None:
    bench = Bench()
    await bench.read(0, 1, 2)
    bench.reader.forget(final_round=1, block_ids={bench.blocks[2].id})
    bench.aside.done.clear()
    await bench.read(1)
    assert bench.aside.done == []
    await bench.read(0, 2)
    assert bench.aside.done == [read_block] * 2


async def test_the_oldest_goes_when_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    sizes = [len(block.body_bytes) for block in bench.blocks]
    monkeypatch.setattr(reading, "MAX_BYTES", sizes[1] + sizes[2])
    await bench.read(0, 1, 2)
    bench.aside.done.clear()
    await bench.read(1, 2)
    assert bench.aside.done == []
    await bench.read(0)
    assert bench.aside.done == [read_block]
