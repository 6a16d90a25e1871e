"""When the votes of bonded keys show that another chain than this node's has gone on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from nacl.signing import SigningKey

from node.aside import inline
from node.chain.envelope import sign
from node.chain.genesis import Network, first_bonds
from node.chain.messages import Vote
from node.chain.params import FAST
from node.chain.state import Checkpoint
from node.chain.timing import round_start
from node.clock import LoopClock
from node.consensus.chain import Chain
from node.consensus.dissent import Dissent
from node.store.base import Put, Table
from node.store.memory import MemoryStore
from node.store.writer import InlineWriter
from node.tasks import TaskOwner
from tests.chain_world import ATTESTERS, OUTSIDER, ScriptedDesigns, World, make_network, public
from tests.virtual_time import virtual_time

NOW, FINAL = 6, 4
"""The clock's round, and that of the newest final block here."""
ELSEWHERE = b"e" * 32
"""A block that this node never had."""


class Listener:
    """A node with a block of each round before this one, which hears votes of this round."""

    def __init__(self, network: Network | None = None) -> None:
        self.world = World(network)
        network, self.store = self.world.network, MemoryStore()
        writer = InlineWriter(self.store)
        self.chain = Chain(
            network, ScriptedDesigns(), self.store, writer, TaskOwner(), inline, lambda _: None
        )
        start_ms = round_start(network, NOW)
        self.dissent = Dissent(self.chain, LoopClock(asyncio.get_running_loop(), start_ms))

    async def grow(self, first: int, last: int) -> None:
        """Add blocks of these rounds, each final once two more are there."""
        for number in range(first, last + 1):
            parent = self.world.tree.head()
            votes = self.world.votes(parent.id, ATTESTERS) if parent.block else ()
            block = self.world.add(self.world.fallback_block(parent.id, number, votes=votes))
            await self.chain.adopt(block, self.chain.apply(block))

    def hear(
        self,
        keys: Sequence[SigningKey],
        source: Checkpoint,
        round_number: int = NOW,
        target: bytes = ELSEWHERE,
    ) -> list[bool]:
        vote = Vote(source.round, source.id, round_number, target, b"", b"")
        return [self.dissent.hear(sign(vote, key, self.chain.network.id)) for key in keys]


async def listen() -> Listener:
    listener = Listener()
    await listener.grow(1, NOW)
    assert listener.chain.tree.final.round == FINAL
    return listener


OTHER = Checkpoint(FINAL, b"o" * 32)
"""A block of the round of this node's final one."""


@pytest.mark.parametrize(("voters", "is_strong"), [(1, False), (2, True)])
@virtual_time
async def test_more_than_a_third_of_the_bonds_is_believed(voters: int, is_strong: bool) -> None:
    listener = await listen()
    listener.hear(ATTESTERS[:voters], OTHER)
    assert listener.dissent.is_strong() is is_strong


@virtual_time
async def test_votes_from_a_block_of_this_chain_are_no_dissent() -> None:
    listener = await listen()
    final = listener.chain.tree.final
    assert listener.hear(ATTESTERS, final) == [False] * len(ATTESTERS)
    assert not listener.dissent.is_strong()


@virtual_time
async def test_one_vote_of_a_key_is_passed_on() -> None:
    listener = await listen()
    assert listener.hear(ATTESTERS[:1], OTHER) == [True]
    assert listener.hear(ATTESTERS[:1], OTHER, target=b"f" * 32) == [False]


@virtual_time
async def test_votes_that_a_key_takes_back_are_not_passed_on_again() -> None:
    listener = await listen()
    known = listener.chain.tree.final
    for round_number, is_news in ((NOW, True), (NOW, False), (NOW + 1, True), (NOW + 1, False)):
        assert listener.hear(ATTESTERS[:1], OTHER, round_number) == [is_news]
        listener.hear(ATTESTERS[:1], known, NOW + 2, target=known.id)


@virtual_time
async def test_votes_from_a_block_above_the_final_one_are_judged_when_it_is_passed() -> None:
    """Who is ahead may well be ahead on the same chain."""
    listener = await listen()
    above = Checkpoint(FINAL + 1, b"a" * 32)
    listener.hear(ATTESTERS[:2], above)
    assert not listener.dissent.is_strong()
    # The next round's vote does not push out the one that waits.
    assert listener.hear(ATTESTERS[:2], Checkpoint(FINAL + 2, b"b" * 32), NOW + 1) == [False] * 2
    await listener.grow(NOW + 1, NOW + 1)
    assert listener.chain.tree.final.round == FINAL + 1
    assert listener.dissent.is_strong()


@virtual_time
async def test_keys_without_a_bond_are_not_heard() -> None:
    listener = await listen()
    assert listener.hear([OUTSIDER], OTHER) == [False]


@pytest.mark.parametrize(("larger", "is_heard"), [(127, True), (128, False)])
@virtual_time
async def test_bonds_too_small_for_a_seat_are_not_heard(larger: int, is_heard: bool) -> None:
    """Else whoever has many small ones could make every node remember and pass on votes."""
    keys = {number.to_bytes(32, "big"): 2 for number in range(larger)}
    bonds = first_bonds(FAST, {public(ATTESTERS[0]): 1, **keys}, {})
    listener = Listener(replace(make_network(FAST), bonds=bonds))
    assert listener.hear(ATTESTERS[:1], Checkpoint(1, ELSEWHERE)) == [is_heard]


@virtual_time
async def test_votes_are_judged_once_for_all_that_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = await listen()
    asked = list[bytes]()

    def denies(checkpoint: Checkpoint) -> bool:
        asked.append(checkpoint.id)
        return truly(checkpoint)

    truly = listener.chain.denies
    monkeypatch.setattr(listener.chain, "denies", denies)
    listener.hear(ATTESTERS[:1], OTHER)
    for is_strong, news in [(False, ATTESTERS[1:2]), (True, ())]:
        assert listener.dissent.is_strong() is is_strong
        asked.clear()
        assert listener.dissent.is_strong() is is_strong
        assert not asked
        listener.hear(news, OTHER)
    await listener.grow(NOW + 1, NOW + 1)
    assert listener.dissent.is_strong()
    assert asked == [OTHER.id] * 2


@pytest.mark.parametrize("number", [NOW - 3, NOW + 3])
@virtual_time
async def test_votes_far_from_the_clock_are_not_heard(number: int) -> None:
    """Else old votes could be told again, and again."""
    listener = await listen()
    assert listener.hear(ATTESTERS, OTHER, number) == [False] * len(ATTESTERS)


@virtual_time
async def test_who_comes_over_is_no_dissenter_any_more() -> None:
    listener = await listen()
    listener.hear(ATTESTERS[:2], OTHER)
    head = listener.chain.tree.head()
    listener.hear(ATTESTERS[:1], listener.chain.tree.final, NOW, head.id)
    assert listener.dissent.is_strong()
    listener.hear(ATTESTERS[:1], listener.chain.tree.final, NOW + 1, head.id)
    assert not listener.dissent.is_strong()


@virtual_time
async def test_a_lowest_block_that_the_disk_has_changed_is_no_fault_of_a_voter() -> None:
    listener = await listen()
    store = listener.store
    key, row = next(iter(store.scan(Table.BLOCKS)))
    store.write([Put(Table.BLOCKS, key, row[:20] + bytes([row[20] ^ 1]) + row[21:])])
    assert listener.hear(ATTESTERS, OTHER) == [False] * len(ATTESTERS)
    assert not listener.dissent.is_strong()
