"""Training of one design under a protocol, judged by exact evaluation.

A job gives the same bytes every time on the same kind of CPU: all randomness comes from the job's
seed, and a worker computes on one thread.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from nas.data import resident
from nas.data.dataset import Dataset
from nas.evaluation import evaluate
from nas.evaluation.model_format import pack
from nas.execution.cancel import ShouldStop
from nas.jobs import Train, Trained
from nas.networks import weights
from nas.networks.network import Network
from nas.training import ptq
from nas.training.descent import Descent, Recipe
from nas.training.protocol import Protocol
from nas.training.snapshots import Ledger, Snapshot
from nas.training.steps import enter_own_stream
from nas.training.weights_cache import WeightsCache

QAT = Recipe(
    batch=64,
    rate=0.1,
    momentum=0.9,
    nesterov=False,
    weight_decay=0.0,
    # Low-bit networks now and then meet a batch that would undo an epoch.
    clip_norm=1.0,
    cosine=True,
    keep_rest=False,
)


def train(
    job: Train,
    dataset: Dataset,
    device: str,
    should_stop: ShouldStop,
    clock: Callable[[], float],
    cache: WeightsCache | None = None,
) -> Trained:
    """Train a design and return what its task's reward rule makes of it; `clock` counts seconds.

    `cache` spares `ptq` and `compat` the training of float weights that are known already.
    Raises WeightsError for initial weights of another design, ValueError for a design that cannot
    be built or a training that diverges, and Cancelled.
    """
    started = clock()
    chosen, counts = fit(job, dataset, device, should_stop, cache)
    size = len(counts) * len(dataset.split(job.task.reward_split).labels)
    floats = weights.pack_state(chosen.weights)
    return Trained(chosen.model, floats, sum(counts), size, job.epochs, clock() - started)


def fit(
    job: Train,
    dataset: Dataset,
    device: str,
    should_stop: ShouldStop,
    cache: WeightsCache | None = None,
) -> tuple[Snapshot, tuple[int, ...]]:
    """The network that the reward rule chose, and the exact counts whose mean is the reward.

    On CUDA the calling thread is given a stream of its own. Raises as `train` does, and
    torch.OutOfMemoryError.
    """
    ledger = Ledger(job.task.rule)
    fit_into(ledger, job, dataset, device, should_stop, cache)
    return ledger.result()


def fit_into(
    ledger: Ledger,
    job: Train,
    dataset: Dataset,
    device: str,
    should_stop: ShouldStop,
    cache: WeightsCache | None = None,
) -> None:
    """As `fit`, but every judged snapshot goes to `ledger`, in the order of the epochs."""
    enter_own_stream(device)
    if job.task.protocol == Protocol.QAT:
        _train_qat(job, dataset, device, should_stop, ledger)
    else:
        ptq.train(job, dataset, device, should_stop, ledger, cache)


def _train_qat(
    job: Train, dataset: Dataset, device: str, should_stop: ShouldStop, ledger: Ledger
) -> None:
    """Quantisation-aware training; every epoch's network is exported and counted."""
    generator = torch.Generator().manual_seed(job.seed)
    network = Network(job.genotype, dataset.shape, dataset.classes, generator)
    if job.initial_weights is not None:
        weights.restore(network, job.initial_weights)
    network.to(device)
    images = resident.images_of(dataset, job.task.reward_split, device)
    labels = dataset.split(job.task.reward_split).labels
    with Descent(QAT, network, network, dataset, job.epochs, device, generator) as descent:
        for _ in range(job.epochs):
            descent.run_epoch(should_stop)
            model = network.export()
            found = evaluate.logits(model, job.genotype, images, should_stop)
            data = pack(model, job.genotype, dataset.shape, dataset.classes)
            correct = evaluate.correct_count(found, labels)
            ledger.add(Snapshot(data, weights.state_of(network), correct))
