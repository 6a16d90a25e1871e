"""Data of published tasks: names that say all there is to know, and bytes that follow from them.

Training data are the images of training and validation, then their labels; a sealed test shard is
its images, its labels and a pad of 32 random bytes, so that few labels can't be guessed from a hash
(consensus C10, C11). Images are uint8 `[n][channels][height][width]`, decoded by the publisher and
nobody else; labels are one byte each. There is no header, so that images have only one encoding.

A name is `published:HASH:CHANNELSxHEIGHTxWIDTH:CLASSES:TRAIN+VALIDATION+TEST:MEAN/DEVIATION,...`,
with HASH that of the training data and means and deviations in ten-thousandths, per channel. Where
`:HASH` of a shard follows, it names that shard's test images, else the images to train on.

Everything here is hostile until checked: it comes from strangers.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from nas.data.cache import write_whole
from nas.data.dataset import Dataset, DatasetError, DatasetInfo, Source, Split, input_codes
from nas.data.sources import Labelled
from nas.data.stored import folder
from nas.designs.shapes import InputShape

KIND = "published"
PAD_BYTES = 32
SCALE = 10_000

_NUMBER = "[1-9][0-9]{0,9}"
_HASH = "[0-9a-f]{64}"
_SCALES = rf"[0-9]{{1,5}}/{_NUMBER}"
_NAME = re.compile(
    rf"{KIND}:({_HASH}):({_NUMBER})x({_NUMBER})x({_NUMBER}):({_NUMBER})"
    rf":({_NUMBER})\+({_NUMBER})\+({_NUMBER}):({_SCALES}(?:,{_SCALES}){{0,15}})(?::({_HASH}))?"
)


@dataclass(frozen=True)
class PublishedData:
    """What a task declares of its data. Hashes are BLAKE2b-256 of the bytes.

    `scales` are mean and deviation of each channel, in ten-thousandths of the full scale.
    `shard` is the hash of an opened test shard, empty for the training data.
    """

    training: bytes
    shape: InputShape
    classes: int
    train: int
    validation: int
    test: int
    scales: tuple[tuple[int, int], ...]
    shard: bytes = b""

    @classmethod
    def parse(cls, name: str) -> Self:
        """Inverse of `name`. Raises DatasetError for another text."""
        if (match := _NAME.fullmatch(name)) is None:
            raise DatasetError(f"{name!r:.160} names no published data")
        pairs = (pair.split("/") for pair in match[9].split(","))
        scales = tuple((int(mean), int(deviation)) for mean, deviation in pairs)
        shape = InputShape(int(match[2]), int(match[3]), int(match[4]))
        if len(scales) != shape.channels:
            raise DatasetError(f"{shape.channels} channels have {len(scales)} scales")
        return cls(
            bytes.fromhex(match[1]),
            shape,
            int(match[5]),
            int(match[6]),
            int(match[7]),
            int(match[8]),
            scales,
            bytes.fromhex(match[10] or ""),
        )

    @property
    def name(self) -> str:
        """The name of the data set."""
        shape = f"{self.shape.channels}x{self.shape.height}x{self.shape.width}"
        sizes = f"{self.train}+{self.validation}+{self.test}"
        scales = ",".join(f"{mean}/{deviation}" for mean, deviation in self.scales)
        name = f"{KIND}:{self.training.hex()}:{shape}:{self.classes}:{sizes}:{scales}"
        return f"{name}:{self.shard.hex()}" if self.shard else name

    @property
    def num_images(self) -> int:
        """Images in the bytes: those to train on, or those of the shard."""
        return self.test if self.shard else self.train + self.validation

    @property
    def num_bytes(self) -> int:
        """Length of the bytes."""
        pixels = self.shape.channels * self.shape.height * self.shape.width
        return self.num_images * (pixels + 1) + (PAD_BYTES if self.shard else 0)

    @property
    def source(self) -> Source:
        """The data set as the engine describes it."""
        content_hash = (self.shard or self.training).hex()
        sizes = (self.train, self.validation, self.test)
        info = DatasetInfo(self.name, self.shape, self.classes, *sizes)
        means, deviations = zip(*self.scales, strict=True)
        return Source(info, content_hash, 255, _fractions(means), _fractions(deviations))


def is_name(name: str) -> bool:
    """Whether a data set is named like published data."""
    return name.partition(":")[0] == KIND


def find(name: str) -> Source:
    """What a name says; the data need not be here. Raises DatasetError for a bad name."""
    return PublishedData.parse(name).source


def pack_training(train: Labelled, validation: Labelled) -> bytes:
    """The one encoding of training and validation images of one shape."""
    parts = (train, validation)
    return b"".join(
        [part.images.tobytes() for part in parts]
        + [part.labels.astype(np.uint8).tobytes() for part in parts]
    )


def pack_shard(test: Labelled, pad: bytes) -> bytes:
    """The one encoding of a test shard. Raises ValueError for a pad of another length."""
    if len(pad) != PAD_BYTES:
        raise ValueError(f"a pad has {PAD_BYTES} bytes, not {len(pad)}")
    return test.images.tobytes() + test.labels.astype(np.uint8).tobytes() + pad


def check(data: PublishedData, content: bytes) -> None:
    """Raise DatasetError unless these are the bytes of the data, with labels that are classes."""
    if len(content) != data.num_bytes:
        raise DatasetError(f"{len(content)} bytes of data instead of {data.num_bytes}")
    if _hash(content).hex() != data.source.content_hash:
        raise DatasetError("the bytes are not the ones that the task names")
    highest = int(_views(data, np.frombuffer(content, np.uint8))[1].max())
    if highest >= data.classes:
        raise DatasetError(f"there is a label {highest}, but the classes end at {data.classes - 1}")


def keep(data: PublishedData, content: bytes) -> None:
    """Keep bytes for the workers of this machine. Raises DatasetError as `check`, and OSError."""
    check(data, content)
    write_whole(_file(data), [content])


def is_kept(data: PublishedData) -> bool:
    """Whether this machine keeps the bytes."""
    return _file(data).exists()


def forget(data: PublishedData) -> None:
    """Drop the bytes; nothing happens if they are not kept."""
    _file(data).unlink(missing_ok=True)


def load(name: str) -> Dataset:
    """The data, mapped read-only.

    Raises DatasetError when they are not kept here, or are not the named ones any more.
    """
    data = PublishedData.parse(name)
    try:
        values = np.memmap(_file(data), np.uint8, "r")
    except (OSError, ValueError) as error:
        raise DatasetError(f"{name} is not here: {error}") from error
    if _hash(values.data).hex() != data.source.content_hash:
        raise DatasetError(f"the bytes of {name} are not the ones that were kept")
    images, labels = _views(data, values)
    if data.shard:
        splits = {"test": Split(images, labels)}
    else:
        splits = {
            "train": Split(images[: data.train], labels[: data.train]),
            "validation": Split(images[data.train :], labels[data.train :]),
        }
    source = data.source
    return Dataset(source.info, input_codes(source), splits, bytes.fromhex(source.content_hash))


def _views(
    data: PublishedData, values: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Images and labels inside the bytes."""
    end = data.num_bytes - (PAD_BYTES if data.shard else 0)
    middle, shape = end - data.num_images, data.shape
    images = values[:middle].reshape(-1, shape.channels, shape.height, shape.width)
    return images, values[middle:end]


def _file(data: PublishedData) -> Path:
    return folder() / f"{data.source.content_hash}.bin"


def _fractions(values: tuple[int, ...]) -> tuple[Fraction, ...]:
    return tuple(Fraction(value, SCALE) for value in values)


def _hash(content: bytes | memoryview) -> bytes:
    return hashlib.blake2b(content, digest_size=32).digest()
