"""Who listed what, and whom attesters left out."""

from __future__ import annotations

import asyncio

import pytest

from node.chain.commits import commit_id
from node.chain.envelope import sign
from node.chain.eras import Seat, Seats
from node.chain.messages import Commit, List
from node.clock import LoopClock
from node.consensus.book import Rounds
from node.identity import format_address
from node.inspection.blocks import view_block
from node.inspection.listings import ChainListings, Heard, view_lists
from node.store.base import Delete, Table
from node.views.status import UnknownItem
from tests.chain_world import ATTESTERS, PRODUCERS, ScriptedDesigns, World, public
from tests.desk import Desk

A, B, C, D = (bytes([n]) * 32 for n in range(1, 5))
SEATS = Seats(tuple(Seat(attester, 1) for attester in (A, B, C, D)))
ONE, TWO = b"1" * 32, b"2" * 32


def test_what_more_than_half_listed_and_no_quorum_was_left_out() -> None:
    both = frozenset({ONE, TWO})
    shown = view_lists(5, b"", SEATS, Heard({A: both, B: both, C: frozenset({ONE})}, {}))
    one, two = shown.commits
    assert (one.weight, one.certified, one.left_out) == (3, True, False)
    assert (two.weight, two.certified, two.left_out) == (2, False, False)
    five = Seats((*SEATS.rows, Seat(b"5" * 32, 1)))
    shown = view_lists(5, b"", five, Heard({A: both, B: both, C: frozenset({ONE})}, {}))
    (left, not_left) = shown.commits
    assert (left.left_out, not_left.left_out, shown.left_out) == (True, False, 1)
    assert left.absentees == [D, b"5" * 32]
    assert [(row.has_list, row.left_out) for row in shown.attesters] == [
        (True, 0),
        (True, 0),
        (True, 0),
        (False, 1),
        (False, 1),
    ]


def listings(desk: Desk, rounds: Rounds | None = None) -> ChainListings:
    return ChainListings(desk.chain, rounds or Rounds(), LoopClock(asyncio.get_running_loop()))


async def test_the_lists_of_an_old_round_are_those_in_its_block() -> None:
    desk = Desk(World())
    blocks = [await desk.mine() for _ in range(4)]
    for block in blocks:
        shown = listings(desk).lists(block.round)
        assert (shown.round, shown.block, shown.weight) == (
            block.round,
            block.id,
            4 * desk.world.network.parameters.unit_bond,
        )
        (commit,) = shown.commits
        assert (commit.producer, commit.unit) == (format_address(public(PRODUCERS[1])), 0)
        assert (commit.certified, commit.left_out, commit.absentees) == (True, False, [])
        assert all(row.has_list and row.listed == 1 for row in shown.attesters)


async def test_the_lists_of_a_round_at_hand_are_those_that_were_heard() -> None:
    desk, rounds = Desk(World()), Rounds()
    commit = sign(Commit(1, 2, b"c" * 32), PRODUCERS[0], desk.world.network.id)
    book = rounds.book(1)
    book.add_commit(commit)
    book.add_list(sign(List(1, (commit.id,)), ATTESTERS[0], desk.world.network.id))
    shown = listings(desk, rounds).lists(1)
    (listed,) = shown.commits
    assert listed.id == commit_id(desk.world.network.id, public(PRODUCERS[0]), commit.message)
    assert (listed.producer, listed.unit) == (format_address(public(PRODUCERS[0])), 2)
    assert (shown.block, listed.certified, len(listed.absentees)) == (b"", False, 3)


@pytest.mark.parametrize("number", [0, 3, None])
async def test_a_round_of_which_nothing_is_known(number: int | None) -> None:
    desk = Desk(World())
    await desk.mine()
    with pytest.raises(UnknownItem):
        listings(desk).lists(number)


async def test_what_is_not_checked_yet_is_not_shown() -> None:
    desk = Desk(World())
    block = await desk.mine()
    for key, _ in list(desk.store.scan(Table.ERAS)):
        desk.store.write([Delete(Table.ERAS, key)])
    with pytest.raises(UnknownItem, match="not checked yet"):
        listings(desk).lists(block.round)
    with pytest.raises(UnknownItem, match="not checked yet"):
        view_block(desk.chain, ScriptedDesigns(), block.id)  # type: ignore[arg-type]


async def test_a_block_whose_body_is_lost_is_not_shown_as_another() -> None:
    desk = Desk(World())
    block = await desk.mine()
    while block.id in desk.chain.tree:
        await desk.mine()
    desk.store.write([Delete(Table.BODIES, key) for key, _ in desk.store.scan(Table.BODIES)])
    with pytest.raises(UnknownItem, match="lost the body"):
        view_block(desk.chain, ScriptedDesigns(), block.id)  # type: ignore[arg-type]
