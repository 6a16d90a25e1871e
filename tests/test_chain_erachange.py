"""What the first block of an era does to bonds and seats, on whole chains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from nacl.signing import SigningKey

from node.chain.block import Block
from node.chain.bonds import Bond, BondKey, BondKind, Unbonding
from node.chain.draft import Draft
from node.chain.erachange import change_era
from node.chain.eras import MAX_ABSENT_ERAS
from node.chain.errors import Reason, Rejected
from node.chain.genesis import FirstBond
from node.chain.params import FAST
from node.chain.state import State, compute_held
from node.chain.table import Table
from tests.chain_world import ATTESTERS, PRODUCERS, World, make_network, public

ERA = 4
UNIT = FAST.unit_bond
PARAMETERS = replace(FAST, era_rounds=ERA)


def attest(key: SigningKey) -> bytes:
    return BondKey(BondKind.ATTEST, public(key)).to_bytes()


def make_world(*amounts: int) -> World:
    """Attesters with bonds of so many units each; producers as ever."""
    network = make_network(PARAMETERS)
    firsts = {public(key): amount * UNIT for key, amount in zip(ATTESTERS, amounts, strict=True)}
    bonds = tuple(
        row._replace(amount=firsts[row.identity]) if row.kind == BondKind.ATTEST else row
        for row in network.bonds
    )
    return World(replace(network, bonds=bonds))


def grow(
    world: World, parent: bytes, number: int, voters: Iterable[SigningKey] = ATTESTERS
) -> Block:
    """A fallback block that carries votes for its parent."""
    votes = () if parent == world.genesis else world.votes(parent, voters)
    return world.add(world.fallback_block(parent, number, votes=votes))


def grow_to(
    world: World, last_round: int, voters: Iterable[SigningKey] = ATTESTERS
) -> tuple[bytes, State]:
    head = world.tree.head()
    for number in range(head.state.round + 1, last_round + 1):
        head = world.tree.entry(grow(world, head.id, number, voters).id)
    return head.id, head.state


def test_an_attester_that_never_votes_loses_its_seat_and_keeps_its_bond() -> None:
    world = make_world(1, 1, 1, 1)
    lazy, key = ATTESTERS[0], attest(ATTESTERS[0])
    for era in range(1, MAX_ABSENT_ERAS + 1):
        _, state = grow_to(world, era * ERA, ATTESTERS[1:])
        assert state.bonds[key] == Bond(public(lazy), UNIT, (), era)
        assert public(lazy) in state.eras.current.weights
    # Drawn by the first block of the era before.
    assert public(lazy) not in state.eras.next.weights
    _, state = grow_to(world, (MAX_ABSENT_ERAS + 1) * ERA, ATTESTERS[1:])
    assert len(state.eras.current.rows) == 3
    assert state.bonds[key].amount == UNIT
    assert all(state.bonds[attest(key)].absent_eras == 0 for key in ATTESTERS[1:])


def test_one_vote_in_an_era_is_enough() -> None:
    world = make_world(1, 1, 1, 1)
    grow_to(world, 2 * ERA - 2, ATTESTERS[1:])
    _, state = grow_to(world, 2 * ERA)
    assert state.bonds[attest(ATTESTERS[0])].absent_eras == 0


def with_unbonding(state: State, key: bytes, *entries: Unbonding) -> State:
    return replace(state, bonds=state.bonds.set(key, Bond(b"o" * 32, 0, entries)))


def test_what_is_unbonded_is_paid_at_the_start_of_its_era() -> None:
    world = make_world(1, 1, 1, 1)
    _, state = grow_to(world, ERA - 1)
    key = attest(ATTESTERS[0])
    state = with_unbonding(state, key, Unbonding(5, 1), Unbonding(7, 2))
    held = compute_held(state)

    def after(state: State, number: int) -> State:
        draft = Draft(state, number)
        change_era(draft, state.eras, PARAMETERS.max_weight)
        return draft.finish(round=number)

    assert after(state, ERA - 1).bonds is state.bonds
    first = after(state, ERA)
    assert first.account(b"o" * 32).balance == 5
    assert first.bonds[key].unbonding == (Unbonding(7, 2),)
    second = after(first, 2 * ERA)
    assert second.account(b"o" * 32).balance == 12
    assert key not in second.bonds
    assert compute_held(first) == compute_held(second) == held


def test_seats_stay_when_nobody_is_bonded() -> None:
    world = make_world(1, 1, 1, 1)
    _, state = grow_to(world, ERA - 1)
    draft = Draft(replace(state, bonds=Table()), ERA)
    change_era(draft, state.eras, PARAMETERS.max_weight)
    assert draft.eras.next == state.eras.current


def test_weights_are_bounded_by_the_parameters() -> None:
    network = make_network(replace(PARAMETERS, max_weight=UNIT + 1))
    heavy = FirstBond(BondKind.ATTEST, public(ATTESTERS[0]), b"o" * 32, 9 * UNIT)
    world = World(replace(network, bonds=(heavy, *network.bonds[1:])))
    _, state = grow_to(world, 0)
    assert state.eras.current.weights[public(ATTESTERS[0])] == UNIT + 1


def move_bonds(world: World, state: State) -> State:
    """The same state, in which the first attester alone is left with a bond."""
    bonds = state.bonds
    for key in ATTESTERS[1:]:
        bonds = bonds.delete(attest(key))
    return replace(state, bonds=bonds)


@pytest.fixture
def moved() -> tuple[World, bytes]:
    """A chain whose first attester alone has seats from era 2 on, and its block of round 3."""
    world = make_world(1, 1, 1, 1)
    grow_to(world, ERA - 2)
    parent = world.tree.head().id
    block = world.fallback_block(parent, ERA - 1, votes=world.votes(parent, ATTESTERS))
    # What transactions will do: bonds change within an era, seats do not.
    world.tree.add(block, move_bonds(world, world.apply(block)))
    return world, block.id


def test_seats_follow_the_bonds_an_era_later(moved: tuple[World, bytes]) -> None:
    world, _ = moved
    _, state = grow_to(world, ERA)
    assert len(state.eras.current.rows) == 4
    assert set(state.eras.next.weights) == {public(ATTESTERS[0])}
    _, state = grow_to(world, 2 * ERA)
    assert set(state.eras.current.weights) == {public(ATTESTERS[0])}
    assert len(state.eras.last.rows) == 4


def test_votes_are_weighed_by_the_seats_of_the_targets_era(moved: tuple[World, bytes]) -> None:
    world, _ = moved
    before, _ = grow_to(world, 2 * ERA - 1, ATTESTERS[:1])
    after = grow(world, before, 2 * ERA, ATTESTERS[:1])
    assert world.tree.justified.round == ERA - 2
    # One vote in four for the last block of the old era, all there is for the first of the new.
    world.tree.add_vote(world.vote(ATTESTERS[0], after.id))
    assert world.tree.justified == (2 * ERA, after.id)
    for key in ATTESTERS[1:3]:
        world.tree.add_vote(world.vote(key, before))
    with pytest.raises(Rejected) as refused:
        world.tree.add_vote(world.vote(ATTESTERS[1], after.id))
    assert refused.value.reason is Reason.NOT_ATTESTER
    # In a body too, each vote counts by its own target's era.
    votes = (world.vote(ATTESTERS[1], before), world.vote(ATTESTERS[0], after.id))
    block = world.add(world.fallback_block(after.id, 2 * ERA + 1, votes=votes))
    assert world.tree.entry(block.id).state.justified == (2 * ERA, after.id)


def test_commits_are_backed_by_bonds_of_the_ancestor() -> None:
    world = make_world(1, 1, 1, 1)
    block = world.fallback_block(world.genesis, 1)
    key = BondKey(BondKind.PRODUCE, public(PRODUCERS[0])).to_bytes()
    state = world.apply(block)
    poorer = replace(state, bonds=state.bonds.set(key, Bond(b"o" * 32, 2 * UNIT - 1)))
    world.tree.add(block, poorer)
    assert world.context(block.id, 2).units(public(PRODUCERS[0])) == 2
    assert world.context(block.id, 3).units(public(PRODUCERS[0])) == 1
    assert world.context(block.id, 3).units(b"nobody" * 6) == 0


def test_votes_for_a_block_of_an_era_yet_open_are_left() -> None:
    """Seats of the era after next depend on blocks to come, so nobody's vote can be weighed."""
    world, ahead = make_world(1, 1, 1, 1), make_world(1, 1, 1, 1)
    grow_to(ahead, 2 * ERA)
    near, far = ahead.tree.ancestor(ahead.tree.head().id, ERA), ahead.tree.head()
    assert world.tree.add_vote(ahead.vote(ATTESTERS[0], near.id))
    assert not world.tree.add_vote(ahead.vote(ATTESTERS[0], far.id))
    grow_to(world, ERA)
    world.tree.head()
    assert world.tree.add_vote(ahead.vote(ATTESTERS[0], far.id))
