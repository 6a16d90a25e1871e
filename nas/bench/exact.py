"""What the exact count of a model takes, beside the same network in plain float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median, quantiles

import torch

from nas.bench.designs import by_macs, macs, never, random_designs
from nas.bench.figures import Clock, Figure, format_value, seconds_of
from nas.data import datasets
from nas.data.dataset import Dataset
from nas.designs.genotype import Genotype
from nas.evaluation.evaluate import batch_size, input_codes, logits
from nas.networks.float_network import FloatNetwork
from nas.networks.quantise import INPUT
from nas.task import Task

REPEATS = 3


def measure_exact(task: Task, designs: int, images: int, seed: int, clock: Clock) -> Figure:
    """Seconds to count all test images exactly with the median of random designs, on one core.

    For the spread, every design takes turns with PyTorch's float32 forward pass on the first
    `images` test images; each time is the best of three. Weights are the start weights, whose
    sums are as wide as trained ones'. The hash of the logits is not part of it.
    """
    dataset = datasets.load(task.dataset)
    chosen = by_macs(task, random_designs(task, designs, seed))
    # Uncounted: PyTorch sets itself up, and the number types are compared with the oracle.
    _ratio(chosen[-1], dataset, images, seed, clock)
    ratios = sorted(_ratio(design, dataset, images, seed, clock) for design in chosen)
    middle = chosen[designs // 2]
    exact, _ = _passes(middle, dataset, len(dataset.test.labels), seed)
    value = min(seconds_of(exact, clock) for _ in range(REPEATS))
    spread = (
        f"{format_value(ratios[-1])} times a plain float32 pass at worst, "
        f"{format_value(_high(ratios))} for 95 %, {format_value(median(ratios))} in the median"
    )
    unit = f"s for {len(dataset.test.labels):,} images"
    floor = f"{macs(task, middle):,} multiply-accumulates an image in float32"
    return Figure("exact", value, unit, designs, seed, spread, floor)


def _high(values: Sequence[float]) -> float:
    return quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]


def _ratio(design: Genotype, dataset: Dataset, images: int, seed: int, clock: Clock) -> float:
    exact, plain = _passes(design, dataset, images, seed)
    # In turns, so that whatever else the machine does slows both alike.
    pairs = [(seconds_of(exact, clock), seconds_of(plain, clock)) for _ in range(REPEATS)]
    return min(pair[0] for pair in pairs) / min(pair[1] for pair in pairs)


def _passes(
    design: Genotype, dataset: Dataset, images: int, seed: int
) -> tuple[Callable[[], object], Callable[[], object]]:
    """The exact logits of some images, and their plain ones, in batches of the same size."""
    generator = torch.Generator().manual_seed(seed)
    network = FloatNetwork(design, dataset.shape, dataset.classes, generator).eval()
    model = network.export(design)
    codes = input_codes(dataset, "test", "cpu")[:images]
    size = batch_size(design, dataset.shape)

    @torch.no_grad()
    def plain() -> None:
        for batch in torch.split(codes, size):
            network(batch * INPUT.step)

    return lambda: logits(model, design, codes, never), plain
