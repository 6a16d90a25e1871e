"""Data sets from outside the package: decoded once, then kept as pinned bytes in the cache.

`<key>.json` holds the `Source` of a data set (`nas.data.dataset`), `<content hash>.bin` its bytes.
The key follows from the name and, for files of the user's own, their paths, sizes and times, so
that changed data are decoded again. The bytes are mapped, not read: a machine's workers share them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nas.data import sources
from nas.data.cache import cache_folder, write_whole
from nas.data.dataset import DatasetError, DatasetInfo, Source
from nas.data.sources import Labelled, Parts
from nas.designs.shapes import InputShape

NAMES = ("cifar10", "mnist", "folder:PATH", "arrays:PATH")

VALIDATION_SHARE = 10
"""One in so many training images of each class goes to validation (45,000 / 5,000 of CIFAR-10)."""

FORMAT = 1
"""Part of every key: data decoded by other rules are decoded again."""


def is_name(name: str) -> bool:
    """Whether the name is one of NAMES, with any path."""
    kind, colon, path = name.partition(":")
    return kind in ("folder", "arrays") and path != "" if colon else name in ("cifar10", "mnist")


def find(name: str) -> Source:
    """What the cache knows of a data set, which is decoded first if it is new.

    Raises DatasetError for data that cannot be had or used.
    """
    stamp, read_parts = _origin(name)
    path = folder() / f"{_key(name, stamp)}.json"
    if path.exists():
        source = source_from_json(path.read_text(encoding="utf-8"))
        if bytes_file(source).exists():
            return source
    return _prepare(name, read_parts(), path)


def read(source: Source) -> npt.NDArray[np.uint8]:
    """The bytes of a data set that `find` returned, mapped read-only.

    Raises DatasetError when they are gone.
    """
    try:
        return np.memmap(bytes_file(source), np.uint8, "r")
    except (OSError, ValueError) as error:
        raise DatasetError(f"the cached {source.info.name} can't be read: {error}") from error


def _origin(name: str) -> tuple[str, Callable[[], Parts]]:
    """A stamp that changes when the files do, and what reads them."""
    kind, _, path = name.partition(":")
    if kind == "folder":
        root = Path(path)
        return sources.stamp_of(sources.image_files(root)), partial(sources.read_folder, root)
    if kind == "arrays":
        file = Path(path)
        return sources.stamp_of([file]), partial(sources.read_arrays, file)
    return "", partial(sources.read_torchvision, name, cache_folder() / "downloads")


def folder() -> Path:
    """Where descriptions and bytes are kept."""
    return cache_folder() / "datasets"


def bytes_file(source: Source) -> Path:
    """Where the bytes of a data set are kept; other programs of this machine look there too."""
    return folder() / f"{source.content_hash}.bin"


def _key(name: str, stamp: str) -> str:
    text = json.dumps([FORMAT, name, stamp])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _prepare(name: str, parts: Parts, path: Path) -> Source:
    """Split, measure and store; the description last, because it says that the bytes are there."""
    train, validation = stratified_split(parts.train)
    splits = (train, validation, parts.test)
    buffers = [np.ascontiguousarray(split.images).data.cast("B") for split in splits]
    buffers += [split.labels.astype(np.uint8).data for split in splits]
    digest = hashlib.blake2b(digest_size=32)
    for buffer in buffers:
        digest.update(buffer)
    sizes = (len(split.labels) for split in splits)
    info = DatasetInfo(name, InputShape(*train.images.shape[1:]), parts.classes, *sizes)
    source = Source(info, digest.hexdigest(), 255, *normalisation(train.images))
    write_whole(bytes_file(source), buffers)
    write_whole(path, [source_to_json(source).encode()])
    return source


def stratified_split(data: Labelled) -> tuple[Labelled, Labelled]:
    """Training and validation: stratified, and shuffled by a hash that no library can change.

    Raises DatasetError for a class with too few images to validate with.
    """

    def place(index: int) -> bytes:
        return hashlib.blake2b(b"ponas split" + index.to_bytes(8, "little"), digest_size=8).digest()

    chosen = np.zeros(len(data.labels), bool)
    for label in np.unique(data.labels):
        members = sorted(map(int, np.flatnonzero(data.labels == label)), key=place)
        if len(members) < VALIDATION_SHARE:
            raise DatasetError(
                f"class {label} has {len(members)} training images, but a validation split "
                f"needs {VALIDATION_SHARE} of each"
            )
        chosen[members[: len(members) // VALIDATION_SHARE]] = True
    return (
        Labelled(data.images[~chosen], data.labels[~chosen]),
        Labelled(data.images[chosen], data.labels[chosen]),
    )


def normalisation(
    images: npt.NDArray[np.uint8],
) -> tuple[tuple[Fraction, ...], tuple[Fraction, ...]]:
    """Mean and standard deviation per channel, of pixels from 0 to 1, to four decimals.

    From integer counts, so that everybody gets the same. Raises DatasetError for a channel in
    which all of `images` [n][channels][height][width] are one grey.
    """
    means, deviations = [], []
    pixels = np.arange(256)
    for channel in range(images.shape[1]):
        counts = np.bincount(images[:, channel].reshape(-1), minlength=256)
        total = int(counts.sum())
        first, second = int(counts @ pixels), int(counts @ pixels**2)
        if total * second == first * first:
            raise DatasetError(f"all training pixels of channel {channel} are equal")
        variance = Fraction(total * second - first * first, (total * 255) ** 2)
        means.append(Fraction(round(Fraction(first, total * 255) * 10_000), 10_000))
        # Never 0: one pixel value of difference in 2**40 still has to count.
        deviations.append(Fraction(max(1, math.isqrt(int(variance * 10**8))), 10_000))
    return tuple(means), tuple(deviations)


def source_to_json(source: Source) -> str:
    """The description of a data set as it is kept beside its bytes."""
    return json.dumps(asdict(source), default=str, indent=2)


def source_from_json(text: str) -> Source:
    """Inverse of `source_to_json`."""
    values = json.loads(text)
    info = values["info"] | {"shape": InputShape(**values["info"]["shape"])}
    return Source(
        DatasetInfo(**info),
        values["content_hash"],
        values["full_scale"],
        _fractions(values["means"]),
        _fractions(values["deviations"]),
    )


def _fractions(texts: Sequence[str]) -> tuple[Fraction, ...]:
    return tuple(map(Fraction, texts))
