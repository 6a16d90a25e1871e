"""The devices that a user may name, and which of them are on this machine."""

from __future__ import annotations

import re

_NAMES = re.compile(r"auto|cpu|cuda(:\d{1,3})?")


class DeviceError(ValueError):
    """A device that does not exist."""


def resolve_device(name: str) -> str:
    """`cpu` or `cuda[:n]`, as named; for `auto` a GPU if PyTorch can use one.

    Raises DeviceError for another name, or a GPU that is not there: every job would fail on it.
    """
    if not _NAMES.fullmatch(name):
        raise DeviceError(f"no device is called {name!r}; there are auto, cpu, cuda and cuda:N")
    if name == "cpu":
        return name
    # Only a question about GPUs is worth loading PyTorch.
    import torch

    gpus = torch.cuda.device_count()
    if name == "auto":
        return "cuda" if gpus else "cpu"
    if int(name.partition(":")[2] or 0) >= gpus:
        raise DeviceError(f"PyTorch sees no {name} on this machine")
    return name
