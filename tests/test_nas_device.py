"""Which device a name stands for."""

from __future__ import annotations

import pytest
import torch

from nas.execution.device import DeviceError, resolve_device


@pytest.mark.parametrize(
    ("name", "gpus", "device"),
    [
        ("cpu", 2, "cpu"),
        ("auto", 0, "cpu"),
        ("auto", 1, "cuda"),
        ("cuda", 1, "cuda"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_what_is_there_is_used(
    name: str, gpus: int, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert resolve_device(name) == device


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:1"])
def test_a_gpu_that_is_not_there_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(name == "cuda:1"))
    with pytest.raises(DeviceError, match=f"PyTorch sees no {name} on this machine"):
        resolve_device(name)


@pytest.mark.parametrize("name", ["tpu", "", "CPU", "cuda:", "cuda:x", "cuda:-1", "cpu:0"])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(DeviceError, match="no device is called"):
        resolve_device(name)
