"""Data of published tasks: names that say everything, bytes that are refused if they differ."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from nas.data import datasets, published, stored
from nas.data.dataset import DatasetError, DatasetInfo
from nas.data.published import PublishedData
from nas.data.sources import Labelled
from nas.designs.shapes import InputShape

PAD = bytes(range(32))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PONAS_CACHE", str(tmp_path / "cache"))
    datasets.load.cache_clear()


def some(count: int, seed: int) -> Labelled:
    rng = np.random.default_rng(seed)
    return Labelled(rng.integers(0, 256, (count, 2, 3, 4), np.uint8), np.arange(count) % 3)


TRAIN, VALIDATION, TEST = some(6, 1), some(3, 2), some(5, 3)


def hash_of(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=32).digest()


TRAINING_BYTES = published.pack_training(TRAIN, VALIDATION)
SHARD_BYTES = published.pack_shard(TEST, PAD)
TRAINING = PublishedData(
    hash_of(TRAINING_BYTES), InputShape(2, 3, 4), 3, 6, 3, 5, ((5_000, 2_500), (0, 10_000))
)
SHARD = replace(TRAINING, shard=hash_of(SHARD_BYTES))


def test_lengths_follow_from_what_is_declared() -> None:
    assert len(TRAINING_BYTES) == TRAINING.num_bytes == 9 * 25
    assert len(SHARD_BYTES) == SHARD.num_bytes == 5 * 25 + 32


@pytest.mark.parametrize("data", [TRAINING, SHARD])
def test_a_name_says_everything_before_the_data_are_here(data: PublishedData) -> None:
    assert PublishedData.parse(data.name) == data
    expected = DatasetInfo(data.name, InputShape(2, 3, 4), 3, 6, 3, 5)
    assert datasets.describe(data.name) == expected
    assert data.source.means == (Fraction(1, 2), Fraction(0))
    assert data.source.deviations == (Fraction(1, 4), Fraction(1))


@pytest.mark.parametrize(
    "name",
    [
        "published:",
        TRAINING.name[:-1] + "x",
        TRAINING.name.replace(":3:", ":03:"),
        TRAINING.name.replace(",0/10000", ""),
        TRAINING.name.replace("/10000", "/0"),
        TRAINING.name + ":",
        TRAINING.name + "\n",
    ],
)
def test_a_text_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(DatasetError):
        datasets.describe(name)


def test_training_data_come_back_without_test_images() -> None:
    published.keep(TRAINING, TRAINING_BYTES)
    data = datasets.load(TRAINING.name)
    assert np.array_equal(data.train.images, TRAIN.images)
    assert np.array_equal(data.validation.images, VALIDATION.images)
    assert data.validation.labels.tolist() == [0, 1, 2]
    with pytest.raises(DatasetError, match="has no test images"):
        data.split("test")


def test_an_opened_shard_comes_back_alone_and_coded_as_training_images_are() -> None:
    published.keep(TRAINING, TRAINING_BYTES)
    published.keep(SHARD, SHARD_BYTES)
    shard, training = datasets.load(SHARD.name), datasets.load(TRAINING.name)
    assert np.array_equal(shard.test.images, TEST.images)
    assert shard.test.labels.tolist() == [0, 1, 2, 0, 1]
    assert list(shard.splits) == ["test"]
    assert np.array_equal(shard.input_codes, training.input_codes)


@pytest.mark.parametrize("wrong", [TRAINING_BYTES[:-1], TRAINING_BYTES + b"\0"])
def test_data_of_another_length_are_refused(wrong: bytes) -> None:
    data = replace(TRAINING, training=hash_of(wrong))
    with pytest.raises(DatasetError, match="bytes of data instead of 225"):
        published.keep(data, wrong)


def test_other_data_than_named_are_refused() -> None:
    with pytest.raises(DatasetError, match="not the ones that the task names"):
        published.keep(TRAINING, bytes(225))


def test_a_label_that_is_no_class_is_refused() -> None:
    wrong = published.pack_shard(Labelled(TEST.images, np.full(5, 3)), PAD)
    with pytest.raises(DatasetError, match="there is a label 3, but the classes end at 2"):
        published.keep(replace(SHARD, shard=hash_of(wrong)), wrong)


def test_a_pad_is_no_label() -> None:
    padded = published.pack_shard(TEST, b"\xff" * 32)
    published.check(replace(SHARD, shard=hash_of(padded)), padded)


def test_bytes_that_were_changed_on_disk_are_refused() -> None:
    published.keep(SHARD, SHARD_BYTES)
    file = next(stored.folder().glob("*.bin"))
    file.write_bytes(SHARD_BYTES[:-1] + b"x")
    with pytest.raises(DatasetError, match="are not the ones that were kept"):
        datasets.load(SHARD.name)


def test_what_is_forgotten_is_gone() -> None:
    published.keep(SHARD, SHARD_BYTES)
    assert published.is_kept(SHARD)
    published.forget(SHARD)
    assert not published.is_kept(SHARD)
    with pytest.raises(DatasetError, match="is not here"):
        datasets.load(SHARD.name)
    published.forget(SHARD)
