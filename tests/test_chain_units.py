"""What certified units pay: from the account, else from the bond, half of it to the block."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.chain.bonds import Bond, BondKey, BondKind
from node.chain.draft import Draft
from node.chain.envelope import Signed, sign
from node.chain.messages import CertifiedUnit, Commit
from node.chain.params import FAST
from node.chain.state import Account, State, compute_held, genesis_state
from node.chain.units import charge_units
from tests.chain_world import OUTSIDER, PRODUCERS, ClaimPlan, World, make_network, public

FEE, DEPOSIT, UNIT = FAST.unit_fee, FAST.account_deposit, FAST.unit_bond
WINNER, LOSER = (public(key) for key in PRODUCERS)
LOSERS_BOND = BondKey(BondKind.PRODUCE, LOSER)


def state_with(balance: int, bond: int) -> State:
    state = genesis_state(make_network(FAST))
    return replace(
        state,
        accounts=state.accounts.set(LOSER, Account(balance, 0)),
        bonds=state.bonds.set(LOSERS_BOND.to_bytes(), Bond(LOSER, bond)),
    )


@pytest.mark.parametrize(
    ("balance", "bond", "from_account", "from_bond"),
    [
        (FEE + DEPOSIT, UNIT, FEE, 0),
        # An account that the fee would end is left alone.
        (FEE + DEPOSIT - 1, UNIT, 0, FEE),
        (0, FEE, 0, FEE),
        (0, FEE - 1, 0, FEE - 1),
    ],
)
def test_who_pays_the_fee_of_a_unit(
    balance: int, bond: int, from_account: int, from_bond: int
) -> None:
    state = state_with(balance, bond)
    draft = Draft(state, 1)
    charge_units(draft, FAST, [CertifiedUnit(LOSER, 0, b"c" * 32)])
    fee = from_account + from_bond
    assert draft.fees == fee // 2
    assert draft.burnt == fee - fee // 2
    assert draft.account(LOSER).balance == balance - from_account
    left = draft.bond(LOSERS_BOND)
    assert (0 if left is None else left.amount) == bond - from_bond
    draft.pay_fees(public(OUTSIDER))
    after = draft.finish(round=1)
    assert compute_held(after) + after.burnt == compute_held(state)


def test_who_has_nothing_left_pays_nothing() -> None:
    state = state_with(0, UNIT)
    draft = Draft(replace(state, bonds=state.bonds.delete(LOSERS_BOND.to_bytes())), 1)
    charge_units(draft, FAST, [CertifiedUnit(LOSER, 0, b"c" * 32)])
    assert (draft.fees, draft.burnt) == (0, 0)


def test_a_block_charges_all_units_that_its_lists_certify() -> None:
    world = World(make_network(FAST))

    def burnt(others: tuple[Signed[Commit], ...]) -> int:
        block = world.claim_block(world.genesis, 1, ClaimPlan(others=others))
        state = world.apply(block)
        bond = state.bond(LOSERS_BOND)
        assert bond is not None
        paid = 2 * UNIT + 100 * FEE - bond.amount
        assert paid + world.tree.head().state.account(LOSER).balance - state.account(
            LOSER
        ).balance == FEE * len(others)
        return state.burnt

    others = tuple(
        sign(Commit(1, unit, b"c" * 32), PRODUCERS[1], world.network.id) for unit in (0, 1)
    )
    # The winner pays for its own unit too.
    assert [burnt(others[:count]) for count in range(3)] == [FEE // 2, FEE, 3 * FEE // 2]
