"""Prices: monotone in size, without steps, close to what was measured."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.rules.prices import PRICES, class_of, price_of

sizes = st.integers(0, 2**40)


@pytest.mark.parametrize(("macs", "price"), PRICES)
def test_measured_sizes_have_their_measured_price(macs: int, price: int) -> None:
    assert price_of(macs) == price


@given(sizes, sizes)
def test_more_arithmetic_never_costs_less(one: int, other: int) -> None:
    assert (price_of(min(one, other))) <= price_of(max(one, other))


@given(sizes)
def test_no_size_is_a_step(macs: int) -> None:
    # Steepest in the lowest class: 2.1 nanoseconds a multiply-accumulate.
    assert price_of(macs + 1) - price_of(macs) <= 3


@pytest.mark.parametrize(
    ("macs", "price"),
    [(0, 51_000), (10_240, 64_000), (29_360_128, 6_900_000)],
    ids=["smallest", "between two classes", "above the last"],
)
def test_prices_off_the_table(macs: int, price: int) -> None:
    assert price_of(macs) == price


@pytest.mark.parametrize(("macs", "number"), [(0, 0), (3, 0), (4, 1), (4_095, 5), (4_096, 6)])
def test_classes_are_powers_of_four(macs: int, number: int) -> None:
    assert class_of(macs) == number
