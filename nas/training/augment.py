"""The images of a training, in colour moved a little in every epoch by protocol `qat`.

What is done follows from the data set. An image in colour is shifted by up to an eighth of its
height and width, 4 of 32 pixels (He et al., arXiv 1512.03385, 4.2), and mirrored half of the time,
since nature looks the same in a mirror. Grey images stay as they are: letters and digits do not
look the same, and digits of 8 x 8 pixels, which fill them, are learnt worse when shifted by one
(30 devnet designs, 10 epochs: mean accuracy 0.668 instead of 0.836). Images that count for a reward
are never moved.
"""

from __future__ import annotations

from typing import Protocol

import torch

from nas.data import resident
from nas.data.dataset import Dataset

SHIFT_SHARE = 8
COLOURS = 3


class TrainingImages(Protocol):
    """The training images of a data set, as an epoch sees them."""

    def begin_epoch(self, generator: torch.Generator) -> None:
        """Draw what happens to the images in the next epoch, from a generator on the CPU."""
        ...

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        """Input codes int8 [n, channels, height, width] of the images at `indices` int64 [n]."""
        ...


class PlainImages:
    """The training images as they are."""

    def __init__(self, dataset: Dataset, device: str) -> None:
        self._images = resident.images_of(dataset, "train", device)

    def begin_epoch(self, generator: torch.Generator) -> None:
        """Draws nothing."""

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        """As TrainingImages says."""
        return self._images[indices]


class MovedImages:
    """The training images, each shifted and mirrored anew in every epoch.

    The moves of an epoch are drawn on the CPU, so that a seed means the same on every device, and
    stay on the device: a step waits for nothing and does nothing image by image.
    """

    def __init__(self, dataset: Dataset, device: str) -> None:
        self._images = resident.images_of(dataset, "train", device)
        count, channels, height, width = self._images.shape
        self._shifts = torch.zeros((2, count), dtype=torch.int64, device=device)
        self._mirrored = torch.zeros(count, dtype=torch.bool, device=device)
        self._channels = torch.arange(channels, device=device)[:, None, None]
        self._rows = torch.arange(height, device=device)
        self._columns = torch.arange(width, device=device)
        # What comes in at the edges is the pixel 0, black, which the network meets in any picture
        # and in any padding before normalisation; the code 0 would be the mean colour.
        black = torch.from_numpy(dataset.input_codes[:, 0].copy())
        self._black = black.to(device)[:, None, None]

    def begin_epoch(self, generator: torch.Generator) -> None:
        """As TrainingImages says."""
        count, _, *sides = self._images.shape
        # In place, because a graph reads the addresses that it was recorded with.
        for shifts, side in zip(self._shifts, sides, strict=True):
            limit = side // SHIFT_SHARE
            shifts.copy_(torch.randint(-limit, limit + 1, (count,), generator=generator))
        self._mirrored.copy_(torch.randint(0, 2, (count,), generator=generator))

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        """As TrainingImages says."""
        _, channels, height, width = self._images.shape
        rows = self._rows + self._shifts[0, indices, None]
        columns = self._columns + self._shifts[1, indices, None]
        columns = torch.where(self._mirrored[indices, None], width - 1 - columns, columns)
        inside = _within(rows, height)[:, None, :, None] & _within(columns, width)[:, None, None]
        planes = indices[:, None, None, None] * channels + self._channels
        lines = planes * height + rows.clamp(0, height - 1)[:, None, :, None]
        pixels = lines * width + columns.clamp(0, width - 1)[:, None, None]
        return torch.where(inside, torch.take(self._images, pixels), self._black)


def training_images(dataset: Dataset, augment: bool, device: str) -> TrainingImages:
    """The training images of a data set on a device; moved, if a protocol wants and they suit."""
    if augment and dataset.shape.channels == COLOURS:
        return MovedImages(dataset, device)
    return PlainImages(dataset, device)


def _within(positions: torch.Tensor, length: int) -> torch.Tensor:
    return (positions >= 0) & (positions < length)
