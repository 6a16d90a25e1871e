"""Convolutions without the kernel taps that only meet padding, against plain padding."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from nas.networks.windows import conv_same, max_pool_same, pad_same

lengths = st.integers(1, 9)


@settings(max_examples=300, deadline=None)
@given(lengths, lengths, lengths, lengths, st.integers(1, 5), st.integers(1, 5))
def test_leaving_taps_out_changes_nothing(
    height: int, width: int, rows: int, columns: int, down: int, right: int
) -> None:
    generator = torch.Generator().manual_seed(height * 10 + width)
    maps = torch.randint(-9, 10, (2, 2, height, width), generator=generator).double()
    weight = torch.randint(-9, 10, (3, 2, rows, columns), generator=generator).double()
    bias = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    padded = pad_same(maps, (rows, columns), (down, right))
    expected = functional.conv2d(padded, weight, bias, (down, right))
    assert conv_same(maps, weight, bias, (down, right)).tolist() == expected.tolist()


def test_taps_that_only_meet_padding_get_no_gradient() -> None:
    weight = torch.ones(1, 1, 5, 5, requires_grad=True)
    sums = conv_same(torch.ones(1, 1, 2, 1), weight, torch.zeros(1), (1, 1))
    torch.autograd.backward(sums.sum())
    assert weight.grad is not None
    assert weight.grad[0, 0].tolist() == [
        [0, 0, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 2, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0],
    ]


def test_pooling_before_relu_is_relu_before_pooling() -> None:
    maps = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(1))
    assert torch.equal(max_pool_same(maps, 2).relu(), max_pool_same(maps.relu(), 2))
