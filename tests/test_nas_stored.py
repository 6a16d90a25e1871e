"""Data from outside the package: arrays, image folders, the cache, and what is wrong with them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from nas.data import datasets, sources, stored
from nas.data.dataset import Dataset, DatasetError
from nas.designs.shapes import InputShape

Arrays = dict[str, npt.NDArray[Any]]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PONAS_CACHE", str(tmp_path / "cache"))
    datasets.load.cache_clear()
    datasets._source.cache_clear()


def load_again(name: str) -> Dataset:
    """As another process would."""
    datasets.load.cache_clear()
    datasets._source.cache_clear()
    return datasets.load(name)


def some_arrays() -> Arrays:
    """60 training and 9 test images of 3 classes, 2 x 3 pixels with 2 channels."""
    rng = np.random.default_rng(1)
    return {
        "train_images": rng.integers(0, 256, (60, 2, 2, 3), np.uint8),
        "train_labels": np.arange(60) % 3,
        "test_images": rng.integers(0, 256, (9, 2, 2, 3), np.uint8),
        "test_labels": np.arange(9) % 3,
    }


def write_arrays(folder: Path, changes: Arrays) -> str:
    file = folder / "data.npz"
    arrays: dict[str, Any] = some_arrays() | changes
    np.savez(file, **arrays)
    return f"arrays:{file}"


def write_images(root: Path, per_class: int = 10, mode: str = "RGB") -> str:
    rng = np.random.default_rng(2)
    for part, count in (("train", per_class), ("test", 2)):
        for label in ("cat", "dog"):
            folder = root / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                shape = (5, 4) if mode == "L" else (5, 4, 3)
                pixels = rng.integers(0, 256, shape, np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return f"folder:{root}"


def test_arrays_are_split_by_class_and_kept_whole(tmp_path: Path) -> None:
    arrays = some_arrays()
    data = datasets.load(write_arrays(tmp_path, {}))
    assert data.shape == InputShape(2, 2, 3)
    assert (data.classes, data.info.train, data.info.validation, data.info.test) == (3, 54, 6, 9)
    assert np.bincount(data.validation.labels).tolist() == [2, 2, 2]
    assert data.test.images.tolist() == arrays["test_images"].tolist()
    both = np.concatenate([data.train.images, data.validation.images])
    labels = np.concatenate([data.train.labels, data.validation.labels])
    found = sorted(zip(map(bytes, both), labels.tolist(), strict=True))
    given = zip(map(bytes, arrays["train_images"]), arrays["train_labels"].tolist(), strict=True)
    assert found == sorted(given)


def test_the_split_is_pinned(tmp_path: Path) -> None:
    data = datasets.load(write_arrays(tmp_path, {}))
    assert data.content_hash.hex()[:16] == "e3a611243adbae3b"


def test_input_codes_stand_for_normalised_training_pixels(tmp_path: Path) -> None:
    data = datasets.load(write_arrays(tmp_path, {}))
    for channel in range(2):
        codes = data.input_codes[channel][data.train.images[:, channel]] / 32
        assert codes.mean() == pytest.approx(0, abs=0.02)
        assert codes.std() == pytest.approx(1, abs=0.02)


def test_decoded_data_are_mapped_from_the_cache_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = write_arrays(tmp_path, {})
    first = datasets.load(name)
    monkeypatch.setattr(stored, "_prepare", pytest.fail)
    again = load_again(name)
    assert again.content_hash == first.content_hash
    assert not again.train.images.flags.writeable


def test_changed_files_are_decoded_again(tmp_path: Path) -> None:
    name = write_arrays(tmp_path, {})
    before = datasets.load(name).content_hash
    write_arrays(tmp_path, {"test_labels": np.arange(9) % 2})
    os.utime(tmp_path / "data.npz", ns=(1, 1))
    assert load_again(name).content_hash != before


def test_a_damaged_cache_is_noticed(tmp_path: Path) -> None:
    name = write_arrays(tmp_path, {})
    datasets.load(name)
    (file,) = (tmp_path / "cache" / "datasets").glob("*.bin")
    file.write_bytes(bytes(file.stat().st_size))
    with pytest.raises(DatasetError, match="not as pinned"):
        load_again(name)


def test_a_pinned_hash_must_match(tmp_path: Path) -> None:
    name = write_arrays(tmp_path, {})
    pinned = f"{name}@{datasets.load(name).content_hash.hex()}"
    assert datasets.load(pinned).info == datasets.load(name).info
    with pytest.raises(DatasetError, match=r"has the content hash .*, not 0000"):
        datasets.load(f"{name}@{'0' * 64}")
    with pytest.raises(DatasetError, match="digits has the content hash"):
        datasets.describe(f"digits@{'0' * 64}")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"train_labels": np.arange(60) % 3 - 1}, "training labels run from -1 to 1, outside"),
        ({"test_labels": np.arange(9)}, "test labels run from 0 to 8, outside 0 to 2"),
        ({"train_labels": np.arange(60) % 2 * 2}, "class 1 has no training image"),
        ({"train_labels": np.zeros(60, int)}, "2 to 256 classes, not 1"),
        ({"train_labels": np.arange(60) * 6}, "2 to 256 classes, not 355"),
        ({"train_labels": np.zeros(59, int)}, "60 images need as many integer labels"),
        ({"train_labels": np.zeros(60)}, "60 images need as many integer labels, not float64"),
        ({"test_images": np.zeros((9, 2, 3, 3), np.uint8)}, "3 x 3 pixels with 2 channels"),
        ({"test_images": np.zeros((9, 2, 2, 3))}, "images must be uint8 .*, not float64"),
        ({"test_images": np.zeros((0, 2, 2, 3), np.uint8), "test_labels": np.zeros(0, int)},
         "there are no test images"),
        ({"train_images": np.full((60, 2, 2, 3), 7, np.uint8)}, "pixels of channel 0 are equal"),
        ({"train_labels": np.minimum(np.arange(60), 2)}, "class 0 has 1 training images, but"),
    ],
)  # fmt: skip
def test_arrays_that_are_no_data_set_are_refused(
    tmp_path: Path, changes: Arrays, reason: str
) -> None:
    with pytest.raises(DatasetError, match=reason):
        datasets.load(write_arrays(tmp_path, changes))


def test_files_that_are_no_arrays_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "data.npz"
    with pytest.raises(DatasetError, match="can't be read: No such file"):
        datasets.describe(f"arrays:{file}")
    file.write_bytes(b"no archive")
    with pytest.raises(DatasetError, match=r"no .npz file of plain arrays"):
        datasets.describe(f"arrays:{file}")
    np.savez(file, train_images=np.array([{}]))
    with pytest.raises(DatasetError, match="holds no array 'test_images'"):
        datasets.describe(f"arrays:{file}")


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1)])
def test_image_folders(tmp_path: Path, mode: str, channels: int) -> None:
    data = datasets.load(write_images(tmp_path / "images", mode=mode))
    assert data.shape == InputShape(channels, 5, 4)
    assert (data.classes, data.info.train, data.info.validation, data.info.test) == (2, 18, 2, 4)
    with Image.open(tmp_path / "images" / "test" / "dog" / "1.png") as image:
        pixels = np.asarray(image).reshape(5, 4, channels)
    assert data.test.labels.tolist() == [0, 0, 1, 1]
    assert np.moveaxis(data.test.images[3], 0, 2).tolist() == pixels.tolist()


def test_image_folders_without_images_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "images"
    with pytest.raises(DatasetError, match=r"there is no folder .*images/train"):
        datasets.describe(f"folder:{root}")
    for part in ("train", "test"):
        (root / part / "cat").mkdir(parents=True)
        (root / part / "cat" / "notes.txt").touch()
    with pytest.raises(DatasetError, match=r"there is no image in the folders of .*train"):
        datasets.describe(f"folder:{root}")


def test_images_of_different_sizes_are_refused(tmp_path: Path) -> None:
    name = write_images(tmp_path / "images")
    Image.new("RGB", (6, 5)).save(tmp_path / "images" / "train" / "dog" / "3.png")
    with pytest.raises(DatasetError, match=r"dog/3.png is 6 x 5 pixels .*cat/0.png is 4 x 5"):
        datasets.describe(name)


def test_broken_images_are_named(tmp_path: Path) -> None:
    name = write_images(tmp_path / "images")
    (tmp_path / "images" / "train" / "cat" / "4.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"cat/4.png is no image that can be read"):
        datasets.describe(name)


def test_a_class_needs_training_and_test_images(tmp_path: Path) -> None:
    name = write_images(tmp_path / "images")
    (tmp_path / "images" / "test" / "dog").rename(tmp_path / "images" / "test" / "owl")
    with pytest.raises(DatasetError, match="class 'dog' is not both in train and in test"):
        datasets.describe(name)


def test_downloads_fail_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Offline:
        def __init__(self, *arguments: object, **options: object) -> None:
            raise OSError("name or service not known")

    class Catalogue:
        CIFAR10 = MNIST = Offline

    monkeypatch.setattr(sources, "_torchvision_datasets", lambda: Catalogue)
    with pytest.raises(DatasetError, match=r"mnist is not in .*downloads and can't be downloaded"):
        datasets.load("mnist")


def test_torchvision_images_get_their_channels_first(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fake:
        def __init__(self, folder: str, train: bool, download: bool) -> None:
            count = 990 if train else 20
            self.data = np.random.default_rng(3).integers(0, 256, (count, 4, 5, 3), np.uint8)
            self.targets = [number % 10 for number in range(count)]

    class Catalogue:
        CIFAR10 = MNIST = Fake

    monkeypatch.setattr(sources, "_torchvision_datasets", lambda: Catalogue)
    data = datasets.load("cifar10")
    assert data.shape == InputShape(3, 4, 5)
    assert (data.info.train, data.info.validation, data.info.test) == (900, 90, 20)
    expected = Fake("", False, True).data[7].transpose(2, 0, 1)
    assert data.test.images[7].tolist() == expected.tolist()


def test_torchvision_loads_here() -> None:
    assert sources._torchvision_datasets().CIFAR10.__name__ == "CIFAR10"
