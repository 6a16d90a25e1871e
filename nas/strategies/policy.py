"""A recurrent policy over token sequences: drawing them, and the gradient of their likelihood.

The network of arXiv 1911.00105: a two-layer LSTM of width 35; for every token position an
embedding of the token before it (position 0 sees a token of the last position) and a linear head.
In float64, so that a replay on another processor, whose sums round differently, draws the same
designs.

Shapes: T token positions, B rollouts, V most choices of any position, H width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.designs.genotype import Genotype
from nas.designs.space import Space
from nas.strategies.lstm import LAYERS, Stack, step, unroll

WIDTH = 35


@dataclass(frozen=True, eq=False)
class Rollouts:
    """Designs drawn from one policy snapshot: the index of each choice, int64 `[T][B]`."""

    choices: Tensor
    genotypes: tuple[Genotype, ...]


@dataclass(frozen=True, eq=False)
class Start:
    """LSTM state `[LAYERS][1][H]` (hidden and cell) and the token fed first, `[1]`."""

    hidden: Tensor
    cell: Tensor
    token: Tensor

    def state(self, batch: int) -> tuple[Tensor, Tensor]:
        """Hidden and cell state for each of `batch` rollouts, `[LAYERS][B][H]`."""
        shape = (LAYERS, batch, WIDTH)
        return self.hidden.expand(shape).contiguous(), self.cell.expand(shape).contiguous()


class Policy(nn.Module):
    """The networks of all positions of `space`, padded to V choices and stacked.

    Padding never gets probability: its logits are minus infinity, so it never gets a gradient.
    """

    closed: Tensor

    def __init__(self, space: Space, generator: torch.Generator) -> None:
        super().__init__()
        self._values = space.positions
        choices = tuple(len(values) for values in space.positions)
        positions, most = len(choices), max(choices)
        self._last_choices = choices[-1]
        # By way of the meta device, since the constructor draws from the global generator.
        lstm = nn.LSTM(WIDTH, WIDTH, LAYERS, device="meta", dtype=torch.float64)
        self.lstm = lstm.to_empty(device="cpu")
        bound = 1 / math.sqrt(WIDTH)
        for parameter in self.lstm.parameters():
            nn.init.uniform_(parameter, -bound, bound, generator=generator)
        # Row v of position t's embedding stands for choice v of position t - 1.
        self.embeddings = _parameter(positions, most, WIDTH)
        self.head_weights = _parameter(positions, most, WIDTH)
        self.head_biases = _parameter(positions, 1, most)
        nn.init.normal_(self.embeddings, generator=generator)
        nn.init.uniform_(self.head_weights, -bound, bound, generator=generator)
        nn.init.uniform_(self.head_biases, -bound, bound, generator=generator)
        open_choices = torch.arange(most) < torch.tensor(choices).view(-1, 1, 1)
        closed = torch.zeros(open_choices.shape, dtype=torch.float64)
        self.register_buffer("closed", closed.masked_fill(~open_choices, -math.inf))

    def draw_start(self, generator: torch.Generator) -> Start:
        """A standard normal LSTM state and a uniform token of the last position."""
        hidden, cell = torch.randn((2, LAYERS, 1, WIDTH), dtype=torch.float64, generator=generator)
        token = torch.randint(self._last_choices, (1,), generator=generator)
        return Start(hidden, cell, token)

    @torch.no_grad()
    def sample(self, start: Start, batch: int, generator: torch.Generator) -> Rollouts:
        """Draw `batch` designs, token by token, by inverting the cumulated probabilities.

        In NumPy, because a step has so little to compute that PyTorch's calls would cost more.
        """
        uniform = torch.rand(
            (len(self._values), batch, 1), dtype=torch.float64, generator=generator
        ).numpy()
        stack = Stack.of(self.lstm)
        state = [(h.numpy(), c.numpy()) for h, c in zip(*start.state(batch), strict=True)]
        # Whatever a token adds to the first layer's gates is known before it is drawn.
        inputs = stack.input_gates(self.embeddings.numpy())
        heads = self.head_weights.transpose(1, 2).numpy()
        biases = (self.head_biases + self.closed).numpy()
        choice = np.broadcast_to(start.token.numpy(), (batch,))
        choices = np.empty((len(self._values), batch), np.int64)
        for position in range(len(self._values)):
            output, state = step(stack, inputs[position, choice], state)
            logits = output @ heads[position] + biases[position]
            odds = np.exp(logits - logits.max(axis=1, keepdims=True)).cumsum(axis=1)
            choice = (odds < uniform[position] * odds[:, -1:]).sum(axis=1)
            choices[position] = choice
        genotypes = tuple(
            Genotype.from_tokens(
                values[choice] for values, choice in zip(self._values, rollout, strict=True)
            )
            for rollout in choices.T.tolist()
        )
        return Rollouts(torch.from_numpy(choices), genotypes)

    def log_probabilities(self, start: Start, choices: Tensor) -> Tensor:
        """Log-probability of each rollout of `choices` `[T][B]`, float64 `[B]`."""
        return self.log_probabilities_and_entropy(start, choices)[0]

    def log_probabilities_and_entropy(self, start: Start, choices: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability of each rollout, and the entropy in nats that its tokens were drawn with.

        Both float64 `[B]`, summed over the tokens of a rollout. All tokens are known by now, so
        that one pass over the sequence replaces T single steps.
        """
        batch = choices.shape[1]
        before = torch.cat([start.token.expand(1, batch), choices[:-1]])
        rows = before + torch.arange(len(before)).unsqueeze(1) * self.embeddings.shape[1]
        inputs = functional.embedding(rows, self.embeddings.flatten(0, 1))
        outputs = unroll(self.lstm, inputs, *start.state(batch))
        biases = self.head_biases + self.closed
        logits = torch.baddbmm(biases, outputs, self.head_weights.transpose(1, 2))
        log_choices = logits.log_softmax(dim=2)
        chosen = log_choices.gather(2, choices.unsqueeze(2)).squeeze(2).sum(dim=0)
        # A padded choice has probability 0 and adds nothing; 0 times infinity would be no number.
        finite = log_choices.masked_fill(torch.isinf(self.closed), 0.0)
        return chosen, -(log_choices.exp() * finite).sum(dim=(0, 2))


def _parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(shape, dtype=torch.float64))
