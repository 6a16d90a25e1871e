"""An LSTM on the CPU for tiny matrices: NumPy steps, and one autograd node for a whole sequence.

Gates as in Hochreiter and Schmidhuber (1997) with a forget gate, in PyTorch's order i, f, g, o:

    c' = sigmoid(f) * c + sigmoid(i) * tanh(g)        h' = sigmoid(o) * tanh(c')

PyTorch's own LSTM spends most of its time, at this size, on calls, and adds up the gradients of
the weights step by step; here they are one product over the sequence.

Shapes: T steps, B sequences, H width of inputs and states, L layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

LAYERS = 2

Array = npt.NDArray[np.float64]
State = list[tuple[Array, Array]]
"""Hidden and cell state of every layer, each `[B][H]`."""


@dataclass(frozen=True, eq=False)
class Stack:
    """The weights of an `nn.LSTM` as arrays: per layer `[H][4H]` (transposed) and biases `[4H]`."""

    input_weights: tuple[Array, ...]
    hidden_weights: tuple[Array, ...]
    biases: tuple[Array, ...]

    @classmethod
    def of(cls, lstm: nn.LSTM) -> Self:
        """The weights as they are now."""
        return cls.of_tensors([p.detach() for p in lstm.parameters()])

    @classmethod
    def of_tensors(cls, weights: Sequence[Tensor]) -> Self:
        """Per layer input and hidden weights `[4H][H]`, input and hidden biases `[4H]`."""
        arrays = [weight.numpy() for weight in weights]
        return cls(
            tuple(np.ascontiguousarray(weight.T) for weight in arrays[0::4]),
            tuple(np.ascontiguousarray(weight.T) for weight in arrays[1::4]),
            tuple(first + second for first, second in zip(arrays[2::4], arrays[3::4], strict=True)),
        )

    def input_gates(self, inputs: Array) -> Array:
        """What inputs `[..., H]` add to the first layer's gates `[..., 4H]`, bias included."""
        return inputs @ self.input_weights[0] + self.biases[0]


@dataclass(frozen=True, eq=False)
class _Cell:
    """One layer's step: its gates after their activations, and its states, each `[B][H]`."""

    i: Array
    f: Array
    g: Array
    o: Array
    cell: Array
    tanh_cell: Array
    hidden: Array


def _cell(gates: Array, cell: Array) -> _Cell:
    width = cell.shape[1]
    sigmoids = _sigmoid(gates)
    i, f, o = sigmoids[:, :width], sigmoids[:, width : 2 * width], sigmoids[:, 3 * width :]
    g = np.tanh(gates[:, 2 * width : 3 * width])
    new_cell = f * cell + i * g
    tanh_cell = np.tanh(new_cell)
    return _Cell(i, f, g, o, new_cell, tanh_cell, o * tanh_cell)


def _sigmoid(x: Array) -> Array:
    # By the hyperbolic tangent, which cannot overflow.
    return 0.5 * np.tanh(0.5 * x) + 0.5


def step(stack: Stack, first_gates: Array, state: State) -> tuple[Array, State]:
    """One step of all layers: the output `[B][H]` and the state after it.

    `first_gates` is what `Stack.input_gates` says of the step's inputs.
    """
    cells = _step(stack, first_gates, state)
    return cells[-1].hidden, [(cell.hidden, cell.cell) for cell in cells]


def _step(stack: Stack, first_gates: Array, state: State) -> list[_Cell]:
    cells: list[_Cell] = []
    gates = first_gates
    for layer, (hidden, cell) in enumerate(state):
        if cells:
            gates = cells[-1].hidden @ stack.input_weights[layer] + stack.biases[layer]
        cells.append(_cell(gates + hidden @ stack.hidden_weights[layer], cell))
    return cells


def unroll(lstm: nn.LSTM, inputs: Tensor, hidden: Tensor, cell: Tensor) -> Tensor:
    """The outputs `[T][B][H]` of an LSTM for inputs `[T][B][H]` and a start state `[L][B][H]`.

    Gradients reach the inputs and the weights; the start state gets none.
    """
    outputs: Tensor = _Unroll.apply(inputs, hidden, cell, *lstm.parameters())  # type: ignore[no-untyped-call]
    return outputs


class _Unroll(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, hidden: Tensor, cell: Tensor, *weights: Tensor) -> Tensor:
        stack = Stack.of_tensors(weights)
        state = list(zip(hidden.numpy(), cell.numpy(), strict=True))
        ctx.stack, ctx.inputs, ctx.start, ctx.steps = stack, inputs.numpy(), state, []
        for gates in stack.input_gates(inputs.numpy()):
            cells = _step(stack, gates, state)
            state = [(cell.hidden, cell.cell) for cell in cells]
            ctx.steps.append(cells)
        return torch.from_numpy(np.stack([cells[-1].hidden for cells in ctx.steps]))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        outward = gradients[0].numpy()
        weights: list[Tensor] = []
        for layer in reversed(range(len(ctx.start))):
            cells = [cells[layer] for cells in ctx.steps]
            gates = _through_time(
                cells, ctx.start[layer][1], ctx.stack.hidden_weights[layer], outward
            )
            flat = gates.reshape(-1, gates.shape[2])
            below = ctx.inputs if layer == 0 else _hidden([c[layer - 1] for c in ctx.steps])
            before = np.concatenate([ctx.start[layer][0][None], _hidden(cells[:-1])])
            bias = torch.from_numpy(flat.sum(axis=0))
            products = (flat.T @ x.reshape(-1, x.shape[2]) for x in (below, before))
            weights[:0] = [*map(torch.from_numpy, products), bias, bias.clone()]
            outward = gates @ ctx.stack.input_weights[layer].T
        return torch.from_numpy(outward), None, None, *weights


def _hidden(cells: Sequence[_Cell]) -> Array:
    return np.stack([cell.hidden for cell in cells])


def _through_time(cells: list[_Cell], first: Array, hidden_weights: Array, outward: Array) -> Array:
    """Gradients of one layer's gates `[T][B][4H]` from those of its outputs `[T][B][H]`."""
    back = np.ascontiguousarray(hidden_weights.T)
    steps, batch, width = outward.shape
    gates = np.empty((steps, batch, 4, width))
    d_hidden, d_cell = np.zeros((batch, width)), np.zeros((batch, width))
    for at in reversed(range(steps)):
        now, before = cells[at], cells[at - 1].cell if at else first
        d_hidden += outward[at]
        d_cell += d_hidden * now.o * (1 - now.tanh_cell**2)
        gates[at, :, 0] = d_cell * now.g * now.i * (1 - now.i)
        gates[at, :, 1] = d_cell * before * now.f * (1 - now.f)
        gates[at, :, 2] = d_cell * now.i * (1 - now.g**2)
        gates[at, :, 3] = d_hidden * now.tanh_cell * now.o * (1 - now.o)
        d_hidden = gates[at].reshape(batch, -1) @ back
        d_cell *= now.f
    return gates.reshape(steps, batch, -1)
