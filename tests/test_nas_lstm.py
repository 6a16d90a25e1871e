"""The LSTM against PyTorch's own and against finite differences."""

from __future__ import annotations

import torch
from torch import nn

from nas.strategies.lstm import LAYERS, unroll

WIDTH = 4


def make(steps: int, batch: int) -> tuple[nn.LSTM, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A random LSTM, its inputs and a start state."""
    generator = torch.Generator().manual_seed(steps)
    lstm = nn.LSTM(WIDTH, WIDTH, LAYERS, dtype=torch.float64)
    for parameter in lstm.parameters():
        nn.init.normal_(parameter, generator=generator)
    inputs = torch.randn(steps, batch, WIDTH, dtype=torch.float64, generator=generator)
    hidden, cell = torch.randn(
        2, LAYERS, batch, WIDTH, dtype=torch.float64, generator=generator
    ).unbind()
    return lstm, inputs.requires_grad_(), hidden, cell


def test_outputs_and_gradients_are_those_of_pytorch() -> None:
    lstm, inputs, hidden, cell = make(steps=7, batch=3)
    ours = unroll(lstm, inputs, hidden, cell)
    theirs, _ = lstm(inputs, (hidden, cell))
    torch.testing.assert_close(ours, theirs)
    weight = torch.linspace(-1, 1, ours.numel(), dtype=torch.float64).view_as(ours)
    variables = [inputs, *lstm.parameters()]
    for own, their in zip(
        torch.autograd.grad((ours * weight).sum(), variables),
        torch.autograd.grad((theirs * weight).sum(), variables),
        strict=True,
    ):
        torch.testing.assert_close(own, their)


def test_gradients_agree_with_finite_differences() -> None:
    lstm, inputs, hidden, cell = make(steps=2, batch=2)
    assert torch.autograd.gradcheck(lambda x: unroll(lstm, x, hidden, cell), (inputs,))


def test_large_gates_saturate_instead_of_overflowing() -> None:
    lstm, inputs, hidden, cell = make(steps=2, batch=1)
    outputs = unroll(lstm, inputs * 1e6, hidden, cell)
    assert torch.isfinite(outputs).all()
    assert outputs.abs().max() <= 1
