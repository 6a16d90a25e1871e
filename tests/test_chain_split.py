"""A fork that nothing final ends within an era: when a node has to stop signing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from nacl.signing import SigningKey

from node.chain.bonds import BondKind
from node.chain.branches import Branches, Entry
from node.chain.envelope import sign
from node.chain.errors import SafetyAlarm
from node.chain.messages import AddBond
from node.chain.params import FAST
from node.chain.state import Checkpoint
from tests.chain_world import ATTESTERS, FEE, PRODUCERS, World, make_network, public

ERA = 4
LEFT, RIGHT = ATTESTERS[:2], ATTESTERS[2:]
NEWCOMER = PRODUCERS[0]


def split(
    last_round: int,
    left: Sequence[SigningKey],
    right: Sequence[SigningKey],
    bonded_on_the_left: tuple[SigningKey, ...] = (NEWCOMER,),
) -> World:
    """Two branches from round 1 on to `last_round`, each with the votes of its own side.

    Whoever bonds on the left gets a seat there, drawn by the first block of the next era.
    """
    world = World(make_network(replace(FAST, era_rounds=ERA, unit_fee=0)))
    base = world.add(world.fallback_block(world.genesis, 1)).id
    bonds = [
        sign(AddBond(BondKind.ATTEST, public(key), FAST.unit_bond, 0, FEE), key, world.network.id)
        for key in bonded_on_the_left
    ]
    for place, voters in enumerate((left, right)):
        parent = base
        for number in range(2, last_round + 1):
            news = tuple(bonds) if number == 2 and voters is left else ()
            block = world.fallback_block(parent, number, place, transactions=news)
            world.add(block)
            for vote in world.votes(block.id, voters):
                world.tree.add_vote(vote)
            parent = block.id
    return world


@pytest.mark.parametrize(("last_round", "is_split"), [(1 + ERA, False), (2 + ERA, True)])
def test_a_fork_of_two_halves_is_a_split_after_an_era(last_round: int, is_split: bool) -> None:
    assert split(last_round, LEFT, RIGHT).tree.is_split() is is_split


def test_a_fork_whose_sides_have_the_same_seats_is_no_split() -> None:
    """Two quorums of the same seats share an honest one, however old the fork is."""
    assert not split(4 * ERA, LEFT, RIGHT, bonded_on_the_left=()).tree.is_split()


def test_a_split_is_looked_for_in_one_pass_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for at each message, above all while a fork heals."""
    tree = split(4 * ERA, LEFT, RIGHT, bonded_on_the_left=()).tree
    steps = list[bytes]()

    def counted(branches: Branches, block_id: bytes) -> Iterator[Entry]:
        for entry in whole(branches, block_id):
            steps.append(entry.id)
            yield entry

    whole = Branches.chain
    monkeypatch.setattr(Branches, "chain", counted)
    assert not tree.is_split()
    assert len(steps) == 4 * ERA + 1
    assert not tree.is_split()
    assert len(steps) == 4 * ERA + 1


def test_a_split_is_looked_for_again_after_news() -> None:
    world = split(1 + ERA, LEFT, RIGHT)
    assert not world.tree.is_split()
    blocks = [
        world.add(world.fallback_block(tip, 2 + ERA, place))
        for place, tip in enumerate(tips(world, 1 + ERA))
    ]
    before = world.tree.is_split()
    for block, voters in zip(blocks, (LEFT, RIGHT), strict=True):
        for vote in world.votes(block.id, voters):
            world.tree.add_vote(vote)
    assert (before, world.tree.is_split()) == (False, True)


def test_a_third_does_not_make_a_split() -> None:
    """Else an attester alone could silence all others."""
    assert not split(3 * ERA - 1, LEFT, RIGHT[:1]).tree.is_split()


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
    assert not split(3 * ERA - 1, LEFT, ()).tree.is_split()


def test_an_operator_chooses_a_side_by_its_newest_block() -> None:
    world = split(2 + ERA, LEFT, RIGHT)
    followed = world.tree.head()
    assert world.tree.is_split()
    (chosen,) = {tip for tip in tips(world) if tip != followed.id}
    world.tree.trust(Checkpoint(2 + ERA, chosen))
    assert (world.tree.final.id, world.tree.head().id) == (chosen, chosen)
    assert not world.tree.is_split()


def test_no_word_makes_a_block_final_that_a_final_one_excludes() -> None:
    world = split(2 + ERA, LEFT, RIGHT)
    first, second = (Checkpoint(2 + ERA, tip) for tip in tips(world))
    world.tree.trust(first)
    with pytest.raises(SafetyAlarm, match="both final"):
        world.tree.trust(second)


def tips(world: World, round_number: int = 2 + ERA) -> list[bytes]:
    """The block of each side of a round."""
    votes = world.tree.votes()
    return sorted({vote.message.target for vote in votes if vote.message.round == round_number})
