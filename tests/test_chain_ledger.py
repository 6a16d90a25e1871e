"""Money: exact splits, and no base unit lost or made beside the subsidy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from node.chain.context import next_beacon
from node.chain.draft import Draft, first_nonce
from node.chain.envelope import Signed, sign
from node.chain.errors import InvalidBlock, Reason
from node.chain.genesis import Endowment, Network
from node.chain.hashing import MAX_INT
from node.chain.messages import MAX_TRANSACTIONS, Body, Faucet, PayoutLine
from node.chain.params import FAST, SEALED
from node.chain.proposal import select_transactions
from node.chain.rewards import compute_rewards, compute_subsidy, split
from node.chain.state import Account, State, compute_held, compute_root, genesis_state
from node.chain.table import Table
from node.chain.transactions import apply_transaction
from node.chain.votes import compute_logits_digest, paid_voters
from tests.chain_world import (
    ATTESTERS,
    ENDOWMENT,
    FEE,
    OUTSIDER,
    PRODUCERS,
    ClaimPlan,
    World,
    make_network,
    public,
)

LOGITS = b"l" * 32


def supply(network: Network, state: State) -> int:
    return network.supply + state.issued


@given(
    st.integers(0, MAX_INT),
    st.lists(st.integers(0, MAX_INT), min_size=1, max_size=20).filter(lambda w: sum(w) > 0),
)
def test_split_is_exact_and_fair(amount: int, weights: list[int]) -> None:
    parts = split(amount, weights)
    total = sum(weights)
    assert sum(parts) == amount
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part * total - amount * weight) < total
        assert weight or not part


@pytest.mark.parametrize(
    ("amount", "weights", "parts"),
    [
        (10, [1, 1, 1], [4, 3, 3]),
        (11, [1, 1, 1], [4, 4, 3]),
        (7, [3, 1], [5, 2]),
        (1, [1, 2], [0, 1]),
        (0, [5], [0]),
    ],
)
def test_split_by_largest_remainder(amount: int, weights: list[int], parts: list[int]) -> None:
    assert split(amount, weights) == parts


@pytest.mark.parametrize("weights", [[], [0], [1, -1], [2, -1]])
def test_split_needs_weights(weights: list[int]) -> None:
    with pytest.raises(ValueError, match="positive sum"):
        split(1, weights)


def test_rewards_of_a_won_round() -> None:
    lines = (PayoutLine(b"a" * 32, 1), PayoutLine(b"b" * 32, 2))
    rewards = compute_rewards(8_000, b"p" * 32, lines, {b"v" * 32: 1, b"w" * 32: 3})
    # 7,200 for the lines; 800 for attesters, of which 100 for the block.
    assert rewards == {
        b"a" * 32: 2_400,
        b"b" * 32: 4_800,
        b"p" * 32: 100,
        b"v" * 32: 175,
        b"w" * 32: 525,
    }


def test_without_votes_the_attesters_part_is_not_issued() -> None:
    rewards = compute_rewards(8_000, b"p" * 32, (PayoutLine(b"a" * 32, 1),), {})
    assert rewards == {b"a" * 32: 7_200}


def test_votes_for_the_parent_earn_only_with_its_digest() -> None:
    world = World()
    parent = world.add(world.claim_block(world.genesis, 1)).id
    older = b"o" * 32
    keys = [public(key) for key in ATTESTERS]
    digests = [compute_logits_digest(key, LOGITS) for key in keys]
    votes = (
        world.vote(ATTESTERS[0], parent, logits_digest=digests[0]),
        world.vote(ATTESTERS[1], parent, logits_digest=digests[0]),
        world.vote(ATTESTERS[2], parent),
        world.vote(ATTESTERS[3], parent, logits_digest=LOGITS),
    )
    eras, weight = world.tree.entry(parent).state.eras, FAST.unit_bond
    assert paid_voters(eras, votes, parent, LOGITS) == {keys[0]: weight}
    # A vote for an older block comes too late to be checked, and earns.
    assert paid_voters(eras, votes, older, LOGITS) == dict.fromkeys(keys, weight)
    # A fallback block has no model: then it is the digest that must be absent.
    assert paid_voters(eras, votes, parent, b"") == {keys[2]: weight}


def test_one_address_in_every_role_is_paid_for_each() -> None:
    me = b"m" * 32
    assert compute_rewards(8_000, me, (PayoutLine(me, 1),), {me: 1}) == {me: 8_000}


def test_supply_never_reaches_the_integer_bound() -> None:
    assert compute_subsidy(FAST, 1, 0) == FAST.subsidy
    assert compute_subsidy(FAST, 1, MAX_INT - 5) == 5
    assert compute_subsidy(FAST, 1, MAX_INT) == 0


@pytest.mark.parametrize(
    ("round_number", "subsidy"), [(1, 7), (9, 7), (10, 3), (19, 3), (20, 1), (30, 0), (MAX_INT, 0)]
)
def test_the_subsidy_halves(round_number: int, subsidy: int) -> None:
    parameters = replace(FAST, subsidy=7, halving_rounds=10)
    assert compute_subsidy(parameters, round_number, 0) == subsidy


def test_a_round_at_the_supply_cap_issues_what_is_left() -> None:
    network = make_network()
    rich = Endowment(b"\xff" * 32, MAX_INT - network.supply - FAST.subsidy // 2)
    network = replace(network, accounts=(*network.accounts, rich))
    world = World(network)
    first = world.add(world.claim_block(world.genesis, 1))
    votes = world.votes(first.id, ATTESTERS)
    second = world.add(world.claim_block(first.id, 2, ClaimPlan(votes=votes)))
    assert supply(network, world.tree.entry(second.id).state) == MAX_INT


def test_transfers_move_value_in_order() -> None:
    world = World()
    payer, payee = PRODUCERS
    kept = FAST.account_deposit
    rest = ENDOWMENT - 400 - 2 * FEE - kept
    transfers = (
        world.transfer(payer, public(payee), 400, 1),
        world.transfer(payer, b"new" + b"\x00" * 29, rest, 0),
        world.transfer(payer, public(payee), kept + 1, 2),
    )
    plan = ClaimPlan(producer=payee, transactions=transfers)
    block = world.add(world.claim_block(world.genesis, 1, plan))
    state = world.tree.entry(block.id).state
    # The third does not stand any more, so the producer leaves it out.
    assert len(block.transactions) == 2
    assert state.account(public(payer)) == Account(kept, 2)
    # Half of the fees is the producer's, half is burnt.
    assert state.account(public(payee)) == Account(ENDOWMENT + 400 + FEE, 0)
    assert state.account(b"new" + b"\x00" * 29) == Account(rest, first_nonce(1))
    assert state.burnt == FEE


def test_an_account_below_the_deposit_vanishes() -> None:
    world = World()
    payer, payee = PRODUCERS
    kept = FAST.account_deposit - 1
    transfers = (
        world.transfer(payer, b"r" * 32, FAST.account_deposit - 1, 0),
        world.transfer(payer, public(payee), ENDOWMENT - 2 * FAST.account_deposit - 2 * FEE + 2, 1),
    )
    plan = ClaimPlan(producer=payee, transactions=transfers)
    block = world.add(world.claim_block(world.genesis, 1, plan))
    state = world.tree.entry(block.id).state
    assert public(payer) not in state.accounts
    assert b"r" * 32 not in state.accounts
    assert state.burnt == FEE + 2 * kept


def test_an_account_lives_through_a_block_that_empties_and_fills_it() -> None:
    world = World()
    payer, payee = PRODUCERS
    transfers = (
        world.transfer(payer, public(payee), ENDOWMENT - FEE, 0, FEE),
        world.transfer(payee, public(payer), ENDOWMENT, 0, FEE + 1),
    )
    context, state = world.context(world.genesis, 1), genesis_state(world.network)
    draft = Draft(state, 1)
    for transfer in transfers:
        apply_transaction(draft, context, transfer)
    draft.sweep(FAST.account_deposit)
    assert draft.account(public(payer)) == Account(ENDOWMENT, 1)


def test_nothing_is_replayed_when_an_account_comes_back() -> None:
    """The nonces of a vanished account are below those with which it may begin again."""
    world = World()
    payer, payee = PRODUCERS
    spend = world.transfer(payer, public(payee), ENDOWMENT - FEE, 0)
    first = world.add(
        world.claim_block(world.genesis, 1, ClaimPlan(producer=payee, transactions=(spend,)))
    )
    assert public(payer) not in world.tree.entry(first.id).state.accounts
    refund = world.transfer(payee, public(payer), ENDOWMENT, 0)
    second = world.add(
        world.claim_block(first.id, 2, ClaimPlan(producer=payee, transactions=(refund,)))
    )
    assert world.tree.entry(second.id).state.account(public(payer)).nonce == first_nonce(2)
    third = world.claim_block(second.id, 3, ClaimPlan(producer=payee, transactions=(spend,)))
    assert third.transactions == ()
    assert first_nonce(2) - first_nonce(1) >= MAX_TRANSACTIONS


def test_of_an_odd_fee_the_odd_unit_is_burnt() -> None:
    draft = Draft(genesis_state(make_network()), 1)
    draft.charge(public(PRODUCERS[0]), 5)
    assert (draft.fees, draft.burnt) == (2, 3)


def test_a_refused_transaction_leaves_the_draft_as_it_was() -> None:
    world = World()
    context, state = world.context(world.genesis, 1), genesis_state(world.network)
    draft = Draft(state, 1)
    with pytest.raises(InvalidBlock):
        apply_transaction(draft, context, world.transfer(PRODUCERS[0], b"r" * 32, ENDOWMENT, 0))
    assert compute_root(draft.finish()) == compute_root(state)
    assert draft.fees == 0


def test_transfer_to_oneself_costs_the_fee_alone() -> None:
    world = World()
    me = public(PRODUCERS[0])
    transfers = (world.transfer(PRODUCERS[0], me, ENDOWMENT - FEE, 0),)
    plan = ClaimPlan(producer=PRODUCERS[1], transactions=transfers)
    block = world.add(world.claim_block(world.genesis, 1, plan))
    assert world.tree.entry(block.id).state.account(me) == Account(ENDOWMENT - FEE, 1)


def test_transactions_beyond_the_body_wait() -> None:
    world = World()
    transfers = [world.transfer(PRODUCERS[0], b"r" * 32, 1, nonce) for nonce in range(5)]
    context, state = world.context(world.genesis, 1), genesis_state(world.network)
    assert len(select_transactions(context, state, transfers, 10**6)) == 5
    assert len(select_transactions(context, state, transfers, 400)) == 2
    assert select_transactions(context, state, transfers, 0) == ()


def test_who_offers_more_goes_first_but_each_in_its_own_order() -> None:
    world = World()
    one, other = PRODUCERS
    row = [
        world.transfer(one, b"r" * 32, 1, 0, FEE),
        world.transfer(one, b"r" * 32, 1, 1, 9 * FEE),
        world.transfer(other, b"r" * 32, 1, 0, 2 * FEE),
    ]
    context, state = world.context(world.genesis, 1), genesis_state(world.network)
    chosen = select_transactions(context, state, row, 10**6)
    assert chosen == (row[2], row[0], row[1])


@pytest.mark.parametrize(
    "change",
    [
        {"round": 1},
        {"height": 1},
        {"beacon": b"b" * 32},
        {"issued": 1},
        {"burnt": 1},
        {"accounts": Table[Account]()},
        {"justified": (1, b"j" * 32)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_root_covers_the_state(change: dict[str, Any]) -> None:
    state = genesis_state(make_network())
    if "justified" in change:
        change = {"justified": state.justified._replace(round=1)}
    assert compute_root(replace(state, **change)) != compute_root(state)


def test_beacon_does_not_depend_on_the_winner() -> None:
    world = World()
    won = world.add(world.claim_block(world.genesis, 1))
    lost = world.add(world.fallback_block(world.genesis, 1))
    beacons = {world.tree.entry(b.id).state.beacon for b in (won, lost)}
    assert beacons == {next_beacon(genesis_state(world.network).beacon, 1, ())}


def draw(world: World, key: SigningKey, nonce: int = 0) -> Signed[Faucet]:
    return sign(Faucet(nonce, FEE), key, world.network.id)


def faucet_refusal(world: World, parent: bytes, at: int, signed: Signed[Faucet]) -> Reason:
    def carry(body: Body) -> Body:
        return replace(body, transactions=(signed.envelope,))

    with pytest.raises(InvalidBlock) as refused:
        world.apply(world.fallback_block(parent, at, change_body=carry))
    return refused.value.reason


def test_a_newcomer_draws_from_the_faucet_and_pays_the_fee_out_of_it() -> None:
    world = World()
    plan = ClaimPlan(transactions=(draw(world, OUTSIDER),))
    block = world.add(world.claim_block(world.genesis, 1, plan))
    state = world.tree.entry(block.id).state
    drawn = state.account(public(OUTSIDER))
    assert drawn == Account(FAST.faucet - FEE, first_nonce(1) + 1, faucet_era=1)
    assert compute_held(state) + state.burnt == supply(world.network, state)


def test_an_account_draws_once_an_era() -> None:
    world = World(make_network(replace(FAST, era_rounds=3)))
    plan = ClaimPlan(transactions=(draw(world, PRODUCERS[0]),))
    first = world.add(world.claim_block(world.genesis, 1, plan)).id
    again = draw(world, PRODUCERS[0], nonce=1)
    assert faucet_refusal(world, first, 2, again) is Reason.FAUCET_DRAWN
    later = world.claim_block(first, 3, ClaimPlan(transactions=(again,)))
    assert len(later.transactions) == 1


def test_a_network_that_is_in_earnest_gives_nothing_away() -> None:
    for parameters in (
        SEALED,
        replace(FAST, faucet=0),
        # All coins that there can be are there already.
        replace(FAST, faucet=MAX_INT - 1),
    ):
        world = World(make_network(parameters))
        refusal = faucet_refusal(world, world.genesis, 1, draw(world, OUTSIDER))
        assert refusal is Reason.FAUCET
