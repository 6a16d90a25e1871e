"""A procedural stand-in for CIFAR-10, for measurements where the images are not at hand.

Same shape, classes and sizes, so that a training takes the same time; accuracies on it mean
nothing beyond these images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

CLASSES = 10
CHANNELS, SIDE = 3, 32
TRAIN, TEST = 50_000, 10_000

_NOISE = 64


def write_synthetic(folder: Path, train: int, test: int, seed: int) -> str:
    """Draw `train` and `test` images to a file in `folder`; the name of the data set.

    Raises OSError from the disk.
    """
    rng = np.random.default_rng(seed)
    # Coarse patterns of 4 x 4 blocks, so that classes are told apart by shapes.
    blocks = rng.integers(_NOISE, 256 - _NOISE, (CLASSES, CHANNELS, SIDE // 4, SIDE // 4))
    patterns = blocks.repeat(4, axis=2).repeat(4, axis=3).astype(np.int16)
    file = folder / "synthetic.npz"
    arrays: dict[str, Any] = {}
    for part, images in (("train", train), ("test", test)):
        labels = np.arange(images) % CLASSES
        arrays[f"{part}_images"] = _disturbed(patterns, labels, rng)
        arrays[f"{part}_labels"] = labels
    np.savez(file, **arrays)
    return f"arrays:{file}"


def _disturbed(
    patterns: npt.NDArray[np.int16], labels: npt.NDArray[np.int64], rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """The class's pattern for each label, shifted sideways and under noise."""
    images = np.empty((len(labels), CHANNELS, SIDE, SIDE), np.uint8)
    shifts = rng.integers(0, SIDE, len(labels))
    for shift in range(SIDE):
        chosen = np.flatnonzero(shifts == shift)
        noise = rng.integers(-_NOISE, _NOISE, (len(chosen), CHANNELS, SIDE, SIDE), np.int16)
        images[chosen] = np.roll(patterns, shift, axis=3)[labels[chosen]] + noise
    return images
