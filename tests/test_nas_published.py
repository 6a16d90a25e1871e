"""Data of published tasks: lengths that follow from the task, kept once, refused if they differ."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from nas.data import datasets, published, stored
from nas.data.dataset import DatasetError, DatasetInfo, Source
from nas.data.sources import Labelled
from nas.designs.shapes import InputShape

INFO = DatasetInfo("task", InputShape(2, 3, 4), 3, train=6, validation=3, test=5)
SOURCE = Source(INFO, "", 255, (Fraction(1, 2),) * 2, (Fraction(1, 4),) * 2)
TASK = b"t" * 32
PAD = bytes(range(32))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PONAS_CACHE", str(tmp_path / "cache"))
    datasets.load.cache_clear()
    datasets._source.cache_clear()


def some(count: int, seed: int) -> Labelled:
    rng = np.random.default_rng(seed)
    return Labelled(rng.integers(0, 256, (count, 2, 3, 4), np.uint8), np.arange(count) % 3)


TRAIN, VALIDATION, TEST = some(6, 1), some(3, 2), some(5, 3)


def keep_both() -> str:
    published.keep_train(TASK, SOURCE, published.pack_train(TRAIN, VALIDATION))
    return published.keep_shard(TASK, published.pack_shard(TEST, PAD))


def test_lengths_follow_from_the_task() -> None:
    assert len(published.pack_train(TRAIN, VALIDATION)) == published.train_bytes(INFO)
    assert len(published.pack_shard(TEST, PAD)) == published.shard_bytes(INFO)


def test_training_data_come_back_without_test_images() -> None:
    keep_both()
    data = datasets.load(published.data_name(TASK))
    assert np.array_equal(data.train.images, TRAIN.images)
    assert np.array_equal(data.validation.images, VALIDATION.images)
    assert data.validation.labels.tolist() == [0, 1, 2]
    with pytest.raises(DatasetError):
        data.split("test")


def test_an_opened_shard_comes_back_alone_and_coded_as_training_images_are() -> None:
    name = keep_both()
    shard, train = datasets.load(name), datasets.load(published.data_name(TASK))
    assert np.array_equal(shard.test.images, TEST.images)
    assert shard.test.labels.tolist() == [0, 1, 2, 0, 1]
    assert list(shard.splits) == ["test"]
    assert np.array_equal(shard.input_codes, train.input_codes)


def test_sizes_are_known_before_a_shard_is_opened() -> None:
    published.keep_train(TASK, SOURCE, published.pack_train(TRAIN, VALIDATION))
    assert replace(datasets.describe(published.data_name(TASK)), name="task") == INFO


@pytest.mark.parametrize("change", [-1, 1])
def test_data_of_another_length_are_refused(change: int) -> None:
    data = published.pack_train(TRAIN, VALIDATION)
    wrong = data[:change] if change < 0 else data + b"\0"
    with pytest.raises(DatasetError, match=r"bytes of data instead of 225"):
        published.keep_train(TASK, SOURCE, wrong)


def test_a_label_that_is_no_class_is_refused() -> None:
    keep_both()
    wrong = Labelled(TEST.images, np.full(5, 3))
    with pytest.raises(DatasetError, match="there is a label 3, but the classes end at 2"):
        published.keep_shard(TASK, published.pack_shard(wrong, PAD))


def test_a_pad_is_no_label() -> None:
    keep_both()
    published.keep_shard(TASK, published.pack_shard(TEST, b"\xff" * 32))


def test_a_shard_of_an_unknown_task_is_refused() -> None:
    with pytest.raises(DatasetError, match="are not here"):
        published.keep_shard(TASK, published.pack_shard(TEST, PAD))


def test_bytes_that_were_changed_on_disk_are_refused() -> None:
    name = keep_both()
    file = next(path for path in stored.folder().glob("*.bin") if name[-64:] in path.name)
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(DatasetError, match="are not the ones that were kept"):
        datasets.load(name)


def test_what_is_forgotten_is_gone() -> None:
    name = keep_both()
    published.forget(TASK, (bytes.fromhex(name[-64:]),))
    assert list(stored.folder().iterdir()) == []
    published.forget(TASK, ())
