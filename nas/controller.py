"""The recurrent controller that proposes designs, trained by REINFORCE.

It is the RNN search of Zoph and Le (2017) that the PoNAS paper uses (sections 4.1.1 and 4.1.3), in
the form of the code of arXiv 1911.00105. As there: a two-layer LSTM of width 35; for every token
position an embedding of the token before it (position 0 sees a token of the last position) and a
linear head; start state and start token drawn at random, shared by the rollouts of a batch and
redrawn after each update; the loss sums -log p(token) * (reward - baseline) over tokens and
rollouts; plain SGD at rate 0.2; no entropy bonus and no gradient clipping. Corrected here:
log-softmax instead of the log of a softmax, one generator per controller instead of the global
one, and float64, so that a replay on another processor, whose sums round differently, draws the
same designs.

Shapes: T token positions, B rollouts, V most choices of any position, H width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.genotype import Genotype
from nas.space import Space

WIDTH = 35
LSTM_LAYERS = 2
LEARNING_RATE = 0.2
BASELINE_SPAN = 20


@dataclass(frozen=True)
class Baseline:
    """Running mean of rewards that REINFORCE subtracts; `value` is 0 before the first reward.

    The plain mean of the first BASELINE_SPAN rewards, then exponential with weight
    2 / BASELINE_SPAN for each new one.
    """

    count: int = 0
    value: float = 0.0

    def include(self, reward: float) -> Baseline:
        """The baseline after one more reward."""
        weight = 1 / (self.count + 1) if self.count < BASELINE_SPAN else 2 / BASELINE_SPAN
        return Baseline(self.count + 1, self.value + (reward - self.value) * weight)


@dataclass(frozen=True, eq=False)
class Rollouts:
    """Designs drawn from one policy snapshot: the index of each choice, int64 `[T][B]`."""

    choices: Tensor
    genotypes: tuple[Genotype, ...]


class Controller:
    """A policy over the genotypes of a space; everything random comes from `seed`."""

    def __init__(self, space: Space, seed: int) -> None:
        self._positions = space.positions
        self._generator = torch.Generator().manual_seed(seed)
        self._policy = _Policy(tuple(len(values) for values in self._positions), self._generator)
        self._optimizer = torch.optim.SGD(self._policy.parameters(), lr=LEARNING_RATE)
        self._baseline = Baseline()
        self._start = self._policy.draw_start(self._generator)

    def sample(self, batch: int) -> Rollouts:
        """Draw `batch` designs from the policy as it is."""
        choices = self._policy.sample(self._start, batch, self._generator)
        genotypes = tuple(
            Genotype.from_tokens(
                values[choice] for values, choice in zip(self._positions, rollout, strict=True)
            )
            for rollout in choices.t().tolist()
        )
        return Rollouts(choices, genotypes)

    def update(self, rollouts: Rollouts, rewards: tuple[float, ...]) -> None:
        """Learn from the rewards of rollouts that `sample` drew since the last update.

        Each reward is compared with the baseline before it, in the order given.
        """
        advantages = []
        for reward in rewards:
            advantages.append(reward - self._baseline.value)
            self._baseline = self._baseline.include(reward)
        log_probabilities = self._policy.log_probabilities(self._start, rollouts.choices)
        loss = -(log_probabilities * log_probabilities.new_tensor(advantages)).sum()
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._start = self._policy.draw_start(self._generator)


@dataclass(frozen=True, eq=False)
class _Start:
    """LSTM state `[LSTM_LAYERS][1][H]` (hidden and cell) and the token fed first, `[1]`."""

    hidden: Tensor
    cell: Tensor
    token: Tensor

    def state(self, batch: int) -> tuple[Tensor, Tensor]:
        shape = (LSTM_LAYERS, batch, WIDTH)
        return self.hidden.expand(shape).contiguous(), self.cell.expand(shape).contiguous()


class _Policy(nn.Module):
    """The networks of all positions, padded to V choices and stacked.

    Padding never gets probability: its logits are minus infinity, so it never gets a gradient.
    """

    closed: Tensor

    def __init__(self, choices: tuple[int, ...], generator: torch.Generator) -> None:
        super().__init__()
        positions, most = len(choices), max(choices)
        self._last_choices = choices[-1]
        # By way of the meta device, since the constructor draws from the global generator.
        lstm = nn.LSTM(WIDTH, WIDTH, LSTM_LAYERS, device="meta", dtype=torch.float64)
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

    def draw_start(self, generator: torch.Generator) -> _Start:
        """A standard normal LSTM state and a uniform token of the last position."""
        hidden, cell = torch.randn(
            (2, LSTM_LAYERS, 1, WIDTH), dtype=torch.float64, generator=generator
        )
        token = torch.randint(self._last_choices, (1,), generator=generator)
        return _Start(hidden, cell, token)

    @torch.no_grad()
    def sample(self, start: _Start, batch: int, generator: torch.Generator) -> Tensor:
        """Choices int64 `[T][B]`, drawn token by token."""
        state = start.state(batch)
        choice = start.token.expand(batch)
        biases = (self.head_biases + self.closed).squeeze(1)
        choices = []
        for position in range(len(self.embeddings)):
            output, state = self.lstm(self.embeddings[position, choice].unsqueeze(0), state)
            logits = functional.linear(output[0], self.head_weights[position], biases[position])
            probabilities = logits.softmax(dim=1)
            choice = torch.multinomial(probabilities, 1, generator=generator).squeeze(1)
            choices.append(choice)
        return torch.stack(choices)

    def log_probabilities(self, start: _Start, choices: Tensor) -> Tensor:
        """Log-probability of each rollout, float64 `[B]`.

        All tokens are known by now, so that one pass over the sequence replaces T single steps.
        """
        batch = choices.shape[1]
        before = torch.cat([start.token.expand(1, batch), choices[:-1]])
        rows = before + torch.arange(len(before)).unsqueeze(1) * self.embeddings.shape[1]
        inputs = functional.embedding(rows, self.embeddings.flatten(0, 1))
        outputs, _ = self.lstm(inputs, start.state(batch))
        biases = self.head_biases + self.closed
        logits = torch.baddbmm(biases, outputs, self.head_weights.transpose(1, 2))
        log_choices = logits.log_softmax(dim=2)
        return log_choices.gather(2, choices.unsqueeze(2)).squeeze(2).sum(dim=0)


def _parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(shape, dtype=torch.float64))
