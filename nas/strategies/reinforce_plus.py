"""REINFORCE with what later work found to help, over feasible and alive designs only.

Against `reinforce`: Adam (Kingma and Ba 2015) instead of plain SGD; an entropy bonus (Williams and
Peng 1991); rewards compared with their running mean, in units of their running deviation; a start
state drawn once; and the policy conditioned on acceptance, after TabNAS (Yang et al. 2022,
arXiv 2204.07615): designs are drawn until enough are accepted, and the gradient is that of

    log p(design) - log P(accepted)

where the gradient of log P(accepted) is the mean gradient of log p over the accepted ones among
all designs drawn. A refusal then costs no episode and drags no baseline down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nas.designs.genotype import Genotype
from nas.designs.space import Space
from nas.strategies.base import Accept, in_batches
from nas.strategies.controller import Baseline
from nas.strategies.policy import Policy

BATCH = 8
DRAWS = 16
MAX_ROUNDS = 64
"""How often DRAWS designs are drawn for a batch of accepted ones."""

LEARNING_RATE = 0.02
ENTROPY_WEIGHT = 0.1
LEAST_DEVIATION = 0.01
"""Rewards closer together than a hundredth are not told apart by blowing them up."""


@dataclass(frozen=True, eq=False)
class _Batch:
    """The designs of BATCH episodes first, other accepted designs behind them.

    `choices` int64 `[T][n]`, `is_accepted` bool `[n]`, `genotypes` of the BATCH only.
    """

    choices: Tensor
    is_accepted: Tensor
    genotypes: tuple[Genotype, ...]


class ReinforcePlus:
    """One policy snapshot proposes BATCH designs and learns once all have their rewards."""

    def __init__(self, space: Space, seed: int, accept: Accept) -> None:
        self._accept = accept
        self._generator = torch.Generator().manual_seed(seed)
        self._policy = Policy(space, self._generator)
        self._optimizer = torch.optim.Adam(self._policy.parameters(), lr=LEARNING_RATE)
        self._start = self._policy.draw_start(self._generator)
        self._mean, self._mean_square = Baseline(), Baseline()
        self._batch: _Batch | None = None
        self._asked = 0
        self._rewards: list[float] = []

    def tells_before(self, episode: int) -> int:
        """All rewards of the batches before the episode's own."""
        return in_batches(BATCH, episode)

    def ask(self) -> Genotype:
        """The design of the next episode."""
        if self._batch is None:
            self._batch, self._asked = self._draw_batch(), 0
        self._asked += 1
        return self._batch.genotypes[self._asked - 1]

    def tell(self, genotype: Genotype, reward: float) -> None:
        """The policy learns when a batch is complete."""
        self._rewards.append(reward)
        self._mean = self._mean.include(reward)
        self._mean_square = self._mean_square.include(reward * reward)
        if self._batch is not None and len(self._rewards) == BATCH:
            self._learn(self._batch)
            self._batch, self._rewards = None, []

    def _draw_batch(self) -> _Batch:
        """Draw until BATCH designs are accepted; refused ones fill up when that takes too long."""
        accepted: list[tuple[Tensor, Genotype]] = []
        refused: list[tuple[Tensor, Genotype]] = []
        for _ in range(MAX_ROUNDS):
            rollouts = self._policy.sample(self._start, DRAWS, self._generator)
            for choices, genotype in zip(rollouts.choices.T, rollouts.genotypes, strict=True):
                (accepted if self._accept(genotype) else refused).append((choices, genotype))
            if len(accepted) >= BATCH:
                break
        designs = accepted + refused[: max(0, BATCH - len(accepted))]
        return _Batch(
            torch.stack([choices for choices, _ in designs], dim=1),
            torch.arange(len(designs)) < len(accepted),
            tuple(genotype for _, genotype in designs[:BATCH]),
        )

    def _learn(self, batch: _Batch) -> None:
        policy = self._policy
        chosen, entropy = policy.log_probabilities_and_entropy(self._start, batch.choices)
        variance = self._mean_square.value - self._mean.value**2
        deviation = max(math.sqrt(max(variance, 0.0)), LEAST_DEVIATION)
        advantages = (chosen.new_tensor(self._rewards) - self._mean.value) / deviation
        # Nothing to condition on where not a single design was accepted.
        if batch.is_accepted.any():
            chosen = chosen - chosen[batch.is_accepted].mean()
        loss = -(chosen[:BATCH] * advantages).mean() - ENTROPY_WEIGHT * entropy.mean()
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
