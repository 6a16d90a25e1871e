"""Protocols `ptq` and `compat`: the authors' training in floating point, rounded for evaluation.

Batch 128, SGD at a constant rate of 0.01 with Nesterov momentum 0.9 and weight decay 5e-4, dropout;
training ends early once more than 99 % of an epoch's images were right (nas.md 1.3). The networks
after the last five epochs are judged, under any reward rule: nothing before them depends on the
formats, so that five sets of float weights serve every design of the same architecture and seed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import torch

from nas.data import resident
from nas.data.dataset import Dataset
from nas.evaluation import evaluate
from nas.evaluation.model_format import pack
from nas.execution.cancel import ShouldStop
from nas.jobs import Train
from nas.networks import weights
from nas.networks.float_network import CLASSIFIER_DROPOUT, FloatNetwork
from nas.networks.weights import STATE_HASH_BYTES, State
from nas.training.descent import Descent, Recipe
from nas.training.protocol import Protocol
from nas.training.snapshots import WINDOW, Ledger, OnEpoch, Snapshot
from nas.training.weights_cache import WeightsCache, weights_key

RECIPE = Recipe(
    batch=128,
    rate=0.01,
    momentum=0.9,
    nesterov=True,
    weight_decay=5e-4,
    clip_norm=None,
    cosine=False,
    keep_rest=True,
    augment=False,
)
LEARNT = 0.99


@dataclass(frozen=True)
class Floats:
    """What a training leaves, whatever the formats: the float weights after its last epochs.

    `states` are the hashes of its states (`nas.jobs.Trained`).
    """

    weights: tuple[State, ...]
    states: tuple[bytes, ...]


def train(
    job: Train,
    dataset: Dataset,
    device: str,
    should_stop: ShouldStop,
    ledger: Ledger,
    cache: WeightsCache | None,
    on_epoch: OnEpoch | None = None,
) -> tuple[bytes, ...]:
    """Train the job's architecture, or find it in `cache`, and enter its snapshots.

    Returns the hashes of its states. Raises as `nas.training.train.train` does.
    """
    key = weights_key(job, dataset.content_hash, device)
    # Who brings weights along gets something else than what architecture and seed say.
    usable = cache if job.initial_weights is None else None
    known = usable.find(key) if usable else None
    if known is None:
        floats = train_floats(job, dataset, device, should_stop, on_epoch)
        if usable:
            usable.keep(key, _to_parts(floats))
    else:
        floats = _from_parts(known)
    _judge(job, dataset, device, should_stop, floats.weights, ledger)
    return floats.states


def begin(job: Train, dataset: Dataset, device: str) -> tuple[FloatNetwork, Descent]:
    """The job's network with its start weights, and its training before the first epoch.

    Raises WeightsError for initial weights of another design, and GenotypeError for a design that
    cannot be built.
    """
    generator = torch.Generator().manual_seed(job.seed)
    network = FloatNetwork(job.genotype, dataset.shape, dataset.classes, generator)
    if job.initial_weights is not None:
        weights.restore(network, job.initial_weights)
    network.to(device)
    noise = torch.Generator(device)
    descent = Descent(
        RECIPE,
        network,
        lambda images: network(images, noise),
        dataset,
        job.epochs,
        device,
        job.seed,
        noise,
    )
    return network, descent


def train_floats(
    job: Train,
    dataset: Dataset,
    device: str,
    should_stop: ShouldStop,
    on_epoch: OnEpoch | None = None,
) -> Floats:
    """The float weights after each of the last five epochs.

    Raises as `begin` does, and Cancelled.
    """
    network, descent = begin(job, dataset, device)
    last: deque[State] = deque(maxlen=WINDOW)
    states = [descent.state_hash()]
    with descent:
        for _ in range(job.epochs):
            right = descent.run_epoch(should_stop)
            states.append(descent.state_hash())
            if on_epoch:
                on_epoch(None)
            # The authors leave this epoch out; where it is the first, they have no reward at all.
            if right > LEARNT and last:
                break
            last.append(weights.state_of(network))
            if right > LEARNT:
                break
    return Floats(tuple(last), tuple(states))


def _to_parts(floats: Floats) -> tuple[bytes, ...]:
    return (b"".join(floats.states), *map(weights.pack_state, floats.weights))


def _from_parts(parts: tuple[bytes, ...]) -> Floats:
    joined, *packed = parts
    states = (joined[at : at + STATE_HASH_BYTES] for at in range(0, len(joined), STATE_HASH_BYTES))
    return Floats(tuple(map(weights.unpack, packed)), tuple(states))


def _judge(
    job: Train,
    dataset: Dataset,
    device: str,
    should_stop: ShouldStop,
    floats: tuple[State, ...],
    ledger: Ledger,
) -> None:
    """Round each set of float weights to the job's formats and count."""
    network = FloatNetwork(job.genotype, dataset.shape, dataset.classes, torch.Generator())
    images = resident.images_of(dataset, job.task.reward_split, device)
    labels = dataset.split(job.task.reward_split).labels
    dropout = None
    if job.task.protocol == Protocol.COMPAT:
        noise = torch.Generator(device).manual_seed(job.seed)
        dropout = evaluate.HiddenDropout(CLASSIFIER_DROPOUT, noise)
    for state in floats:
        network.load_state_dict(state)
        model = network.export(job.genotype)
        found = evaluate.logits(model, job.genotype, images, should_stop, dropout)
        packed = pack(model, job.genotype, dataset.shape, dataset.classes)
        ledger.add(Snapshot(packed, state, evaluate.correct_count(found, labels)))
