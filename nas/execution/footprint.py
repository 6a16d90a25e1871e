"""How much memory a job takes on the CPU, known before it runs: an estimate from shapes alone."""

from __future__ import annotations

from nas.data.datasets import describe
from nas.designs.genotype import Genotype
from nas.designs.shapes import HIDDEN, InputShape, features, layer_shapes
from nas.jobs import Count, Job, Propose, Retrain, Rewind, Train, Verify
from nas.training.protocol import Protocol

PROCESS_BYTES = 160 << 20
"""What PyTorch takes of its own in every process, and a job that needs little."""
EVALUATION_BYTES = 64 << 20
"""Operands of a batch of exact evaluation, twice over."""

_FLOAT = 4
_BATCH = {Protocol.QAT: 64, Protocol.PTQ: 128, Protocol.COMPAT: 128}
# Copies of a layer's maps that training holds at once: sums, what quantising, pooling, ReLU and
# dropout make of them, and the gradients on the way back.
_COPIES = {Protocol.QAT: 12, Protocol.PTQ: 6, Protocol.COMPAT: 6}
# Weights, gradients, momentum, the snapshots of the last five epochs, and a state being hashed.
_WEIGHT_COPIES = 10


def estimate_bytes(job: Job) -> int:
    """Memory of a worker's own while it does the job; pages that workers share not counted.

    Raises DatasetError for unknown data and GenotypeError for a design without a shape.
    """
    match job:
        case Propose():
            return PROCESS_BYTES
        case Count():
            info = describe(job.dataset)
            images = info.validation if job.split == "validation" else info.test
            return PROCESS_BYTES + EVALUATION_BYTES + images * _pixels(info.shape)
        case Verify():
            return estimate_bytes(job.count)
        case Rewind() | Retrain():
            return _training_bytes(job.train)
        case Train():
            return _training_bytes(job)


def _training_bytes(job: Train) -> int:
    info = describe(job.task.dataset)
    protocol = Protocol(job.task.protocol)
    maps = _map_values(job.genotype, info.shape)
    training = _FLOAT * _BATCH[protocol] * _COPIES[protocol] * maps
    weights = _FLOAT * _WEIGHT_COPIES * _weights(job.genotype, info.shape, info.classes)
    data = (info.train + info.validation) * _pixels(info.shape)
    return PROCESS_BYTES + EVALUATION_BYTES + data + training + weights


def _pixels(shape: InputShape) -> int:
    return shape.channels * shape.height * shape.width


def _map_values(genotype: Genotype, shape: InputShape) -> int:
    """Values of one image at the input and after all convolutions."""
    return _pixels(shape) + sum(
        layer.num_kernels * sizes.conv_height * sizes.conv_width
        for layer, sizes in zip(genotype.layers, layer_shapes(genotype, shape), strict=True)
    )


def _weights(genotype: Genotype, shape: InputShape, classes: int) -> int:
    kernels = sum(
        layer.num_kernels * sizes.in_channels * layer.kernel_height * layer.kernel_width
        for layer, sizes in zip(genotype.layers, layer_shapes(genotype, shape), strict=True)
    )
    return kernels + features(genotype, shape) * HIDDEN + HIDDEN * classes
