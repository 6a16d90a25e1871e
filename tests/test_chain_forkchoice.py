"""Which chain a node follows, what it holds final, and when it raises the alarm."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.chain.block import Block
from node.chain.envelope import sign
from node.chain.errors import Reason, Rejected, SafetyAlarm
from node.chain.forkchoice import KEPT_HEIGHTS, PRUNED_AT_ONCE, BlockTree
from node.chain.votebook import VoteBook
from tests.chain_world import ATTESTERS, OUTSIDER, ClaimPlan, World, make_network

ONE, TWO, THREE, FOUR = ATTESTERS
QUORUM = ATTESTERS[:3]


@pytest.fixture
def world() -> World:
    return World()


def grow(world: World, parent: bytes, round_number: int) -> Block:
    """A won block with a quorum's votes for its parent in the body."""
    votes = world.votes(parent, QUORUM)
    return world.add(world.claim_block(parent, round_number, ClaimPlan(votes=votes)))


def vote_for(world: World, block: Block, *keys: object) -> None:
    for key in ATTESTERS:
        if key in keys:
            world.tree.add_vote(world.vote(key, block.id))


def test_begins_at_genesis(world: World) -> None:
    assert world.tree.head().id == world.genesis
    assert world.tree.justified == world.tree.final == (0, world.genesis)
    assert world.genesis in world.tree


def test_final_follows_two_rounds_of_votes_in_bodies(world: World) -> None:
    first = grow(world, world.genesis, 1)
    second = grow(world, first.id, 2)
    assert world.tree.justified == (1, first.id)
    assert world.tree.source_for(second.id) == (1, first.id)
    third = grow(world, second.id, 3)
    assert (world.tree.justified, world.tree.final) == ((2, second.id), (1, first.id))
    assert world.tree.head().id == third.id


def test_a_tree_that_begins_between_the_votes_for_a_block_takes_it_for_justified() -> None:
    """Of the quorum for the block below the first, two are in the body of the first itself."""
    world = World()
    below = world.add(world.claim_block(world.genesis, 1))
    first = world.add(world.fallback_block(below.id, 2, votes=world.votes(below.id, (ONE, TWO))))
    votes = world.votes(below.id, (THREE,))
    third = world.add(world.claim_block(first.id, 3, ClaimPlan(votes=votes)))
    fourth = grow(world, third.id, 4)
    fifth = grow(world, fourth.id, 5)
    tree = BlockTree(world.network, [world.tree.entry(below.id), world.tree.entry(first.id)])
    for block in (third, fourth, fifth):
        tree.add(block, world.tree.entry(block.id).state)
    assert tree.final == world.tree.final == (3, third.id)


def test_gossiped_votes_count_like_those_in_bodies(world: World) -> None:
    first = grow(world, world.genesis, 1)
    vote_for(world, first, *QUORUM)
    assert world.tree.justified == (1, first.id)
    second = grow(world, first.id, 2)
    vote_for(world, second, *QUORUM)
    assert world.tree.final == (1, first.id)


def test_a_skipped_round_delays_final(world: World) -> None:
    first = grow(world, world.genesis, 1)
    late = grow(world, first.id, 3)
    vote_for(world, late, *QUORUM)
    assert world.tree.justified == (3, late.id)
    assert world.tree.final == (0, world.genesis)


def test_latest_votes_decide_between_siblings(world: World) -> None:
    siblings = [world.add(world.fallback_block(world.genesis, 1, place)) for place in (0, 1)]
    low, high = sorted(siblings, key=lambda block: block.id)
    assert world.tree.head().id == low.id
    vote_for(world, high, ONE)
    assert world.tree.head().id == high.id
    vote_for(world, low, TWO, THREE)
    assert world.tree.head().id == low.id


def test_only_the_latest_vote_of_an_attester_weighs(world: World) -> None:
    left = world.add(world.fallback_block(world.genesis, 1, 0))
    right = world.add(world.fallback_block(world.genesis, 1, 1))
    vote_for(world, left, ONE, TWO)
    above_right = world.add(world.fallback_block(right.id, 2))
    vote_for(world, above_right, ONE, TWO)
    assert world.tree.head().id == above_right.id


def test_who_votes_twice_in_a_round_weighs_nothing(world: World) -> None:
    siblings = [world.add(world.fallback_block(world.genesis, 1, place)) for place in (0, 1)]
    low, high = sorted(siblings, key=lambda block: block.id)
    vote_for(world, high, ONE)
    vote_for(world, low, ONE)
    vote_for(world, high, TWO)
    assert world.tree.head().id == high.id


def test_justified_outweighs_latest_votes(world: World) -> None:
    left = world.add(world.fallback_block(world.genesis, 1, 0))
    right = world.add(world.fallback_block(world.genesis, 1, 1))
    vote_for(world, left, *QUORUM)
    above_right = world.add(world.fallback_block(right.id, 2))
    vote_for(world, above_right, ONE, TWO)
    assert world.tree.justified == (1, left.id)
    assert world.tree.head().id == left.id


def test_what_late_votes_justify_elsewhere_moves_the_head_only_when_adopted(world: World) -> None:
    left = world.add(world.fallback_block(world.genesis, 1, 0))
    right = world.add(world.fallback_block(world.genesis, 1, 1))
    vote_for(world, left, ONE, TWO)
    above_right = world.add(world.fallback_block(right.id, 2))
    vote_for(world, above_right, ONE, TWO)
    vote_for(world, left, THREE)
    assert world.tree.justified == (1, left.id)
    assert world.tree.head().id == above_right.id
    world.tree.adopt_justified()
    assert world.tree.head().id == left.id


def test_a_block_that_is_final_elsewhere_moves_the_head_at_once(world: World) -> None:
    left = world.add(world.fallback_block(world.genesis, 1, 0))
    right = world.add(world.fallback_block(world.genesis, 2))
    vote_for(world, left, *QUORUM)
    vote_for(world, right, TWO, THREE, FOUR)
    assert world.tree.justified == (2, right.id)
    assert world.tree.head().id == left.id
    votes = world.votes(right.id, (TWO, THREE, FOUR))
    above_right = world.add(world.claim_block(right.id, 3, ClaimPlan(votes=votes)))
    assert world.tree.head().id == left.id
    vote_for(world, above_right, TWO, THREE, FOUR)
    assert world.tree.final == (2, right.id)
    assert world.tree.head().id == above_right.id


def test_head_up_to_a_round_leaves_out_competitors(world: World) -> None:
    first = grow(world, world.genesis, 1)
    rival = grow(world, first.id, 2)
    assert world.tree.head().id == rival.id
    assert world.tree.head(max_round=1).id == first.id
    vote_for(world, rival, *QUORUM)
    assert world.tree.head(max_round=1).id == first.id


def test_context_comes_from_two_rounds_before(world: World) -> None:
    first = grow(world, world.genesis, 1)
    second = grow(world, first.id, 2)
    sibling = world.add(world.fallback_block(first.id, 2))
    assert world.context(world.genesis, 1).ancestor_id == world.genesis
    assert world.context(first.id, 2).ancestor_id == world.genesis
    assert world.context(second.id, 3).ancestor_id == first.id
    assert world.context(sibling.id, 3) == world.context(second.id, 3)
    assert world.context(second.id, 4).ancestor_id == second.id


def refusal(world: World, key: object = ONE, **changes: object) -> Reason:
    target = world.tree.head().id
    signer = next(k for k in (*ATTESTERS, OUTSIDER) if k is key)
    with pytest.raises(Rejected) as refused:
        world.tree.add_vote(world.vote(signer, target, **changes))
    return refused.value.reason


def test_votes_that_cannot_count(world: World) -> None:
    first = grow(world, world.genesis, 1)
    second = grow(world, first.id, 2)
    assert world.tree.head().id == second.id
    assert refusal(world, OUTSIDER) is Reason.NOT_ATTESTER
    assert refusal(world, round=1) is Reason.VOTE_TARGET
    assert refusal(world, source=b"s" * 32) is Reason.VOTE_SOURCE
    assert refusal(world, source_round=0) is Reason.VOTE_SOURCE
    assert refusal(world, round=0) is Reason.STALE


def test_a_vote_counts_as_new_once(world: World) -> None:
    first = grow(world, world.genesis, 1)
    vote = world.vote(ONE, first.id)
    assert world.tree.add_vote(vote)
    assert not world.tree.add_vote(vote)
    assert world.tree.votes() == (vote,)


def test_votes_wait_for_their_target(world: World) -> None:
    other = World()
    block = other.claim_block(other.genesis, 1)
    other.add(block)
    wrong = other.vote(FOUR, block.id, source=b"s" * 32)
    early = [*other.votes(block.id, QUORUM), wrong]
    for vote in early:
        assert world.tree.add_vote(vote)
        assert not world.tree.add_vote(vote)
    assert world.tree.votes() == ()
    world.add(block)
    assert world.tree.justified == (1, block.id)
    assert len(world.tree.votes()) == 3


def test_few_waiting_votes_of_one_attester_are_kept(world: World) -> None:
    book, honest = VoteBook(), world.vote(ONE, world.genesis).message
    targets = [bytes([i]) * 32 for i in range(5)]
    held = [book.hold(sign(replace(honest, target=t), ONE, world.network.id)) for t in targets]
    assert held == [True, True, False, False, False]
    book.hold(sign(replace(honest, target=targets[4]), TWO, world.network.id))
    assert [len(book.release(target)) for target in targets] == [1, 1, 0, 0, 1]


def test_a_new_block_is_the_head_at_once(world: World) -> None:
    parent = world.genesis
    for round_number in (1, 2):
        block = world.claim_block(parent, round_number, ClaimPlan())
        assert world.tree.head().id == parent
        world.add(block)
        assert world.tree.head().id == block.id
        parent = block.id


def test_released_and_forgotten_votes_make_room_for_others(world: World) -> None:
    book, honest = VoteBook(), world.vote(ONE, world.genesis).message
    early, late = bytes([1]) * 32, bytes([2]) * 32

    def hold(target: bytes, round_number: int) -> bool:
        vote = replace(honest, target=target, round=round_number)
        return book.hold(sign(vote, ONE, world.network.id))

    assert [hold(early, 3), hold(late, 3), hold(bytes(32), 3)] == [True, True, False]
    book.release(early)
    assert [hold(early, 3), hold(bytes(32), 3)] == [True, False]
    book.forget_below(4)
    assert hold(bytes(32), 3)


def test_waiting_votes_of_old_rounds_are_forgotten(world: World) -> None:
    book, honest = VoteBook(), world.vote(ONE, world.genesis).message
    for round_number in (3, 4):
        later = replace(honest, round=round_number, target=b"t" * 32)
        book.hold(sign(later, ONE, world.network.id))
    book.forget_below(4)
    assert [vote.message.round for vote in book.release(b"t" * 32)] == [4]


def test_unknown_blocks_have_no_place(world: World) -> None:
    other = World()
    first = grow(other, other.genesis, 1)
    second = grow(other, first.id, 2)
    with pytest.raises(Rejected) as refused:
        world.tree.add(second, other.tree.entry(second.id).state)
    assert refused.value.reason is Reason.UNKNOWN_PARENT


def test_adding_twice_changes_nothing(world: World) -> None:
    first = grow(world, world.genesis, 1)
    world.add(first)
    assert [entry.id for entry in world.tree.chain(first.id)] == [first.id, world.genesis]


def test_conflicting_final_blocks_raise_the_alarm(world: World) -> None:
    left = world.add(world.fallback_block(world.genesis, 1, 0))
    right = world.add(world.fallback_block(world.genesis, 1, 1))
    vote_for(world, left, *ATTESTERS)
    vote_for(world, right, *ATTESTERS)
    above_left = world.add(world.fallback_block(left.id, 2, votes=world.votes(left.id, ATTESTERS)))
    above_right = world.add(
        world.fallback_block(right.id, 2, votes=world.votes(right.id, ATTESTERS))
    )
    vote_for(world, above_left, *QUORUM)
    assert world.tree.final == (1, left.id)
    with pytest.raises(SafetyAlarm, match="both final"):
        vote_for(world, above_right, *QUORUM)
    # Even then the node stays with its own.
    assert world.tree.final == (1, left.id)
    assert world.tree.head().id == above_left.id


def test_own_final_block_is_never_left_for_a_higher_justified_one(world: World) -> None:
    left = world.add(world.fallback_block(world.genesis, 1, 0))
    right = world.add(world.fallback_block(world.genesis, 1, 1))
    vote_for(world, left, *QUORUM)
    above = world.add(world.fallback_block(left.id, 2, votes=world.votes(left.id, QUORUM)))
    vote_for(world, above, *QUORUM)
    far = world.add(world.fallback_block(right.id, 5))
    vote_for(world, far, *QUORUM)
    assert world.tree.final == (1, left.id)
    assert world.tree.head().id == above.id


def test_old_blocks_are_dropped_below_the_final_one() -> None:
    world = World(make_network(attesters=1))
    key, parent, blocks = ONE, world.genesis, []
    final = KEPT_HEIGHTS + PRUNED_AT_ONCE
    for round_number in range(1, final + 3):
        assert world.genesis in world.tree
        votes = world.votes(parent, [key])
        block = world.add(world.fallback_block(parent, round_number, votes=votes))
        blocks.append(block)
        parent = block.id
    assert world.tree.final == (final, blocks[-3].id)
    lowest = [*world.tree.chain(parent)][-1]
    assert lowest.state.height == PRUNED_AT_ONCE
    assert world.genesis not in world.tree
    assert blocks[PRUNED_AT_ONCE - 2].id not in world.tree
    assert all(vote.message.round >= PRUNED_AT_ONCE for vote in world.tree.votes())
    assert world.context(parent, final + 3).ancestor_id == blocks[-2].id
    stale = world.vote(key, parent, round=PRUNED_AT_ONCE)
    with pytest.raises(Rejected) as refused:
        world.tree.add_vote(stale)
    assert refused.value.reason is Reason.STALE


def test_what_has_lost_keeps_its_place_but_no_contents(world: World) -> None:
    """An attester could fill the memory with fallback blocks; votes for them still have to tell of
    a conflict."""
    first = grow(world, world.genesis, 1)
    loser = world.add(world.fallback_block(world.genesis, 1))
    above = world.add(world.fallback_block(loser.id, 2, votes=world.votes(loser.id, QUORUM)))
    second = grow(world, first.id, 2)
    rival = world.add(world.fallback_block(first.id, 2))
    assert world.tree.entry(loser.id).block is loser
    third = grow(world, second.id, 3)
    assert world.tree.final == (1, first.id)
    kept = {each.id for each in (first, second, third, rival)}
    for block in (first, loser, above, second, rival, third):
        assert (world.tree.entry(block.id).block is not None) is (block.id in kept)
    assert world.tree.entry(above.id).parent == loser.id
    with pytest.raises(SafetyAlarm):
        vote_for(world, above, *QUORUM)


def test_votes_back_a_block_that_is_not_here_yet(world: World) -> None:
    other = World()
    block = grow(other, other.genesis, 1)
    for count, vote in enumerate(other.votes(block.id, QUORUM)):
        assert not world.tree.is_backed(block.id), count
        world.tree.add_vote(vote)
    assert world.tree.is_backed(block.id)
