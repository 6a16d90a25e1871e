"""Payout lines: canonical, exact, and fair to the billionth."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.rules.payout import DUST, MAX_LINES, TOTAL_WEIGHT, PayoutError, payout_lines

addresses = st.integers(0, 40).map(lambda number: number.to_bytes(32, "big"))
FINDER, MANAGER, OTHER = (bytes([number]) * 32 for number in (1, 2, 3))


@given(
    st.dictionaries(addresses, st.integers(0, 10**24), max_size=30),
    addresses,
    addresses,
    st.integers(0, 875),
)
def test_lines_are_canonical_and_exact(
    work: dict[bytes, int], finder: bytes, manager: bytes, fee_permille: int
) -> None:
    lines = payout_lines(work, finder, manager, fee_permille)

    named = [line.address for line in lines]
    assert named == sorted(set(named))
    assert sum(line.weight for line in lines) == TOTAL_WEIGHT
    assert all(line.weight >= DUST for line in lines)
    total = sum(work.values())
    if total == 0:
        return
    rest = Fraction(7, 8) - Fraction(fee_permille, 1_000)
    parts = {address: rest * Fraction(units, total) for address, units in work.items()}
    parts[finder] = parts.get(finder, Fraction(0)) + Fraction(1, 8)
    parts[manager] = parts.get(manager, Fraction(0)) + Fraction(fee_permille, 1_000)
    worthy = {at: part for at, part in parts.items() if part * TOTAL_WEIGHT >= DUST}
    assert named == sorted(worthy)
    for line in lines:
        part = worthy[line.address] / sum(worthy.values())
        assert abs(line.weight - part * TOTAL_WEIGHT) < 1


def test_the_finder_gets_an_eighth_and_the_rest_follows_the_work() -> None:
    lines = payout_lines({FINDER: 1, OTHER: 6}, FINDER, MANAGER, 0)

    weights = {line.address: line.weight for line in lines}
    assert weights == {FINDER: 250_000_000, OTHER: 750_000_000}


def test_the_fee_goes_to_the_manager() -> None:
    lines = payout_lines({OTHER: 5}, FINDER, MANAGER, 25)

    weights = {line.address: line.weight for line in lines}
    assert weights == {FINDER: 125_000_000, MANAGER: 25_000_000, OTHER: 850_000_000}


def test_without_work_the_finder_gets_all_but_the_fee() -> None:
    lines = payout_lines({}, FINDER, MANAGER, 25)

    weights = {line.address: line.weight for line in lines}
    assert weights == {FINDER: 975_000_000, MANAGER: 25_000_000}


def test_dust_falls_to_the_others() -> None:
    dust, worthy = b"\x04" * 32, b"\x05" * 32
    # A unit of work is a billionth of the reward here, and a line has to have a thousand.
    work = {OTHER: 875_000_000 - 1_999, dust: 999, worthy: 1_000}

    lines = payout_lines(work, FINDER, MANAGER, 0)

    weights = {line.address: line.weight for line in lines}
    assert set(weights) == {FINDER, OTHER, worthy}
    assert weights[worthy] == 1_000


def test_beyond_the_limit_the_smallest_parts_fall_to_the_others() -> None:
    work = {number.to_bytes(32, "big"): 10 + number for number in range(MAX_LINES + 76)}

    lines = payout_lines(work, (5).to_bytes(32, "big"), MANAGER, 0)

    assert len(lines) == MAX_LINES
    assert sum(line.weight for line in lines) == TOTAL_WEIGHT
    kept = {int.from_bytes(line.address, "big") for line in lines}
    # The finder's eighth keeps it, the next 1,023 do most work.
    assert kept == {5} | set(range(77, MAX_LINES + 76))


@pytest.mark.parametrize("fee_permille", [-1, 876])
def test_impossible_fees_are_refused(fee_permille: int) -> None:
    with pytest.raises(PayoutError, match="outside 0 to 875"):
        payout_lines({OTHER: 1}, FINDER, MANAGER, fee_permille)


def test_negative_work_is_refused() -> None:
    with pytest.raises(PayoutError, match="negative"):
        payout_lines({OTHER: -1}, FINDER, MANAGER, 0)
