"""Data sets on the device: brought there once in a process, however many trainings follow."""

from __future__ import annotations

import threading
from functools import lru_cache

import torch

from nas.data.dataset import Dataset
from nas.evaluation import evaluate

_ONE_UPLOAD = threading.Lock()


def images_of(dataset: Dataset, split: str, device: str) -> torch.Tensor:
    """Input codes int8 [n, channels, height, width] of a split, not to be written to.

    A GPU keeps them (154 MB for all of CIFAR-10). On the CPU they go with the training: an idle
    worker shall be small, and coding them again takes well under a second.
    """
    if torch.device(device).type == "cpu":
        return evaluate.input_codes(dataset, split, device)
    # Trainings side by side start together; the first brings the images for all of them.
    with _ONE_UPLOAD:
        return _kept_images(dataset, split, device)


@lru_cache(maxsize=6)
def _kept_images(dataset: Dataset, split: str, device: str) -> torch.Tensor:
    # Copied from pageable memory, for which PyTorch waits: any stream may read afterwards.
    return evaluate.input_codes(dataset, split, device)
