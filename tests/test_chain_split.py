"""A fork that nothing final ends within an era: when a node has to stop signing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from nacl.signing import SigningKey

from node.chain.params import FAST
from tests.chain_world import ATTESTERS, World, make_network

ERA = 4
LEFT, RIGHT = ATTESTERS[:2], ATTESTERS[2:]


def split(last_round: int, left: Sequence[SigningKey], right: Sequence[SigningKey]) -> World:
    """Two branches from round 1 on to `last_round`, each with the votes of its own side."""
    world = World(make_network(replace(FAST, era_rounds=ERA, unit_fee=0)))
    base = world.add(world.fallback_block(world.genesis, 1)).id
    for place, voters in enumerate((left, right)):
        parent = base
        for number in range(2, last_round + 1):
            block = world.add(world.fallback_block(parent, number, place))
            for vote in world.votes(block.id, voters):
                world.tree.add_vote(vote)
            parent = block.id
    return world


@pytest.mark.parametrize(("last_round", "is_split"), [(1 + ERA, False), (2 + ERA, True)])
def test_a_fork_of_two_halves_is_a_split_after_an_era(last_round: int, is_split: bool) -> None:
    assert split(last_round, LEFT, RIGHT).tree.is_split() is is_split


def test_a_third_does_not_make_a_split() -> None:
    """Else an attester alone could silence all others."""
    assert not split(3 * ERA, LEFT, RIGHT[:1]).tree.is_split()


def test_a_branch_below_the_final_block_is_no_split() -> None:
    world = split(2 + ERA, LEFT, RIGHT)
    head = world.tree.head()
    parent = head.id
    for number in range(head.state.round + 1, head.state.round + 5):
        votes = world.votes(parent, ATTESTERS[:3])
        parent = world.add(world.fallback_block(parent, number, votes=votes)).id
    assert world.tree.final.round > 1
    assert not world.tree.is_split()


def test_a_long_chain_without_a_fork_is_no_split() -> None:
    assert not split(4 * ERA, LEFT, ()).tree.is_split()
