"""The standing task's data: bit-exact, bounded, and worthless to who stores a model."""

from __future__ import annotations

import hashlib
import time
from itertools import pairwise

import numpy as np
import pytest

from nas.data import procedural
from nas.data.datasets import DatasetError, describe, load
from nas.designs.genotype import Genotype
from nas.designs.shapes import InputShape
from nas.designs.space import Space
from nas.evaluation.evaluate import count
from nas.jobs import Count, Train, Trained
from nas.task import Task
from nas.training.train import train
from node.chain.params import PROCEDURAL

INSTANCE, TEST_SEED = bytes(range(32)), bytes(range(32, 64))
NAME = procedural.name_of(INSTANCE, TEST_SEED)
GENOTYPE = Genotype.from_bytes(bytes((3, 3, 16, 1, 1, 2, 2, 3, 2, 4)) * 3)


def oracle_pixel(instance: bytes, part: bytes, index: int, row: int, column: int) -> int:
    """One pixel by the recipe of docs/protocol.md, in plain integers."""
    figures = hashlib.shake_256(b"ponas/procedural/figures/" + instance).digest(100)
    stream = hashlib.shake_256(b"ponas/procedural/images/" + instance + part)
    image = stream.digest((index + 1) * 272)[-272:]
    label = index % 10
    points = []
    for point in range(5):
        at = []
        for axis in range(2):
            corner = figures[(label * 5 + point) * 2 + axis] * 192 // 256 + 32
            moved = (image[2 * point + axis] - 128) * 20 // 128
            at.append(corner + moved + (image[10 + axis] - 128) * 20 // 128)
        points.append(at)
    nearest = None
    for (ax, ay), (bx, by) in pairwise(points):
        dx, dy, px, py = bx - ax, by - ay, column * 16 + 8 - ax, row * 16 + 8 - ay
        length = max(1, dx * dx + dy * dy)
        done = min(max(0, px * dx + py * dy), length)
        gap = (px - dx * done // length) ** 2 + (py - dy * done // length) ** 2
        nearest = gap if nearest is None else min(nearest, gap)
    assert nearest is not None
    radius = 14 + image[12] * 14 // 256
    ink = max(0, 255 - nearest * 255 // radius**2) * (128 + image[13] // 2) // 256
    left, top = image[14] * 13 // 256, image[15] * 13 // 256
    if left <= column < left + 4 and top <= row < top + 4:
        ink = 0
    noise = (image[16 + 16 * row + column] - 128) * 64 // 128
    return min(255, max(0, ink + noise))


def test_pixels_are_those_of_the_written_recipe() -> None:
    data = load(NAME)
    for part, split in ((b"train", data.train), (TEST_SEED, data.test)):
        for index in (0, 7, 251):
            ours = split.images[index, 0].tolist()
            assert ours == [
                [oracle_pixel(INSTANCE, part, index, row, column) for column in range(16)]
                for row in range(16)
            ]


def test_the_description_is_that_of_the_arrays() -> None:
    info, data = describe(NAME), load(NAME)
    assert (info.name, info.shape, info.classes) == (NAME, InputShape(1, 16, 16), 10)
    for name, size in (("train", info.train), ("validation", 500), ("test", 1_000)):
        split = data.split(name)
        assert split.images.shape == (size, 1, 16, 16)
        assert np.bincount(split.labels).tolist() == [size // 10] * 10
        assert not split.images.flags.writeable


def test_only_the_test_images_follow_from_the_test_seed() -> None:
    one, other = load(NAME), load(procedural.name_of(INSTANCE))
    assert np.array_equal(one.train.images, other.train.images)
    assert np.array_equal(one.validation.images, other.validation.images)
    assert not np.array_equal(one.test.images, other.test.images)
    assert one.content_hash != other.content_hash


def test_what_is_left_out_of_a_name_is_zeros() -> None:
    short, full = load("procedural"), load(procedural.name_of(bytes(32), bytes(32)))
    assert np.array_equal(short.test.images, full.test.images)
    assert short.content_hash == full.content_hash


@pytest.mark.parametrize(
    "name", ["procedural:", "procedural:12", NAME + "/", NAME.upper(), f"procedural:{'0' * 63}g"]
)
def test_a_name_that_is_no_seed_is_refused(name: str) -> None:
    with pytest.raises(DatasetError, match="procedural"):
        describe(name)


def test_four_thousand_images_take_about_a_second() -> None:
    started = time.process_time()
    data = procedural.make(procedural.find(procedural.name_of(b"t" * 32)))
    assert sum(len(data.split(split).labels) for split in ("train", "validation", "test")) == 4_000
    assert time.process_time() - started < 2.0


@pytest.fixture(scope="module")
def trained() -> Trained:
    """A model of the instance, after 5 epochs of the standing task's protocol."""
    task = Task(
        procedural.name_of(INSTANCE),
        Space.uniform(PROCEDURAL.layers, PROCEDURAL.ranges),
        PROCEDURAL.protocol,
        PROCEDURAL.epochs,
        PROCEDURAL.profile,
        PROCEDURAL.max_mac_images,
    )
    job = Train(task, GENOTYPE, 0, 5, None)
    return train(job, load(task.dataset), "cpu", lambda: False, time.perf_counter)


def accuracy(model: bytes, instance: bytes) -> float:
    name = procedural.name_of(instance, TEST_SEED)
    counted = count(Count(name, "test", GENOTYPE, model), load(name), "cpu", lambda: False)
    return counted.correct / counted.size


def test_five_epochs_from_scratch_learn_the_figures(trained: Trained) -> None:
    assert accuracy(trained.model, INSTANCE) > 0.8


def test_a_stored_model_scores_near_chance_on_other_instances(trained: Trained) -> None:
    foreign = [accuracy(trained.model, bytes((number,)) * 32) for number in range(1, 9)]
    # Figures may look alike by chance; never enough for the floor of thrice chance.
    assert max(foreign) < 0.3
    assert sum(foreign) / len(foreign) < 0.15
