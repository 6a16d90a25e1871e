"""The packaged data: its hash, its split, its input codes."""

from __future__ import annotations

import hashlib
from fractions import Fraction

import numpy as np
import pytest
from sklearn.datasets import load_digits

from nas.data import datasets
from nas.data.dataset import decode
from nas.data.datasets import DatasetError, describe, load
from nas.designs.shapes import InputShape


def test_digits_are_the_pinned_bytes() -> None:
    assert load("digits").content_hash.hex() == (
        "e551598ea3ba759d75a719365ffe5a628b78caaafd2d73ab115f37993a8ddd4e"
    )


def test_arrays_agree_with_the_description() -> None:
    data, info = load("digits"), describe("digits")
    assert (info.shape, info.classes) == (InputShape(1, 8, 8), 10)
    for name, size in (("train", info.train), ("validation", 360), ("test", 360)):
        split = data.split(name)
        assert split.images.shape == (size, 1, 8, 8)
        assert split.labels.shape == (size,)
        assert split.images.max() == 16
        assert not split.images.flags.writeable


@pytest.mark.parametrize("name", ["validation", "test"])
def test_a_constant_guess_scores_exactly_one_in_ten(name: str) -> None:
    assert np.bincount(load("digits").split(name).labels).tolist() == [36] * 10


def test_images_are_scikit_learns_each_once() -> None:
    source = load_digits()
    data = load("digits")
    images = np.concatenate([data.split(name).images for name in ("train", "validation", "test")])
    labels = np.concatenate([data.split(name).labels for name in ("train", "validation", "test")])
    ours = sorted(zip((image.tobytes() for image in images), labels.tolist(), strict=True))
    pixels = source.images.astype(np.uint8)
    assert ours == sorted(
        zip((image.tobytes() for image in pixels), source.target.tolist(), strict=True)
    )


def test_input_codes_are_signed_fixed_point_of_the_normalised_pixel() -> None:
    codes = load("digits").input_codes
    assert codes.shape == (1, 256)
    assert codes.dtype == np.int8
    for pixel in range(17):
        exact = (Fraction(pixel, 16) - Fraction("0.3045")) / Fraction("0.3753") * 32
        assert abs(int(codes[0, pixel]) - exact) <= Fraction(1, 2)
    assert codes[0, 255] == 127
    assert (np.diff(codes[0].astype(int)) >= 0).all()


def test_normalisation_is_that_of_the_training_images() -> None:
    values = load("digits").train.images / 16
    assert values.mean() == pytest.approx(0.3045, abs=5e-5)
    assert values.std() == pytest.approx(0.3753, abs=5e-5)


def test_golden_input_codes() -> None:
    digest = hashlib.blake2b(load("digits").input_codes.tobytes(), digest_size=8).hexdigest()
    assert digest == "ad8ad8b98a31d0c3"


def test_changed_bytes_are_refused() -> None:
    with pytest.raises(DatasetError, match="not as pinned"):
        decode(datasets._DIGITS, np.zeros(116805, np.uint8))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(DatasetError, match="no data set is called 'cats'; there are digits"):
        describe("cats")
    with pytest.raises(DatasetError, match="no split is called 'dev'; there are train, valid"):
        load("digits").split("dev")
