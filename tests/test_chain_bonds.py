"""A bond's arithmetic: nothing is lost, and what is on its way back can still be taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.chain.bonds import Bond, Unbonding, release, take, unbond, units_of
from node.chain.codec import decode, encode

OWNER = b"o" * 32
AMOUNTS = st.integers(0, 1_000)
ENTRIES = st.dictionaries(st.integers(1, 20), st.integers(1, 1_000), max_size=4)
BONDS = st.builds(
    lambda amount, entries: Bond(
        OWNER, amount, tuple(Unbonding(entries[era], era) for era in sorted(entries))
    ),
    AMOUNTS,
    ENTRIES,
)


@given(BONDS)
def test_a_bond_is_its_bytes(bond: Bond) -> None:
    assert decode(Bond, encode(bond)) == bond


@given(BONDS, st.integers(0, 20))
def test_a_release_pays_what_is_due_and_keeps_the_rest(bond: Bond, era: int) -> None:
    after, paid = release(bond, era)
    assert after.held + paid == bond.held
    assert after.amount == bond.amount
    assert all(entry.release_era > era for entry in after.unbonding)
    assert release(after, era) == (after, 0)


@given(BONDS, st.integers(0, 5_000))
def test_what_is_taken_is_gone(bond: Bond, amount: int) -> None:
    after, taken = take(bond, amount)
    assert taken == min(amount, bond.held)
    assert after.held + taken == bond.held
    assert all(entry.amount > 0 for entry in after.unbonding)


def test_what_stands_is_taken_first_and_then_the_latest_entry() -> None:
    bond = Bond(OWNER, 5, (Unbonding(7, 3), Unbonding(7, 4)))
    assert take(bond, 5)[0] == Bond(OWNER, 0, (Unbonding(7, 3), Unbonding(7, 4)))
    assert take(bond, 6)[0] == Bond(OWNER, 0, (Unbonding(7, 3), Unbonding(6, 4)))
    assert take(bond, 13)[0] == Bond(OWNER, 0, (Unbonding(6, 3),))


def test_amounts_unbonded_in_one_era_are_one_entry() -> None:
    bond = unbond(unbond(unbond(Bond(OWNER, 10), 2, 12), 3, 12), 1, 11)
    assert bond == Bond(OWNER, 4, (Unbonding(1, 11), Unbonding(5, 12)))


@pytest.mark.parametrize("amount", [0, -1, 11])
def test_no_more_is_unbonded_than_there_is(amount: int) -> None:
    with pytest.raises(ValueError, match="of a bond of 10"):
        unbond(Bond(OWNER, 10), amount, 3)


@pytest.mark.parametrize(("amount", "units"), [(0, 0), (99, 0), (100, 1), (399, 3), (900, 4)])
def test_units_of_a_bond(amount: int, units: int) -> None:
    assert units_of(Bond(OWNER, amount), unit_bond=100, max_units=4) == units
    assert units_of(Bond(OWNER, 0, (Unbonding(500, 2),)), 100, 4) == 0
