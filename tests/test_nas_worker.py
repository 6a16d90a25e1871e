"""What becomes of a job that fails in a worker."""

from __future__ import annotations

import weakref

import pytest
import torch

from nas.execution import worker
from nas.execution.messages import Failure
from nas.jobs import Trained


class Held:
    """What a job holds on the device."""


def test_memory_that_ran_out_is_given_back_once_the_job_holds_none_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[weakref.ref[Held]] = []
    still_held: list[bool] = []

    def run_out() -> Trained:
        mine = Held()
        held.append(weakref.ref(mine))
        raise torch.OutOfMemoryError("Tried to allocate 2.00 GiB.")

    def release() -> None:
        still_held.append(held[0]() is not None)

    monkeypatch.setattr(worker, "release_unused_memory", release)
    reply = worker.attempt(run_out)
    assert reply == Failure("the GPU has too little memory (another 2.00 GiB)")
    assert still_held == [False]


def test_other_failures_leave_the_memory_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    released: list[None] = []

    def fail() -> Trained:
        raise ValueError("no")

    monkeypatch.setattr(worker, "release_unused_memory", lambda: released.append(None))
    assert worker.attempt(fail) == Failure("ValueError: no")
    assert released == []
