"""Designs and integer models for the tests of training and evaluation."""

import random
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from nas.designs.genotype import Genotype
from nas.designs.shapes import HIDDEN, InputShape, features, layer_shapes
from nas.designs.space import Space
from nas.evaluation.model_format import IntegerModel
from nas.task import Task

DEVNET = Space.uniform(
    3,
    [
        *((1, 3, 5), (1, 3, 5), (4, 8, 12, 16, 24), (1, 2), (1, 2), (1, 2)),
        *((1, 2, 3), (1, 2, 3, 4), (1, 2), (2, 3, 4, 5)),
    ],
)
TASK = Task("digits", DEVNET, "qat", epochs=3, profile="paper", max_mac_images=10**12)

Fill = Callable[[tuple[int, ...], int], npt.NDArray[np.int64]]
"""Codes of a shape in signed bits."""


def devnet_design(seed: int) -> Genotype:
    """A uniform design of the devnet space."""
    return DEVNET.sample(random.Random(seed))


def integer_model(genotype: Genotype, shape: InputShape, classes: int, fill: Fill) -> IntegerModel:
    """A model of the genotype with codes from `fill`."""
    weights, biases = [], []
    for layer, sizes in zip(genotype.layers, layer_shapes(genotype, shape), strict=True):
        out, kernel = layer.num_kernels, (layer.kernel_height, layer.kernel_width)
        weights.append(fill((out, sizes.in_channels, *kernel), layer.weight_bits))
        biases.append(fill((out,), layer.weight_bits))
    first = fill((HIDDEN, features(genotype, shape)), 24), fill((HIDDEN,), 24)
    second = fill((classes, HIDDEN), 24), fill((classes,), 24)
    return IntegerModel(tuple(weights), tuple(biases), *first, *second)


def random_codes(seed: int) -> Fill:
    """Uniform codes over the whole format."""
    rng = np.random.default_rng(seed)

    def fill(shape: tuple[int, ...], bits: int) -> npt.NDArray[np.int64]:
        return rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), shape)

    return fill


def extreme_codes(seed: int, share_low: float) -> Fill:
    """Only the smallest (with probability `share_low`) and the largest code of the format."""
    rng = np.random.default_rng(seed)

    def fill(shape: tuple[int, ...], bits: int) -> npt.NDArray[np.int64]:
        low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        return np.where(rng.random(shape) < share_low, low, high).astype(np.int64)

    return fill
