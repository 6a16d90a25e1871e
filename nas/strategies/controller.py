"""The recurrent controller that proposes designs, trained by REINFORCE.

It is the RNN search of Zoph and Le (2017) that the PoNAS paper uses (sections 4.1.1 and 4.1.3), in
the form of the code of arXiv 1911.00105. As there: the network of `nas.strategies.policy`; start
state and start token drawn at random, shared by the rollouts of a batch and redrawn after each
update; the loss sums -log p(token) * (reward - baseline) over tokens and rollouts; plain SGD at
rate 0.2; no entropy bonus and no gradient clipping. Corrected here: log-softmax instead of the log
of a softmax, one generator per controller instead of the global one, and float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from nas.designs.space import Space
from nas.strategies.policy import Policy, Rollouts

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


class Controller:
    """A policy over the genotypes of a space; everything random comes from `seed`."""

    def __init__(self, space: Space, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._policy = Policy(space, self._generator)
        self._optimizer = torch.optim.SGD(self._policy.parameters(), lr=LEARNING_RATE)
        self._baseline = Baseline()
        self._start = self._policy.draw_start(self._generator)

    def sample(self, batch: int) -> Rollouts:
        """Draw `batch` designs from the policy as it is."""
        return self._policy.sample(self._start, batch, self._generator)

    def update(self, rollouts: Rollouts, rewards: tuple[float, ...]) -> None:
        """Learn from the rewards of rollouts that `sample` drew since the last update.

        Each reward, in [0, 1] and as many as rollouts, is compared with the baseline before it,
        in the order given.
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
