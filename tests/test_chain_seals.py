"""Seals: one a round and attester, fixed long before, and the rules of a round that needs them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from node.chain.bonds import Bond, BondKey, BondKind, Unbonding
from node.chain.context import RoundContext, next_beacon
from node.chain.envelope import Signed, sign
from node.chain.errors import InvalidBlock, Reason, Rejected
from node.chain.hashing import blake, u64
from node.chain.messages import Claim, Seal, Vote
from node.chain.params import FAST, PROCEDURAL, SEALED, Parameters
from node.chain.sealing import check_seal
from node.chain.seals import (
    CHAIN_ROUNDS,
    SealChain,
    draw_sealers,
    make_end,
    make_seal,
    needs_chain,
    registered,
)
from node.chain.state import State, compute_held
from tests.chain_world import (
    ATTESTERS,
    OUTSIDER,
    PRODUCERS,
    ClaimPlan,
    World,
    make_key,
    make_network,
    public,
)

BOND_UNITS = 12
"""Attesters' bonds: one and a half subsidies, so that the first fine leaves something."""
KEY, NETWORK, START = make_key(7), b"n" * 32, 40
END = make_end(KEY, NETWORK, START)
CHAIN = SealChain(END, START, START)
QUORUM = ATTESTERS[:3]
ROUND = 4
"""The first round that can be sealed: chains are registered by votes for the block of round 1."""


# Chains.


def test_a_chain_has_one_seal_for_each_of_its_rounds() -> None:
    for number in (START + 1, START + 2, START + CHAIN_ROUNDS):
        seal = make_seal(KEY, NETWORK, START, number)
        assert CHAIN.can_seal(number)
        assert CHAIN.opens(seal, number)
        assert not CHAIN.opens(seal, number - 1)
        assert not CHAIN.opens(make_seal(make_key(8), NETWORK, START, number), number)
    assert not CHAIN.can_seal(START)
    assert not CHAIN.can_seal(START + CHAIN_ROUNDS + 1)
    for beyond in (START - 1, START + CHAIN_ROUNDS + 1):
        with pytest.raises(ValueError, match=f"no seal of round {beyond}"):
            make_seal(KEY, NETWORK, START, beyond)


def test_a_seal_tells_those_of_earlier_rounds_and_no_later_one() -> None:
    seal = make_seal(KEY, NETWORK, START, 50)
    assert blake("ponas/seal", seal) == make_seal(KEY, NETWORK, START, 49)
    advanced = CHAIN.advanced(seal, 50)
    later = make_seal(KEY, NETWORK, START, 60)
    assert advanced.opens(later, 60)
    assert CHAIN.opens(later, 60)
    assert not advanced.can_seal(50)


def test_chains_of_other_networks_and_starts_have_nothing_in_common() -> None:
    ends = {
        make_end(KEY, NETWORK, START),
        make_end(KEY, b"m" * 32, START),
        make_end(KEY, NETWORK, 41),
    }
    assert len(ends) == 3


def test_a_later_vote_registers_a_new_chain_and_an_earlier_one_none() -> None:
    assert registered(None, END, 3) == SealChain(END, 3, 3)
    assert registered(CHAIN, b"e" * 32, START) == CHAIN
    assert registered(CHAIN, b"e" * 32, START - 1) == CHAIN
    assert registered(CHAIN, b"e" * 32, START + 1) == SealChain(b"e" * 32, START + 1, START + 1)


def test_a_new_chain_is_no_way_around_a_bar() -> None:
    barred = CHAIN.barred(70)
    assert not barred.can_seal(69)
    assert barred.can_seal(70)
    assert registered(barred, b"e" * 32, 60).barred_until == 70


def test_a_chain_is_renewed_when_half_of_it_is_gone() -> None:
    assert needs_chain(None, 1)
    assert not needs_chain(CHAIN, START + CHAIN_ROUNDS // 2 - 1)
    assert needs_chain(CHAIN, START + CHAIN_ROUNDS // 2)


# The draw.


def drawn(weights: dict[bytes, int], count: int, seed: int) -> tuple[bytes, ...]:
    return drawn_of(weights, count, seed, set(weights))


def drawn_of(
    weights: dict[bytes, int], count: int, seed: int, able: set[bytes]
) -> tuple[bytes, ...]:
    return draw_sealers(
        weights, count, lambda number: blake("test", u64(seed), u64(number)), able.__contains__
    )


@given(
    st.dictionaries(st.binary(min_size=32, max_size=32), st.integers(1, 2**56), max_size=12),
    st.integers(0, 8),
    st.integers(0, 2**32),
)
@settings(max_examples=100, deadline=None)
def test_the_drawn_are_different_ascend_and_do_not_depend_on_order(
    weights: dict[bytes, int], count: int, seed: int
) -> None:
    sealers = drawn(weights, count, seed)
    assert len(set(sealers)) == len(sealers) == min(count, len(weights))
    assert sorted(sealers) == list(sealers)
    assert set(sealers) <= set(weights)
    assert drawn(dict(reversed(weights.items())), count, seed) == sealers


@given(
    st.dictionaries(st.binary(min_size=32, max_size=32), st.integers(1, 100), min_size=1),
    st.integers(1, 8),
    st.integers(0, 2**32),
    st.data(),
)
@settings(max_examples=100, deadline=None)
def test_who_is_not_able_changes_nothing_for_the_others(
    weights: dict[bytes, int], count: int, seed: int, data: st.DataObject
) -> None:
    able = data.draw(st.sets(st.sampled_from(sorted(weights))))
    sealers = drawn_of(weights, count, seed, able)
    assert set(sealers) <= able
    assert len(sealers) == min(count, len(able))
    assert set(drawn(weights, count, seed)) & able <= set(sealers)


def test_the_draw_follows_the_weights() -> None:
    weights = {bytes([letter]) * 32: weight for letter, weight in ((1, 1), (2, 2), (3, 7))}
    counts = Counter(drawn(weights, 1, seed)[0][0] for seed in range(2_000))
    assert [round(counts[letter] / 2_000, 1) for letter in (1, 2, 3)] == [0.1, 0.2, 0.7]


# A world whose attesters have registered.


def chain_votes(
    world: World, target: bytes, keys: list[SigningKey] | None = None
) -> tuple[Signed[Vote], ...]:
    """Votes for a block that register the voters' chains."""
    at = world.tree.entry(target).state.round
    return tuple(
        world.vote(key, target, seal_chain=(make_end(key, world.network.id, at),))
        for key in (ATTESTERS if keys is None else keys)
    )


def sealed_world(parameters: Parameters = SEALED, keys: list[SigningKey] | None = None) -> World:
    """Blocks of rounds 1 to 3 without a winner; all of `keys` can seal round 4."""
    world = World(make_network(parameters, bond_units=BOND_UNITS))
    first = world.add(world.fallback_block(world.genesis, 1))
    second = world.add(world.fallback_block(first.id, 2, votes=chain_votes(world, first.id, keys)))
    world.add(world.fallback_block(second.id, 3, votes=world.votes(second.id, ATTESTERS)))
    return world


@pytest.fixture
def world() -> World:
    return sealed_world()


def head(world: World) -> bytes:
    return world.tree.head().id


def context(world: World) -> RoundContext:
    return world.context(head(world), ROUND)


def bond_of(state: State, attester: bytes) -> Bond | None:
    return state.bonds.get(BondKey(BondKind.ATTEST, attester).to_bytes())


def plan(**changes: object) -> ClaimPlan:
    return ClaimPlan(correct=500, edit_claim=lambda claim: replace(claim, **changes))  # type: ignore[arg-type]


def claim_refusal(world: World, **changes: object) -> Reason:
    with pytest.raises(InvalidBlock) as refused:
        world.apply(world.claim_block(head(world), ROUND, plan(**changes)))
    return refused.value.reason


# Who seals.


def test_all_four_of_four_attesters_seal(world: World) -> None:
    assert context(world).sealers == tuple(public(key) for key in ATTESTERS)


def test_nobody_seals_before_chains_are_on_the_chain(world: World) -> None:
    early = World(make_network(SEALED, bond_units=BOND_UNITS))
    assert early.context(early.genesis, 1).sealers == ()
    assert world.context(head(world), 3).sealers == ()


def test_nobody_seals_an_insecure_task() -> None:
    assert context(sealed_world(FAST)).sealers == ()


def test_who_is_barred_or_out_of_seals_is_not_drawn(world: World) -> None:
    fixed, barred, spent = context(world), public(ATTESTERS[1]), public(ATTESTERS[2])
    seals = fixed.state.seals
    for key, chain in (
        (barred, SealChain(END, 1, 1, barred_until=ROUND + 1)),
        (spent, SealChain(END, ROUND, ROUND)),
    ):
        seals = seals.set(key, chain)
    changed = replace(fixed, state=replace(fixed.state, seals=seals))
    assert set(changed.sealers) == set(fixed.sealers) - {barred, spent}


def test_who_cannot_pay_the_fine_is_not_drawn(world: World) -> None:
    fixed, poor = context(world), public(ATTESTERS[1])
    key = BondKey(BondKind.ATTEST, poor).to_bytes()
    for held, is_drawn in ((SEALED.subsidy, True), (SEALED.subsidy - 1, False)):
        bonds = fixed.state.bonds.set(key, Bond(poor, held))
        changed = replace(fixed, state=replace(fixed.state, bonds=bonds))
        assert (poor in changed.sealers) is is_drawn
    # What is on its way back can still be taken.
    leaving = Bond(poor, 1, (Unbonding(SEALED.subsidy - 1, 12),))
    bonds = fixed.state.bonds.set(key, leaving)
    assert poor in replace(fixed, state=replace(fixed.state, bonds=bonds)).sealers


def absent_world(voters: list[SigningKey]) -> World:
    """All can seal; only `voters` voted for the blocks of rounds 2 and 3."""
    world = sealed_world()
    start = head(world)
    fourth = world.add(world.fallback_block(start, 4, votes=world.votes(start, voters)))
    fifth = world.add(world.fallback_block(fourth.id, 5, votes=world.votes(fourth.id, voters)))
    world.add(world.fallback_block(fifth.id, 6))
    return world


def test_who_did_not_vote_lately_is_not_drawn() -> None:
    world = absent_world(QUORUM)
    assert world.context(head(world), 7).sealers == tuple(public(key) for key in QUORUM)


def test_a_block_that_leaves_out_votes_cannot_choose_the_sealers() -> None:
    world = absent_world(ATTESTERS[:2])
    assert len(world.context(head(world), 7).sealers) == 4


def test_the_beacon_draws_four_of_many_by_weight(world: World) -> None:
    fixed = context(world)
    two = replace(fixed, network=replace(fixed.network, parameters=replace(SEALED, seals=2)))
    others = [replace(two, round=number) for number in range(ROUND, ROUND + 20)]
    assert {len(other.sealers) for other in others} == {2}
    assert len({other.sealers for other in others}) > 3


# Messages.


def seal_refusal(world: World, message: Seal, key: SigningKey = ATTESTERS[0]) -> Reason:
    with pytest.raises(Rejected) as refused:
        check_seal(context(world), sign(message, key, world.network.id))
    return refused.value.reason


def test_a_seal_is_the_preimage_of_its_round(world: World) -> None:
    fixed = context(world)
    seal = world.seal(fixed, public(ATTESTERS[0]))
    check_seal(fixed, sign(Seal(ROUND, seal), ATTESTERS[0], world.network.id))
    assert seal_refusal(world, Seal(ROUND + 1, seal)) is Reason.WRONG_ROUND
    assert seal_refusal(world, Seal(ROUND, seal), OUTSIDER) is Reason.NOT_SEALER
    assert seal_refusal(world, Seal(ROUND, b"x" * 32)) is Reason.SEAL
    assert seal_refusal(world, Seal(ROUND, blake("ponas/seal", seal))) is Reason.SEAL
    assert seal_refusal(world, Seal(ROUND, seal), ATTESTERS[1]) is Reason.SEAL


# Claims.


def test_a_claim_with_all_seals_wins_and_moves_beacon_and_tips(world: World) -> None:
    before, fixed = world.tree.head().state, context(world)
    block = world.claim_block(head(world), ROUND, plan())
    state = world.apply(block)
    claim = block.header.message
    assert isinstance(claim, Claim)
    assert len(claim.secrets) == 4
    assert state.issued > before.issued
    assert state.beacon == next_beacon(before.beacon, ROUND, claim.secrets)
    assert state.beacon != next_beacon(before.beacon, ROUND, ())
    for sealer, seal in zip(fixed.sealers, claim.secrets, strict=True):
        assert state.seals.get(sealer) == SealChain(seal, ROUND, 1)


def test_the_test_seed_and_the_tie_need_every_seal(world: World) -> None:
    fixed = context(world)
    secrets = [world.seal(fixed, sealer) for sealer in fixed.sealers]
    seed = fixed.test_seed(secrets)
    assert fixed.test_seed(reversed(secrets)) == seed
    assert fixed.test_seed([*secrets[:3], b"x" * 32]) != seed


@pytest.mark.parametrize("change", ["one less", "one more", "none", "another order", "not theirs"])
def test_a_claim_without_the_seals_of_all_sealers(world: World, change: str) -> None:
    fixed = context(world)
    secrets = tuple(world.seal(fixed, sealer) for sealer in fixed.sealers)
    changed = {
        "one less": secrets[:3],
        "one more": (*secrets, secrets[0]),
        "none": (),
        "another order": (secrets[1], secrets[0], *secrets[2:]),
        "not theirs": (*secrets[:3], b"x" * 32),
    }[change]
    assert claim_refusal(world, secrets=changed) is Reason.SECRETS


def test_a_sealed_round_without_sealers_has_no_winner() -> None:
    assert claim_refusal(sealed_world(keys=[])) is Reason.SECRETS


def test_a_claim_leaves_alone_a_chain_that_was_registered_since(world: World) -> None:
    start = head(world)
    votes = chain_votes(world, start, ATTESTERS[:1])
    block = world.claim_block(start, ROUND, replace(plan(), votes=votes))
    renewed = public(ATTESTERS[0])
    assert world.apply(block).seals.get(renewed) == SealChain(
        make_end(ATTESTERS[0], world.network.id, 3), 3, 3
    )


# Fallback blocks.


def test_who_withholds_its_seal_is_fined_and_barred(world: World) -> None:
    named, before = public(ATTESTERS[2]), world.tree.head().state
    block = world.fallback_block(head(world), ROUND, missing=(named,), listers=QUORUM)
    state = world.apply(block)
    bond = bond_of(before, named)
    assert bond is not None
    fine = SEALED.subsidy
    assert bond.held > fine == context(world).seal_fine
    assert state.burnt == before.burnt + fine
    assert compute_held(state) + state.burnt == compute_held(before) + before.burnt + (
        state.issued - before.issued
    )
    left = bond_of(state, named)
    assert left is not None
    assert left.held == bond.held - fine
    chain = state.seals.get(named)
    assert chain is not None
    assert chain.barred_until == ROUND + SEALED.era_rounds
    others = {public(key) for key in ATTESTERS} - {named}
    assert all(state.seals.get(key) == before.seals.get(key) for key in others)


def test_a_fine_takes_no_more_than_there_is(world: World) -> None:
    named = public(ATTESTERS[2])
    for number in (ROUND, ROUND + 1):
        # Round 5 is played with a state that knows nothing of round 4 yet.
        block = world.fallback_block(head(world), number, missing=(named,), listers=QUORUM)
        world.add(block)
    state = world.tree.head().state
    assert bond_of(state, named) is None
    assert state.burnt == BOND_UNITS * SEALED.unit_bond
    assert named not in world.context(head(world), ROUND + 2).sealers


def test_chains_of_who_has_neither_bond_nor_seat_are_forgotten() -> None:
    world = sealed_world(replace(SEALED, era_rounds=4))
    named, start = public(ATTESTERS[2]), head(world)
    for number in (ROUND, ROUND + 1):
        start = world.add(world.fallback_block(start, number, missing=(named,), listers=QUORUM)).id
    # Its seats of eras 1 and 2 were drawn before it lost its bond.
    for number in (8, 9, 12):
        assert world.tree.entry(start).state.seals.get(named) is not None
        start = world.add(world.fallback_block(start, number)).id
    state = world.tree.entry(start).state
    assert state.seals.get(named) is None
    assert len(state.seals) == 3


def fallback_refusal(world: World, missing: tuple[bytes, ...], listers: list[SigningKey]) -> Reason:
    with pytest.raises(InvalidBlock) as refused:
        world.apply(world.fallback_block(head(world), ROUND, missing=missing, listers=listers))
    return refused.value.reason


def test_only_sealers_can_be_missing_each_once(world: World) -> None:
    a, b = (public(key) for key in ATTESTERS[:2])
    for missing in ((public(OUTSIDER),), (b, a), (a, a)):
        assert fallback_refusal(world, missing, QUORUM) is Reason.MISSING


def test_nobody_is_missing_a_seal_without_lists_of_a_quorum(world: World) -> None:
    named = (public(ATTESTERS[0]),)
    assert fallback_refusal(world, named, ATTESTERS[:2]) is Reason.MISSING_UNPROVED
    assert fallback_refusal(world, named, []) is Reason.MISSING_UNPROVED


def test_a_fallback_carries_no_lists_for_nothing(world: World) -> None:
    assert fallback_refusal(world, (), QUORUM) is Reason.FALLBACK_BODY


def test_a_producer_of_the_world_is_no_sealer(world: World) -> None:
    assert fallback_refusal(world, (public(PRODUCERS[0]),), QUORUM) is Reason.MISSING


# Parameters.


@pytest.mark.parametrize(
    ("parameters", "changes"),
    [
        (FAST, {"seals": 4}),
        (SEALED, {"seals": 0}),
        (SEALED, {"seals": 9}),
        (FAST, {"task": PROCEDURAL}),
    ],
)
def test_seals_belong_to_a_task_that_is_not_insecure(
    parameters: Parameters, changes: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match="seals"):
        replace(parameters, **changes)  # type: ignore[arg-type]
