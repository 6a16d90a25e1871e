"""Stochastic gradient descent on cross-entropy, with the data on the device.

Images stay there as 8-bit codes, a quarter of their float32 size; batches are gathered by index.
Nothing is done per image in Python, and nothing is waited for within an epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from nas import evaluate
from nas.cancel import ShouldStop, check
from nas.dataset import Dataset
from nas.quantise import INPUT

Forward = Callable[[torch.Tensor], torch.Tensor]
"""Images [n, channels, height, width] to logits [n, classes], while training."""


@dataclass(frozen=True)
class Recipe:
    """How a protocol descends.

    `cosine`: the rate falls along a cosine to zero, else it is constant. `clip_norm` is the
    largest norm of the gradient. `keep_rest`: what is left over after the last full batch of an
    epoch's permutation is a batch too, else it waits for another epoch.
    """

    batch: int
    rate: float
    momentum: float
    nesterov: bool
    weight_decay: float
    clip_norm: float | None
    cosine: bool
    keep_rest: bool


class Descent:
    """The training of `network`: `forward` are its logits in training, `generator` draws orders."""

    def __init__(
        self,
        recipe: Recipe,
        network: nn.Module,
        forward: Forward,
        dataset: Dataset,
        epochs: int,
        device: str,
        generator: torch.Generator,
    ) -> None:
        self._recipe = recipe
        self._network = network
        self._forward = forward
        self._images = evaluate.input_codes(dataset, "train", device)
        self._labels = torch.tensor(dataset.train.labels, dtype=torch.int64, device=device)
        self._generator = generator
        self._batch = min(recipe.batch, len(self._labels))
        self._optimiser = torch.optim.SGD(
            network.parameters(),
            recipe.rate,
            recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay,
        )
        steps = epochs * (len(self._labels) // self._batch)
        self._schedule = (
            torch.optim.lr_scheduler.CosineAnnealingLR(self._optimiser, steps)
            if recipe.cosine
            else None
        )

    def run_epoch(self, should_stop: ShouldStop) -> float:
        """One pass over the training split, in an order of its own.

        Returns the share of its images that were right when their batch came. Raises Cancelled.
        """
        self._network.train()
        # Drawn on the CPU, so that a seed means the same order on every device.
        order = torch.randperm(len(self._labels), generator=self._generator)
        correct = torch.zeros((), dtype=torch.int64, device=self._labels.device)
        for batch in torch.split(order.to(self._labels.device), self._batch):
            if len(batch) == self._batch or self._recipe.keep_rest:
                check(should_stop)
                correct += self._step(batch)
        return correct.item() / len(order)

    def _step(self, batch: torch.Tensor) -> torch.Tensor:
        """One step; the number of images of the batch that were right before it."""
        labels = self._labels[batch]
        logits = self._forward(self._images[batch] * INPUT.step)
        loss = functional.cross_entropy(logits, labels)
        self._optimiser.zero_grad()
        torch.autograd.backward(loss)
        if self._recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._network.parameters(), self._recipe.clip_norm)
        self._optimiser.step()
        if self._schedule is not None:
            self._schedule.step()
        return (logits.detach().argmax(1) == labels).sum()
