"""Images moved in training: what becomes of each, and of which."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.data import datasets
from nas.data.dataset import Dataset
from nas.evaluation import evaluate
from nas.jobs import Count, Train
from nas.training import train
from nas.training.augment import MovedImages, PlainImages, training_images
from tests.nas_models import TASK, devnet_design

DIGITS = datasets.load("digits")
COUNT = 400


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Noise of 3 x 16 x 24 pixels whose channels have means of their own."""
    folder: Path = tmp_path_factory.mktemp("colours")
    rng = np.random.default_rng(1)
    low = np.array([1, 40, 120], np.uint8)[:, None, None]
    arrays = {
        f"{part}_images": rng.integers(low, 130 + low, (size, 3, 16, 24)).astype(np.uint8)
        for part, size in (("train", COUNT), ("test", 40))
    }
    labels = {"train_labels": np.arange(COUNT) % 2, "test_labels": np.arange(40) % 2}
    np.savez(folder / "data.npz", allow_pickle=False, **arrays, **labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PONAS_CACHE", str(folder / "cache"))
        return datasets.load(f"arrays:{folder / 'data.npz'}")


def never() -> bool:
    return False


def moves_of(moved: np.ndarray, image: np.ndarray, black: np.ndarray) -> list[tuple[int, int, int]]:
    """The shifts (rows, columns) and mirrorings that make `moved` of `image`, tried one by one."""
    found = []
    for mirrored in (0, 1):
        padded = np.empty((3, 16 + 8, 24 + 8), np.int8)
        padded[:] = black[:, None, None]
        padded[:, 4:-4, 4:-4] = image[:, :, ::-1] if mirrored else image
        for rows in range(-3, 4):
            for columns in range(-4, 5):
                window = padded[:, 4 + rows : 20 + rows, 4 + columns : 28 + columns]
                if np.array_equal(window, moved):
                    found.append((rows, columns, mirrored))
    return found


def test_images_are_shifted_by_an_eighth_and_mirrored_over_black(colours: Dataset) -> None:
    images = MovedImages(colours, "cpu")
    images.begin_epoch(torch.Generator().manual_seed(5))
    plain = evaluate.input_codes(colours, "train", "cpu").numpy()
    indices = torch.randperm(len(plain), generator=torch.Generator().manual_seed(6))
    black = colours.input_codes[:, 0]
    # Black differs from channel to channel, and is no mean.
    assert len({*black.tolist(), 0}) == 4
    found = [
        moves_of(moved, plain[index], black)
        for index, moved in zip(indices, images.batch(indices).numpy(), strict=True)
    ]
    assert all(len(moves) == 1 for moves in found)
    rows, columns, mirrored = zip(*(moves[0] for moves in found), strict=True)
    # All of both ranges, 2 of 16 rows and 3 of 24 columns, and either side.
    assert set(rows) == set(range(-2, 3))
    assert set(columns) == set(range(-3, 4))
    assert 0.4 < np.mean(mirrored) < 0.6


def test_epochs_differ_and_repeat_themselves(colours: Dataset) -> None:
    images = MovedImages(colours, "cpu")
    indices = torch.arange(50)
    seen = []
    for seed in (1, 2, 1):
        images.begin_epoch(torch.Generator().manual_seed(seed))
        seen.append(images.batch(indices))
    assert torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[0], seen[1])


def test_what_is_done_follows_from_the_data(colours: Dataset) -> None:
    assert isinstance(training_images(colours, True, "cpu"), MovedImages)
    assert isinstance(training_images(colours, False, "cpu"), PlainImages)
    digits = training_images(DIGITS, True, "cpu")
    digits.begin_epoch(torch.Generator().manual_seed(1))
    expected = evaluate.input_codes(DIGITS, "train", "cpu")
    assert torch.equal(digits.batch(torch.arange(len(expected))), expected)


def job(colours: Dataset) -> Train:
    return Train(replace(TASK, dataset=colours.name), devnet_design(1), 1, 1, None)


def test_qat_trains_on_moved_images(colours: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    batch = MovedImages.batch

    def record(self: MovedImages, indices: torch.Tensor) -> torch.Tensor:
        seen.append(batch(self, indices))
        return seen[-1]

    monkeypatch.setattr(MovedImages, "batch", record)
    trained = train.train(job(colours), colours, "cpu", never, lambda: 0.0)
    plain = {image.tobytes() for image in evaluate.input_codes(colours, "train", "cpu").numpy()}
    images = torch.cat(seen)
    unmoved = sum(image.numpy().tobytes() in plain for image in images)
    # One in 70 by chance.
    assert unmoved < len(images) / 20
    # Judged on what is not moved.
    count = Count(colours.name, "validation", devnet_design(1), trained.model)
    assert evaluate.count(count, colours, "cpu", never).correct == trained.correct
