"""Training of one design under protocol `qat`, judged by exact evaluation after each epoch.

The reward rule is `best` (design section 6): the snapshot with most correct validation images,
the earliest among equals, is the model. A job gives the same bytes every time on the same kind of
CPU: all randomness comes from the job's seed, and a worker computes on one thread.
"""

from collections.abc import Callable

import torch
from torch.nn import functional

from nas import evaluate, weights
from nas.cancel import ShouldStop, check
from nas.datasets import Dataset
from nas.jobs import Train, Trained
from nas.model_format import pack
from nas.network import Network
from nas.quantise import INPUT

BATCH = 64
PEAK_RATE = 0.1
MOMENTUM = 0.9
CLIP_NORM = 1.0
"""Largest gradient norm; low-bit networks now and then meet a batch that would undo an epoch."""


def train(
    job: Train,
    dataset: Dataset,
    device: str,
    should_stop: ShouldStop,
    clock: Callable[[], float],
) -> Trained:
    """Train a design and return its best snapshot; `clock` counts seconds.

    Raises WeightsError for initial weights of another design, ValueError for a design that cannot
    be built or a training that diverges, and Cancelled.
    """
    started = clock()
    generator = torch.Generator().manual_seed(job.seed)
    network = Network(job.genotype, dataset.shape, dataset.classes, generator)
    if job.initial_weights is not None:
        weights.restore(network, job.initial_weights)
    network.to(device)
    descent = _Descent(network, dataset, job.epochs, device, generator)
    validation = evaluate.input_codes(dataset, "validation", device)
    labels = dataset.validation.labels
    best: tuple[int, bytes, bytes] | None = None
    for _ in range(job.epochs):
        descent.run_epoch(should_stop)
        model = network.export()
        found = evaluate.logits(model, job.genotype, validation, should_stop)
        correct = evaluate.correct_count(found, labels)
        if best is None or correct > best[0]:
            data = pack(model, job.genotype, dataset.shape, dataset.classes)
            best = (correct, data, weights.pack(network))
    if best is None:
        raise ValueError("training needs at least 1 epoch")
    correct, data, floats = best
    return Trained(data, floats, correct, len(labels), job.epochs, clock() - started)


class _Descent:
    """Stochastic gradient descent on cross-entropy, its rate falling along a cosine to zero.

    The data stay on the device and batches are gathered by index. What is left over after the
    last full batch of an epoch's permutation waits for another epoch.
    """

    def __init__(
        self,
        network: Network,
        dataset: Dataset,
        epochs: int,
        device: str,
        generator: torch.Generator,
    ) -> None:
        self._network = network
        self._images = evaluate.input_codes(dataset, "train", device) * INPUT.step
        self._labels = torch.tensor(dataset.train.labels, dtype=torch.int64, device=device)
        self._generator = generator
        self._batch = min(BATCH, len(self._labels))
        self._steps = epochs * (len(self._labels) // self._batch)
        self._optimiser = torch.optim.SGD(network.parameters(), PEAK_RATE, MOMENTUM)
        self._schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self._optimiser, self._steps)

    def run_epoch(self, should_stop: ShouldStop) -> None:
        """One pass over the training split, in an order of its own."""
        self._network.train()
        # Drawn on the CPU, so that a seed means the same order on every device.
        order = torch.randperm(len(self._labels), generator=self._generator)
        for batch in torch.split(order.to(self._labels.device), self._batch):
            if len(batch) == self._batch:
                check(should_stop)
                self._step(batch)

    def _step(self, batch: torch.Tensor) -> None:
        loss = functional.cross_entropy(self._network(self._images[batch]), self._labels[batch])
        self._optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), CLIP_NORM)
        self._optimiser.step()
        self._schedule.step()
