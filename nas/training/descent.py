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

from nas.data.dataset import Dataset
from nas.execution.cancel import ShouldStop, check
from nas.networks import weights
from nas.networks.quantise import INPUT
from nas.networks.weights import State
from nas.training.augment import training_images
from nas.training.seeds import Draw, epoch_seed
from nas.training.steps import MakeRunner, step_runner

Forward = Callable[[torch.Tensor], torch.Tensor]
"""Images [n, channels, height, width] to logits [n, classes], while training."""

_MOMENTUM = "momentum_buffer"
"""PyTorch's name for it in the state of an optimiser."""


@dataclass(frozen=True)
class Recipe:
    """How a protocol descends.

    `cosine`: the rate falls along a cosine to zero, else it is constant. `clip_norm` is the
    largest norm of the gradient. `keep_rest`: what is left over after the last full batch of an
    epoch's permutation is a batch too, else it waits for another epoch. `augment`: images
    are moved as `nas.training.augment` says.
    """

    batch: int
    rate: float
    momentum: float
    nesterov: bool
    weight_decay: float
    clip_norm: float | None
    cosine: bool
    keep_rest: bool
    augment: bool


class Descent:
    """The training of `network` for `epochs`: `forward` are its logits in training.

    A context: what its steps hold on the device is given back at the end.
    `noise` is the generator that `forward` draws from, if it does; `make_runner` says how steps
    are carried out. What is random in an epoch follows from `seed` and the epoch's number.
    """

    def __init__(
        self,
        recipe: Recipe,
        network: nn.Module,
        forward: Forward,
        dataset: Dataset,
        epochs: int,
        device: str,
        seed: int,
        noise: torch.Generator | None = None,
        make_runner: MakeRunner = step_runner,
    ) -> None:
        self._recipe = recipe
        self._network = network
        self._forward = forward
        self._images = training_images(dataset, recipe.augment, device)
        self._labels = torch.tensor(dataset.train.labels, dtype=torch.int64, device=device)
        self._seed = seed
        self._noise = noise
        self._batch = min(recipe.batch, len(self._labels))
        self._optimiser = _optimiser(recipe, network, device)
        self._right = torch.zeros((), dtype=torch.int64, device=device)
        self._epochs = epochs
        self._epoch = 0
        self._runner = make_runner(self._step, self._batch, device, noise)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()

    def state(self) -> State:
        """All tensors that the next epoch depends on, by name; they go on changing."""
        momentum = {
            f"momentum.{name}": self._optimiser.state[parameter][_MOMENTUM]
            for name, parameter in self._network.named_parameters()
        }
        named = (*self._network.named_parameters(), *self._network.named_buffers())
        return dict(named) | momentum

    def state_hash(self) -> bytes:
        """BLAKE2b-256 of the state's canonical bytes (`nas.networks.weights.pack_state`)."""
        return weights.hash_state(self.state())

    def resume(self, epoch: int, data: bytes) -> None:
        """Go on with `epoch` (from 0) from the canonical bytes of the state before it.

        Raises WeightsError, and changes nothing, for any but the state of such a training.
        """
        own = self.state()
        tensors = weights.unpack_like(own, data)
        with torch.no_grad():
            for name, tensor in tensors.items():
                own[name].copy_(tensor)
        self._epoch = epoch

    def run_epoch(self, should_stop: ShouldStop) -> float:
        """One pass over the training split, in an order of its own.

        Returns the share of its images that were right when their batch came. Raises Cancelled.
        """
        self._network.train()
        order = self._draw()
        self._right.zero_()
        batches = [
            batch
            for batch in torch.split(order.to(self._labels.device), self._batch)
            if len(batch) == self._batch or self._recipe.keep_rest
        ]
        for number, batch in enumerate(batches):
            check(should_stop)
            self._set_rate((self._epoch + number / len(batches)) / self._epochs)
            self._runner.run(batch)
        self._epoch += 1
        return self._right.item() / len(order)

    def _draw(self) -> torch.Tensor:
        """The order of the epoch's images; also sets what else is random in it."""
        # Drawn on the CPU, so that a seed means the same order on every device.
        generator = torch.Generator()
        generator.manual_seed(epoch_seed(self._seed, self._epoch, Draw.IMAGES))
        if self._noise is not None:
            self._noise.manual_seed(epoch_seed(self._seed, self._epoch, Draw.NOISE))
        order = torch.randperm(len(self._labels), generator=generator)
        self._images.begin_epoch(generator)
        return order

    def _set_rate(self, done: float) -> None:
        """The rate of the next step, along a cosine from the recipe's to zero; `done` is 0 to 1."""
        if self._recipe.cosine:
            rate = self._recipe.rate * (1 + math.cos(math.pi * done)) / 2
            group = self._optimiser.param_groups[0]
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def _step(self, batch: torch.Tensor) -> None:
        """One step, which also counts the images of the batch that were right before it."""
        labels = self._labels[batch]
        logits = self._forward(self._images.batch(batch) * INPUT.step)
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
    optimiser = torch.optim.SGD(
        network.parameters(),
        torch.tensor(recipe.rate, device=device) if on_cuda else recipe.rate,
        recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
        fused=on_cuda,
    )
    # From the start, where PyTorch makes it in the first step: the state has one shape throughout.
    for parameter in network.parameters():
        optimiser.state[parameter][_MOMENTUM] = torch.zeros_like(parameter)
    return optimiser
