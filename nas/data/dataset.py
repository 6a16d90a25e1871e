"""What a data set is: pinned bytes, a fixed split, and the table that turns pixels into codes.

The bytes of a data set are its images, then its labels (one byte each), both in the order train,
validation, test. BLAKE2b-256 over them is its content hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from nas.designs.shapes import INPUT_FRAC_BITS, INPUT_INT_BITS, InputShape

SPLITS = ("train", "validation", "test")


class DatasetError(ValueError):
    """A data set or split that does not exist or is none, or bytes that are not the pinned ones."""


@dataclass(frozen=True)
class DatasetInfo:
    """What can be known without the data; `train`, `validation` and `test` count images."""

    name: str
    shape: InputShape
    classes: int
    train: int
    validation: int
    test: int

    @property
    def images(self) -> int:
        """Images of all three splits."""
        return self.train + self.validation + self.test

    def sizes_to_object(self) -> dict[str, Any]:
        """For JSON beside a design, so that `ponas fpga estimate` can do without the data."""
        shape = self.shape
        image = f"{shape.channels}x{shape.height}x{shape.width}"
        return {"image": image, "classes": self.classes}


@dataclass(frozen=True, eq=False)
class Split:
    """Images uint8 `[n][channels][height][width]` and labels uint8 `[n]`, both read-only."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in memory.

    `input_codes` int8 `[channels][256]` maps a pixel to its signed 3.5 code, normalisation
    included. `splits` has the three of SPLITS, or those of a published task that are open.
    `content_hash` is the `Source`'s.
    """

    info: DatasetInfo
    input_codes: npt.NDArray[np.int8]
    splits: Mapping[str, Split]
    content_hash: bytes

    @property
    def name(self) -> str:
        """The data set's name."""
        return self.info.name

    @property
    def shape(self) -> InputShape:
        """Shape of every image."""
        return self.info.shape

    @property
    def classes(self) -> int:
        """Number of labels, which count from 0."""
        return self.info.classes

    @property
    def train(self) -> Split:
        """The images to train on."""
        return self.splits["train"]

    @property
    def validation(self) -> Split:
        """The images that rewards come from."""
        return self.splits["validation"]

    @property
    def test(self) -> Split:
        """The images that nobody has trained on."""
        return self.splits["test"]

    def split(self, name: str) -> Split:
        """A split by its name.

        Raises DatasetError for another name than the three, or a split that is still sealed.
        """
        if name not in SPLITS:
            raise DatasetError(f"no split is called {name!r}; there are {', '.join(SPLITS)}")
        if name not in self.splits:
            raise DatasetError(f"{self.name} has no {name} images")
        return self.splits[name]


@dataclass(frozen=True)
class Source:
    """What the bytes of a data set are, and how its pixels are normalised per channel.

    A pixel p stands for (p / `full_scale` - mean) / deviation, of the training images.
    `content_hash` is in hexadecimal: of the stored bytes, or of the seeds that they follow from.
    """

    info: DatasetInfo
    content_hash: str
    full_scale: int
    means: tuple[Fraction, ...]
    deviations: tuple[Fraction, ...]


def decode(source: Source, values: npt.NDArray[np.uint8]) -> Dataset:
    """The data set in its bytes, without a copy. Raises DatasetError unless they are the pinned."""
    info, shape = source.info, source.info.shape
    content_hash = hashlib.blake2b(values.data, digest_size=32).digest()
    if content_hash.hex() != source.content_hash:
        raise DatasetError(f"the bytes of {info.name} hash to {content_hash.hex()}, not as pinned")
    images = values[: -info.images].reshape(-1, shape.channels, shape.height, shape.width)
    labels = values[-info.images :]
    validation, test = info.train, info.train + info.validation
    splits = {
        "train": Split(images[:validation], labels[:validation]),
        "validation": Split(images[validation:test], labels[validation:test]),
        "test": Split(images[test:], labels[test:]),
    }
    return Dataset(info, input_codes(source), splits, content_hash)


def input_codes(source: Source) -> npt.NDArray[np.int8]:
    """int8 `[channels][256]`, rounded half to even and saturated.

    In fractions, because every verifier on every machine must get the same codes.
    """
    bound = 1 << (INPUT_INT_BITS + INPUT_FRAC_BITS - 1)
    codes = np.empty((len(source.means), 256), np.int8)
    for channel, (mean, deviation) in enumerate(zip(source.means, source.deviations, strict=True)):
        for pixel in range(256):
            value = (Fraction(pixel, source.full_scale) - mean) / deviation
            code = round(value * (1 << INPUT_FRAC_BITS))
            codes[channel, pixel] = min(max(code, -bound), bound - 1)
    codes.setflags(write=False)
    return codes
