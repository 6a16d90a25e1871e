"""What the exact count of a model takes, beside the same network in plain float32."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional

from nas import datasets
from nas.evaluate import count, input_codes
from nas.genotype import Genotype
from nas.jobs import Count
from nas.model_format import unpack
from nas.train import train
from nas.windows import max_pool_same, pad_same
from tools.benchmarks.designs import devnet_task, median_design, never, train_job
from tools.benchmarks.figures import Clock, Figure, describe_spread, seconds_of

DRAWN = 15
"""Random designs whose median is counted."""


def measure_exact(counts: int, seed: int, clock: Clock) -> tuple[Figure, ...]:
    """Exact counts of the test images by a `devnet` model trained for one epoch, on one core.

    The two take turns, so that whatever else the machine does slows both alike.
    """
    task = devnet_task()
    design = median_design(task, DRAWN, seed)
    dataset = datasets.load(task.dataset)
    model = train(train_job(task, design, 1, seed), dataset, "cpu", never, clock).model
    images = input_codes(dataset, "test", "cpu")
    arrays = unpack(model, design, dataset.shape, dataset.classes).arrays
    floats = [torch.from_numpy(array).float() for array in arrays]
    exact = partial(count, Count(task.dataset, "test", design, model), dataset, "cpu", never)
    plain = partial(float_logits, floats, design, images)
    # Uncounted: PyTorch sets itself up, and the number types are compared with the oracle.
    exact()
    plain()
    pairs = [(seconds_of(exact, clock), seconds_of(plain, clock)) for _ in range(counts)]
    exact_ms, plain_ms = ([1_000 * pair[side] for pair in pairs] for side in (0, 1))
    ratio = median(exact_ms) / median(plain_ms)
    unit = f"ms for {len(images)} images"
    return (
        Figure(
            "exact",
            median(exact_ms),
            unit,
            counts,
            seed,
            describe_spread(exact_ms),
            f"{ratio:.1f} times exact_float32: unfolded windows, float64 rounding, bytes and hash",
        ),
        Figure(
            "exact_float32",
            median(plain_ms),
            unit,
            counts,
            seed,
            describe_spread(plain_ms),
            "PyTorch's own convolutions in float32, no rounding",
        ),
    )


@torch.no_grad()
def float_logits(arrays: Sequence[Tensor], genotype: Genotype, images: Tensor) -> Tensor:
    """Logits [n, classes] in plain float32, of images [n, channels, height, width].

    `arrays` are a model's in canonical order. Codes stand for themselves: scale takes no time.
    """
    maps = images.float()
    for layer, kernel, bias in zip(genotype.layers, arrays[:-4:2], arrays[1:-4:2], strict=True):
        stride = (layer.stride_height, layer.stride_width)
        padded = pad_same(maps, (layer.kernel_height, layer.kernel_width), stride)
        sums = functional.conv2d(padded, kernel, bias, stride)
        maps = max_pool_same(torch.relu(sums), layer.pool_size)
    hidden = torch.relu(functional.linear(maps.flatten(1), arrays[-4], arrays[-3]))
    return functional.linear(hidden, arrays[-2], arrays[-1])
