"""Readers of data from outside the package; each says clearly what is wrong with it.

Pillow and torchvision are optional (`pip install ponas[data]`) and imported here only.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nas.data.dataset import DatasetError

MAX_CLASSES = 256
IMAGE_SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".webp"))
_ARRAY_NAMES = ("train_images", "train_labels", "test_images", "test_labels")


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images uint8 `[n][channels][height][width]`, labels `[n]` of any integer type."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Parts:
    """The two parts that data sets come in. Labels count from 0 to below `classes`.

    Raises DatasetError for parts that do not belong together or cannot be learnt from.
    """

    train: Labelled
    test: Labelled
    classes: int

    def __post_init__(self) -> None:
        if not 2 <= self.classes <= MAX_CLASSES:
            raise DatasetError(f"a data set has 2 to {MAX_CLASSES} classes, not {self.classes}")
        if self.train.images.shape[1:] != self.test.images.shape[1:]:
            raise DatasetError(
                f"training images are {_size(self.train.images)}, "
                f"test images {_size(self.test.images)}"
            )
        for part, name in ((self.train, "training"), (self.test, "test")):
            if not len(part.labels):
                raise DatasetError(f"there are no {name} images")
            low, high = int(part.labels.min()), int(part.labels.max())
            if low < 0 or high >= self.classes:
                raise DatasetError(
                    f"{name} labels run from {low} to {high}, outside 0 to {self.classes - 1}"
                )
        missing = set(range(self.classes)) - set(np.unique(self.train.labels).tolist())
        if missing:
            raise DatasetError(f"class {min(missing)} has no training image")


def image_files(root: Path) -> list[Path]:
    """All images of a folder `ROOT/train/CLASS/*`, `ROOT/test/CLASS/*`, ordered by path.

    Raises DatasetError for a folder without them.
    """
    files = []
    for part in ("train", "test"):
        if not (root / part).is_dir():
            raise DatasetError(f"there is no folder {root / part}; images go to train/CLASS/*")
        found = [
            file for file in (root / part).glob("*/*") if file.suffix.lower() in IMAGE_SUFFIXES
        ]
        if not found:
            raise DatasetError(f"there is no image in the folders of {root / part}")
        files += sorted(found)
    return files


def stamp_of(files: Iterable[Path]) -> str:
    """A hash over paths, sizes and times of change. Raises DatasetError for a missing file."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        for file in files:
            status = file.stat()
            digest.update(f"{file}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    except OSError as error:
        raise DatasetError(f"{error.filename} can't be read: {error.strerror}") from error
    return digest.hexdigest()


def read_folder(root: Path) -> Parts:
    """Decode an image folder; its classes are the folders' names in order.

    Raises DatasetError for a class of one part only, an unreadable image, or another size.
    """
    files = image_files(root)
    names = sorted({file.parent.name for file in files if file.parent.parent.name == "train"})
    parts = []
    for part in ("train", "test"):
        own = [file for file in files if file.parent.parent.name == part]
        unknown = {file.parent.name for file in own} ^ set(names)
        if unknown:
            raise DatasetError(f"class {min(unknown)!r} is not both in train and in test of {root}")
        labels = np.array([names.index(file.parent.name) for file in own])
        parts.append(Labelled(_decode_images(own), labels))
    return Parts(parts[0], parts[1], len(names))


def read_arrays(file: Path) -> Parts:
    """An .npz file with `train_images`, `train_labels`, `test_images`, `test_labels`.

    Images are uint8 `[n][channels][height][width]`, or `[n][height][width]` for one channel;
    labels are integers from 0. Raises DatasetError for anything else.
    """
    try:
        with np.load(file, allow_pickle=False) as archive:
            missing = set(_ARRAY_NAMES) - set(archive.files)
            if missing:
                raise DatasetError(f"{file} holds no array {min(missing)!r}")
            arrays = {name: archive[name] for name in _ARRAY_NAMES}
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{file} is no .npz file of plain arrays: {error}") from error
    parts = [
        _labelled(f"{part} arrays of {file}", arrays[f"{part}_images"], arrays[f"{part}_labels"])
        for part in ("train", "test")
    ]
    return Parts(parts[0], parts[1], int(parts[0].labels.max(initial=-1)) + 1)


def read_torchvision(name: str, folder: Path) -> Parts:
    """`cifar10` or `mnist`, downloaded to `folder` unless it is there.

    Raises DatasetError without torchvision, or offline without the files.
    """
    datasets = _torchvision_datasets()
    kind = {"cifar10": datasets.CIFAR10, "mnist": datasets.MNIST}[name]
    parts = []
    for train in (True, False):
        try:
            found = kind(str(folder), train=train, download=True)
        except (OSError, RuntimeError) as error:
            raise DatasetError(
                f"{name} is not in {folder} and can't be downloaded ({error}); "
                "go online once, or put the original files there"
            ) from error
        images, labels = np.asarray(found.data), np.asarray(found.targets)
        # CIFAR-10 comes as [n][height][width][channels], MNIST as [n][height][width].
        images = np.moveaxis(images, 3, 1) if images.ndim == 4 else images
        parts.append(_labelled(name, images, labels))
    return Parts(parts[0], parts[1], 10)


def _torchvision_datasets() -> Any:
    """torchvision.datasets, which only reads files here.

    A torchvision built for another PyTorch than the one at hand lacks its compiled operators and
    fails on import, because it registers properties of two of them. Their schemas are defined
    first then; nothing calls them. Where the operators load, this does nothing.
    """
    try:
        import torch
        import torchvision
    except ImportError as error:
        raise DatasetError("torchvision is missing: pip install 'ponas[data]'") from error
    except RuntimeError:
        for name in ("nms", "qnms"):
            torch.library.define(
                f"torchvision::{name}", "(Tensor boxes, Tensor scores, float threshold) -> Tensor"
            )
        import torchvision
    import torchvision.datasets

    return torchvision.datasets


def _labelled(name: str, images: npt.NDArray[Any], labels: npt.NDArray[Any]) -> Labelled:
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or 0 in images.shape[1:]:
        raise DatasetError(
            f"{name}: images must be uint8 [n][channels][height][width] or [n][height][width], "
            f"not {images.dtype} {list(images.shape)}"
        )
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise DatasetError(
            f"{name}: {len(images)} images need as many integer labels, "
            f"not {labels.dtype} {list(labels.shape)}"
        )
    return Labelled(images if images.ndim == 4 else images[:, None], labels)


def _decode_images(files: list[Path]) -> npt.NDArray[np.uint8]:
    """uint8 `[n][channels][height][width]`; grey if the first image is, else RGB."""
    try:
        from PIL import Image
    except ImportError as error:
        raise DatasetError("Pillow is missing: pip install 'ponas[data]'") from error
    images: npt.NDArray[np.uint8] | None = None
    mode = ""
    for at, file in enumerate(files):
        try:
            with Image.open(file) as image:
                mode = mode or ("L" if image.mode in ("1", "L") else "RGB")
                pixels = np.asarray(image.convert(mode), np.uint8)
        except OSError as error:
            raise DatasetError(f"{file} is no image that can be read: {error}") from error
        planes = pixels[None] if mode == "L" else np.moveaxis(pixels, 2, 0)
        if images is None:
            images = np.empty((len(files), *planes.shape), np.uint8)
        if planes.shape != images.shape[1:]:
            raise DatasetError(
                f"{file} is {_size(planes[None])}, but {files[0]} is {_size(images)}"
            )
        images[at] = planes
    if images is None:
        raise DatasetError("there is no image to decode")
    return images


def _size(images: npt.NDArray[np.uint8]) -> str:
    channels, height, width = images.shape[1:]
    return f"{width} x {height} pixels with {channels} channels"
