"""Images of ten random stroke figures, all of them a function of a seed: the standing task's data.

`procedural`, `procedural:INSTANCE` or `procedural:INSTANCE/TEST`, each 64 hexadecimal digits.
INSTANCE gives the figures and the training and validation images; TEST gives the test images of the
same figures, so that they can be drawn after all models are fixed. What is left out is 32 zero
bytes: public, for experiments.

Every pixel is a function of integers, the same on every machine: bytes of SHAKE-256, int64
arithmetic, `//` rounding down. Lengths are in units of 1/16 pixel. Why such data: a stored model of
another instance is worth nothing (consensus E). `docs/protocol.md` has the recipe in full.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from nas.data.dataset import (
    SPLITS,
    Dataset,
    DatasetError,
    DatasetInfo,
    Source,
    Split,
    input_codes,
)
from nas.designs.shapes import InputShape

KIND = "procedural"
CLASSES = 10
SIDE = 16
SIZES = {"train": 2_500, "validation": 500, "test": 1_000}
"""Images of each split; the labels go round, so that a constant guess scores exactly a tenth."""

_UNIT = 16
_POINTS = 5
_WOBBLE, _SHIFT = 20, 20
_THINNEST, _THICKNESS = 14, 14
_NOISE = 64
_HOLE = 4
_PIXELS = SIDE * SIDE
# Bytes of an image: two a point, two for the shift, one each for thickness and brightness, two for
# the hole, one a pixel.
_WARP = 2 * _POINTS
_IMAGE_BYTES = _WARP + 6 + _PIXELS
# Images drawn at a time, to bound the memory.
_CHUNK = 250
_NAME = re.compile(KIND + r"(?::([0-9a-f]{64})(?:/([0-9a-f]{64}))?)?")

Ints = npt.NDArray[np.int64]


def is_name(name: str) -> bool:
    """Whether a data set is named like one of these."""
    return name.partition(":")[0] == KIND


def is_instance(name: str) -> bool:
    """Whether a name is that of an instance before its test images are drawn."""
    match = _NAME.fullmatch(name)
    return match is not None and match[1] is not None and match[2] is None


def name_of(instance: bytes, test_seed: bytes | None = None) -> str:
    """The name of the data of an instance, with the test images of a seed; 32 bytes each."""
    return f"{KIND}:{instance.hex()}" + ("" if test_seed is None else f"/{test_seed.hex()}")


def find(name: str) -> Source:
    """What can be said of a data set before it is drawn. Raises DatasetError for a bad name.

    Its content hash is one over the seeds, from which all else follows.
    """
    digest = hashlib.blake2b(b"".join(_seeds(name)), digest_size=32, person=b"ponas procedural")
    return Source(
        DatasetInfo(name, InputShape(1, SIDE, SIDE), CLASSES, *(SIZES[split] for split in SPLITS)),
        digest.hexdigest(),
        full_scale=255,
        means=(Fraction("0.15"),),
        deviations=(Fraction("0.22"),),
    )


def make(source: Source) -> Dataset:
    """The data set that `find` described; a split is drawn when it is first asked for."""
    return Dataset(
        source.info,
        input_codes(source),
        _Splits(*_seeds(source.info.name)),
        bytes.fromhex(source.content_hash),
    )


class _Splits(Mapping[str, Split]):
    """Draws splits on demand: who counts on the test images has no use for the others."""

    def __init__(self, instance: bytes, test_seed: bytes) -> None:
        self._instance = instance
        self._seeds = {"train": b"train", "validation": b"validation", "test": test_seed}
        self._drawn: dict[str, Split] = {}

    def __getitem__(self, name: str) -> Split:
        if name not in self._drawn:
            self._drawn[name] = self._draw(name)
        return self._drawn[name]

    def __iter__(self) -> Iterator[str]:
        return iter(SPLITS)

    def __len__(self) -> int:
        return len(SPLITS)

    def _draw(self, name: str) -> Split:
        count = SIZES[name]
        labels = np.arange(count) % CLASSES
        stream = _stream(b"images", self._instance + self._seeds[name], count * _IMAGE_BYTES)
        figures = _figures(self._instance)[labels]
        draws = stream.reshape(count, _IMAGE_BYTES)
        images = np.concatenate(
            [
                _images(figures[at : at + _CHUNK], draws[at : at + _CHUNK])
                for at in range(0, count, _CHUNK)
            ]
        )
        codes = labels.astype(np.uint8)
        for array in (images, codes):
            array.setflags(write=False)
        return Split(images, codes)


def _seeds(name: str) -> tuple[bytes, bytes]:
    """Instance and test seed."""
    if (match := _NAME.fullmatch(name)) is None:
        raise DatasetError(f"{name!r:.160} is not {KIND}[:INSTANCE[/TEST]] in hexadecimal digits")
    instance, test_seed = match.groups(default="00" * 32)
    return bytes.fromhex(instance), bytes.fromhex(test_seed)


def _stream(tag: bytes, seed: bytes, length: int) -> Ints:
    """The first bytes of a SHAKE-256 stream."""
    data = hashlib.shake_256(b"ponas/procedural/" + tag + b"/" + seed).digest(length)
    return np.frombuffer(data, np.uint8).astype(np.int64)


def _figures(instance: bytes) -> Ints:
    """Points [class][point][2] of the broken line that is each class's figure."""
    span = (SIDE - 4) * _UNIT
    points = _stream(b"figures", instance, CLASSES * _POINTS * 2) * span // 256 + 2 * _UNIT
    return points.reshape(CLASSES, _POINTS, 2)


def _images(figures: Ints, draws: Ints) -> npt.NDArray[np.uint8]:
    """uint8 [n][1][side][side] of figures [n][point][2] by their bytes [n][_IMAGE_BYTES]."""
    warp, shift = draws[:, :_WARP].reshape(-1, _POINTS, 2), draws[:, None, _WARP : _WARP + 2]
    points = figures + (warp - 128) * _WOBBLE // 128 + (shift - 128) * _SHIFT // 128
    thickness, brightness, *hole = draws[:, _WARP + 2 : _WARP + 6].T
    radius = _THINNEST + thickness * _THICKNESS // 256
    ink = np.clip(255 - _squared_distances(points) * 255 // radius[:, None] ** 2, 0, 255)
    ink = np.where(_hole(*hole), 0, ink * (128 + brightness // 2)[:, None] // 256)
    noise = (draws[:, _WARP + 6 :] - 128) * _NOISE // 128
    pixels = np.clip(ink + noise, 0, 255).astype(np.uint8)
    return pixels.reshape(-1, 1, SIDE, SIDE)


def _squared_distances(points: Ints) -> Ints:
    """From each pixel's centre [n][pixel] to the nearest of the lines between points in a row."""
    rows, columns = np.divmod(np.arange(_PIXELS), SIDE)
    centres = np.stack([columns, rows], axis=1) * _UNIT + _UNIT // 2
    nearest = np.full((len(points), _PIXELS), np.iinfo(np.int64).max)
    for first, last in zip(range(_POINTS - 1), range(1, _POINTS), strict=True):
        start = points[:, None, first]
        along = points[:, None, last] - start
        length = np.maximum(1, (along**2).sum(axis=2))
        away = centres[None] - start
        done = np.clip((away * along).sum(axis=2), 0, length)
        gap = away - along * done[:, :, None] // length[:, :, None]
        nearest = np.minimum(nearest, (gap**2).sum(axis=2))
    return nearest


def _hole(left: Ints, top: Ints) -> npt.NDArray[np.bool_]:
    """The pixels [n][pixel] of a square that hides what lies under it."""
    rows, columns = np.divmod(np.arange(_PIXELS), SIDE)
    room = SIDE - _HOLE + 1
    down = rows[None] - (top * room // 256)[:, None]
    right = columns[None] - (left * room // 256)[:, None]
    return (down >= 0) & (down < _HOLE) & (right >= 0) & (right < _HOLE)
