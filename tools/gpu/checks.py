"""Whether a device computes what it must, before anything is timed on it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from nas.bench.designs import never
from nas.data import datasets
from nas.data.dataset import Dataset
from nas.designs.genotype import Genotype
from nas.designs.shapes import HIDDEN, features, layer_shapes
from nas.evaluation import evaluate, oracle
from nas.evaluation.exact import LIMITS, verified_dtypes
from nas.evaluation.model_format import IntegerModel
from nas.jobs import Train, Trained
from nas.training import qat
from nas.training.steps import EagerStep, Step, compute_repeatably, enter_own_stream, step_runner
from nas.training.train import fit
from tools.gpu.throughput import lane_executor

ORACLE_IMAGES = 3


@dataclass(frozen=True)
class Check:
    """A claim about the engine on this device, and whether it held."""

    claim: str
    held: bool


def run_checks(qat: Train, ptq: Train, device: str) -> Iterator[Check]:
    """Each check as it is made; `qat` and `ptq` are short trainings under these protocols."""
    compute_repeatably()
    enter_own_stream(device)
    dataset = datasets.load(qat.task.dataset)
    yield Check(
        "sums at the bounds of float32 and float64 agree with the oracle (self-test)",
        verified_dtypes(str(torch.zeros(0, device=device).device)) == tuple(LIMITS),
    )
    for name, low in (("random", None), ("extreme", 0.5), ("largest", 0.0)):
        yield Check(
            f"logits of a model with {name} weights are the oracle's, and the CPU's",
            _logits_agree(qat.genotype, dataset, device, low),
        )
    yield Check(
        "training by graphs equals training step by step, bit for bit",
        _graphs_are_steps(qat, dataset, device),
    )
    for job in (qat, ptq):
        yield Check(
            f"a training under {job.task.protocol} repeats itself, alone and beside others",
            _repeats_itself(job, device),
        )
    compute_repeatably(False)


def _logits_agree(genotype: Genotype, dataset: Dataset, device: str, low: float | None) -> bool:
    model = _model(genotype, dataset, low)
    cpu = evaluate.input_codes(dataset, "test", "cpu")
    found = evaluate.logits(model, genotype, cpu.to(device), never)
    images = cpu[:ORACLE_IMAGES].numpy().astype(np.int64)
    expected = [oracle.image_logits(model, genotype, image).tolist() for image in images]
    same = np.array_equal(found, evaluate.logits(model, genotype, cpu, never))
    return same and found[:ORACLE_IMAGES].tolist() == expected


def _model(genotype: Genotype, dataset: Dataset, low: float | None) -> IntegerModel:
    """Weights over their whole formats, or only the lowest (a share of `low`) and the highest."""
    rng = np.random.default_rng(1)

    def fill(shape: tuple[int, ...], bits: int) -> oracle.Codes:
        least, most = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        if low is None:
            return rng.integers(least, most + 1, shape)
        return np.where(rng.random(shape) < low, least, most)

    sizes = zip(genotype.layers, layer_shapes(genotype, dataset.shape), strict=True)
    pairs = [
        (
            fill(
                (gene.num_kernels, size.in_channels, gene.kernel_height, gene.kernel_width),
                gene.weight_bits,
            ),
            fill((gene.num_kernels,), gene.weight_bits),
        )
        for gene, size in sizes
    ]
    inputs = features(genotype, dataset.shape)
    return IntegerModel(
        tuple(weights for weights, _ in pairs),
        tuple(biases for _, biases in pairs),
        fill((HIDDEN, inputs), 24),
        fill((HIDDEN,), 24),
        fill((dataset.classes, HIDDEN), 24),
        fill((dataset.classes,), 24),
    )


def _graphs_are_steps(job: Train, dataset: Dataset, device: str) -> bool:
    def eager(step: Step, *_: object) -> EagerStep:
        return EagerStep(step)

    states = []
    for make_runner in (eager, step_runner):
        _, descent = qat.begin(job, dataset, device, make_runner)
        with descent:
            descent.run_epoch(never)
        states.append(descent.state_hash())
    return states[0] == states[1]


def _repeats_itself(job: Train, device: str) -> bool:
    async def beside_others() -> list[Trained]:
        executor = lane_executor(3, device)
        others = [replace(job, seed=job.seed + 1), job, replace(job, seed=job.seed + 2)]
        try:
            return await asyncio.gather(*(executor.run(other) for other in others))
        finally:
            await executor.close()

    snapshot, counts = fit(job, datasets.load(job.task.dataset), device, never)
    found = asyncio.run(beside_others())[1]
    return (found.model, found.correct) == (snapshot.model, sum(counts))
