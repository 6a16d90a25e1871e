"""The fixed-point grids against exact rational arithmetic, and what their gradient is."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas.networks.quantise import (
    CLASSIFIER,
    HIDDEN,
    INPUT,
    Grid,
    fake_quantise,
    signed,
    to_codes,
    unsigned,
)

grids = st.builds(Grid, st.integers(1, 12), st.integers(0, 8), st.booleans())


@given(grids, st.floats(-300, 300, width=32))
def test_rounding_is_the_rational_definition(grid: Grid, value: float) -> None:
    # Python rounds a Fraction half to even.
    nearest = round(Fraction(value) * 2**grid.frac_bits)
    expected = min(max(nearest, grid.low), grid.high)
    assert to_codes(torch.tensor([value]), grid).item() == expected


@given(grids, st.lists(st.floats(-300, 300, width=32), min_size=1), st.sampled_from([0.0, 0.1]))
def test_training_sees_the_codes_that_are_exported(
    grid: Grid, values: list[float], leak: float
) -> None:
    tensor = torch.tensor(values)
    seen = fake_quantise(tensor, grid, leak)
    assert torch.equal(seen, to_codes(tensor, grid) * grid.step)
    assert torch.equal(fake_quantise(seen, grid, leak), seen)


@pytest.mark.parametrize(("leak", "outside"), [(0.0, 0.0), (0.25, 0.25)])
def test_gradient_passes_inside_the_range_and_leaks_outside(leak: float, outside: float) -> None:
    values = torch.tensor([-0.3, 0.1, 0.6, 1.9], requires_grad=True)
    fake_quantise(values, unsigned(0, 2), leak).sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None
    assert values.grad.tolist() == [outside, 1.0, 1.0, outside]


def test_integer_bits_of_signed_formats_count_the_sign() -> None:
    assert (signed(2, 3).low, signed(2, 3).high) == (-16, 15)
    assert (unsigned(2, 3).low, unsigned(2, 3).high) == (0, 31)
    assert (INPUT.low, INPUT.high, INPUT.step) == (-128, 127, 1 / 32)
    assert (CLASSIFIER.high, CLASSIFIER.step) == (2**23 - 1, 2.0**-20)
    assert (HIDDEN.low, HIDDEN.high, HIDDEN.step) == (0, 65535, 2.0**-10)


def test_a_format_without_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one bit, not 0"):
        signed(0, 0)
