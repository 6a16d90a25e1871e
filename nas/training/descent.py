"""Stochastic gradient descent on cross-entropy, with the data on the device.

What happens in a step stands here; `nas.training.steps` carries it out, on CUDA as one graph.
Images stay on the device as 8-bit codes, a quarter of their float32 size; batches are gathered by
index. Nothing is done per image in Python, and nothing is waited for within an epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import nn
from torch.nn import functional

from nas.data import resident
from nas.data.dataset import Dataset
from nas.execution.cancel import ShouldStop, check
from nas.networks.quantise import INPUT
from nas.training.steps import MakeRunner, step_runner

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
    """The training of `network`: `forward` are its logits in training, `generator` draws orders.

    A context: what its steps hold on the device is given back at the end.
    `noise` is the generator that `forward` draws from, if it does; `make_runner` says how steps
    are carried out.
    """

    def __init__(
        self,
        recipe: Recipe,
        network: nn.Module,
        forward: Forward,
        dataset: Dataset,
        epochs: int,
        device: str,
        generator: torch.Generator,
        noise: torch.Generator | None = None,
        make_runner: MakeRunner = step_runner,
    ) -> None:
        self._recipe = recipe
        self._network = network
        self._forward = forward
        self._images = resident.images_of(dataset, "train", device)
        self._labels = torch.tensor(dataset.train.labels, dtype=torch.int64, device=device)
        self._generator = generator
        self._batch = min(recipe.batch, len(self._labels))
        self._optimiser = _optimiser(recipe, network, device)
        self._right = torch.zeros((), dtype=torch.int64, device=device)
        self._steps = epochs * (len(self._labels) // self._batch)
        self._done = 0
        self._runner = make_runner(self._step, self._batch, device, noise)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()

    def run_epoch(self, should_stop: ShouldStop) -> float:
        """One pass over the training split, in an order of its own.

        Returns the share of its images that were right when their batch came. Raises Cancelled.
        """
        self._network.train()
        # Drawn on the CPU, so that a seed means the same order on every device.
        order = torch.randperm(len(self._labels), generator=self._generator)
        self._right.zero_()
        for batch in torch.split(order.to(self._labels.device), self._batch):
            if len(batch) == self._batch or self._recipe.keep_rest:
                check(should_stop)
                self._set_rate()
                self._runner.run(batch)
        return self._right.item() / len(order)

    def _set_rate(self) -> None:
        """The rate of the next step, along a cosine from the recipe's to zero."""
        if self._recipe.cosine:
            rate = self._recipe.rate * (1 + math.cos(math.pi * self._done / self._steps)) / 2
            group = self._optimiser.param_groups[0]
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
            self._done += 1

    def _step(self, batch: torch.Tensor) -> None:
        """One step, which also counts the images of the batch that were right before it."""
        labels = self._labels[batch]
        logits = self._forward(self._images[batch] * INPUT.step)
        loss = functional.cross_entropy(logits, labels)
        self._optimiser.zero_grad()
        torch.autograd.backward(loss)
        if self._recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._network.parameters(), self._recipe.clip_norm)
        self._optimiser.step()
        self._right += (logits.detach().argmax(1) == labels).sum()


def _optimiser(recipe: Recipe, network: nn.Module, device: str) -> torch.optim.SGD:
    """On CUDA one kernel updates everything, by a rate that a graph reads from the device."""
    on_cuda = torch.device(device).type == "cuda"
    return torch.optim.SGD(
        network.parameters(),
        torch.tensor(recipe.rate, device=device) if on_cuda else recipe.rate,
        recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
        fused=on_cuda,
    )
