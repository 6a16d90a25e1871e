"""Protocol `qat`, ours: training on the numbers that are exported, judged after every epoch.

The network is `nas.networks.network`; choices and their measurements are in docs/engine.md, 4.
"""

from __future__ import annotations

import torch

from nas.data import resident
from nas.data.dataset import Dataset
from nas.evaluation import evaluate
from nas.evaluation.model_format import pack
from nas.execution.cancel import ShouldStop
from nas.jobs import Train
from nas.networks import weights
from nas.networks.network import Network
from nas.training.descent import Descent, Recipe
from nas.training.snapshots import Ledger, OnEpoch, Snapshot
from nas.training.steps import MakeRunner, step_runner

RECIPE = Recipe(
    batch=64,
    rate=0.1,
    momentum=0.9,
    nesterov=False,
    weight_decay=0.0,
    # Low-bit networks now and then meet a batch that would undo an epoch.
    clip_norm=1.0,
    cosine=True,
    keep_rest=False,
    augment=True,
)


def begin(
    job: Train, dataset: Dataset, device: str, make_runner: MakeRunner = step_runner
) -> tuple[Network, Descent]:
    """The job's network with its start weights, and its training before the first epoch.

    Raises WeightsError for initial weights of another design, and ValueError for a design that
    cannot be built.
    """
    generator = torch.Generator().manual_seed(job.seed)
    network = Network(job.genotype, dataset.shape, dataset.classes, generator)
    if job.initial_weights is not None:
        weights.restore(network, job.initial_weights)
    network.to(device)
    descent = Descent(
        RECIPE, network, network, dataset, job.epochs, device, job.seed, None, make_runner
    )
    return network, descent


def train(
    job: Train,
    dataset: Dataset,
    device: str,
    should_stop: ShouldStop,
    ledger: Ledger,
    on_epoch: OnEpoch | None = None,
) -> tuple[bytes, ...]:
    """Train the job's design and enter a snapshot after each epoch; the hashes of its states.

    Raises as `nas.training.train.train` does.
    """
    network, descent = begin(job, dataset, device)
    images = resident.images_of(dataset, job.task.reward_split, device)
    labels = dataset.split(job.task.reward_split).labels
    states = [descent.state_hash()]
    with descent:
        for _ in range(job.epochs):
            descent.run_epoch(should_stop)
            states.append(descent.state_hash())
            model = network.export()
            found = evaluate.logits(model, job.genotype, images, should_stop)
            data = pack(model, job.genotype, dataset.shape, dataset.classes)
            correct = evaluate.correct_count(found, labels)
            ledger.add(Snapshot(data, weights.state_of(network), correct))
            if on_epoch:
                on_epoch(correct / len(labels))
    return tuple(states)
