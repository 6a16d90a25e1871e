"""Data sets: pinned bytes, a fixed split, and the table that turns pixels into input codes.

`digits` is the UCI "Optical Recognition of Handwritten Digits" test set (1,797 grey images of
8 x 8 pixels, values 0 to 16), as scikit-learn ships it. Its split is stratified: 36 images of each
class in the test split, 36 in validation, the rest in training; tools/make_digits.py writes it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from importlib import resources

import numpy as np
import numpy.typing as npt

from nas.shapes import INPUT_FRAC_BITS, INPUT_INT_BITS, InputShape


class DatasetError(ValueError):
    """A data set or split that does not exist, or bytes that are not the pinned ones."""


@dataclass(frozen=True)
class DatasetInfo:
    """What can be known without the data; `train`, `validation` and `test` count images."""

    name: str
    shape: InputShape
    classes: int
    train: int
    validation: int
    test: int


@dataclass(frozen=True, eq=False)
class Split:
    """Images uint8 `[n][channels][height][width]` and labels uint8 `[n]`, both read-only."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in memory.

    `input_codes` int8 `[channels][256]` maps a pixel to its signed 3.5 code, normalisation
    included. `content_hash` is BLAKE2b-256 over the stored bytes.
    """

    info: DatasetInfo
    input_codes: npt.NDArray[np.int8]
    train: Split
    validation: Split
    test: Split
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

    def split(self, name: str) -> Split:
        """A split by its name. Raises DatasetError for another name than the three."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        if name not in splits:
            raise DatasetError(f"no split is called {name!r}; there are {', '.join(splits)}")
        return splits[name]


@dataclass(frozen=True)
class _Source:
    """Where a packaged data set comes from, and how its pixels are normalised per channel.

    A pixel p stands for (p / `full_scale` - mean) / deviation, of the training images.
    """

    info: DatasetInfo
    file: str
    content_hash: str
    full_scale: int
    means: tuple[Fraction, ...]
    deviations: tuple[Fraction, ...]


_SOURCES = {
    "digits": _Source(
        info=DatasetInfo("digits", InputShape(1, 8, 8), 10, 1077, 360, 360),
        file="digits.bin",
        content_hash="e551598ea3ba759d75a719365ffe5a628b78caaafd2d73ab115f37993a8ddd4e",
        full_scale=16,
        means=(Fraction("0.3045"),),
        deviations=(Fraction("0.3753"),),
    )
}


def describe(name: str) -> DatasetInfo:
    """Shape, classes and sizes, without reading data. Raises DatasetError for an unknown name."""
    return _source(name).info


@lru_cache(maxsize=4)
def load(name: str) -> Dataset:
    """The data set, read once per process.

    Raises DatasetError for an unknown name, or when the packaged bytes are not the pinned ones.
    """
    source = _source(name)
    data = (resources.files("nas") / "data" / source.file).read_bytes()
    return _decode(source, data)


def _source(name: str) -> _Source:
    if name not in _SOURCES:
        raise DatasetError(f"no data set is called {name!r}; there are {', '.join(_SOURCES)}")
    return _SOURCES[name]


def _decode(source: _Source, data: bytes) -> Dataset:
    info, shape = source.info, source.info.shape
    content_hash = hashlib.blake2b(data, digest_size=32).digest()
    if content_hash.hex() != source.content_hash:
        raise DatasetError(f"the bytes of {info.name} hash to {content_hash.hex()}, not as pinned")
    count = info.train + info.validation + info.test
    values = np.frombuffer(data, np.uint8)
    images = values[:-count].reshape(count, shape.channels, shape.height, shape.width)
    labels = values[-count:]
    validation, test = info.train, info.train + info.validation
    return Dataset(
        info=info,
        input_codes=_input_codes(source),
        train=Split(images[:validation], labels[:validation]),
        validation=Split(images[validation:test], labels[validation:test]),
        test=Split(images[test:], labels[test:]),
        content_hash=content_hash,
    )


def _input_codes(source: _Source) -> npt.NDArray[np.int8]:
    """int8 `[channels][256]`, rounded half to even and saturated.

    Fractions, because every verifier on every machine must get the same codes.
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
