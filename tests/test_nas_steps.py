"""Carrying out steps: all of a graph's handling but the graph, on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch

from nas.data import datasets
from nas.networks.network import Network
from nas.training import qat, steps
from nas.training.descent import Descent, Recipe
from nas.training.steps import (
    WARM_UP_STEPS,
    EagerStep,
    GraphStep,
    MakeRunner,
    Recording,
    step_runner,
)
from tests.nas_models import devnet_design

DIGITS = datasets.load("digits")


def never() -> bool:
    return False


class Recorder:
    """Stands in for CUDA: a recording repeats the work on what then stands at its addresses."""

    def __init__(self) -> None:
        self.captures = self.closed = 0
        self.noises: list[torch.Generator | None] = []

    def __call__(self, work: Callable[[], None], noise: torch.Generator | None) -> Recording:
        self.captures += 1
        self.noises.append(noise)
        return Repeated(work, self)


class Repeated:
    """What the recorder hands out."""

    def __init__(self, work: Callable[[], None], recorder: Recorder) -> None:
        self._recorder = recorder
        self._work = work

    def replay(self) -> None:
        self._work()

    def close(self) -> None:
        self._recorder.closed += 1


def indices(start: int, count: int = 4) -> torch.Tensor:
    return torch.arange(start, start + count)


def test_a_graph_step_does_every_step_once_and_in_order() -> None:
    seen: list[list[int]] = []
    recorder = Recorder()
    runner = GraphStep(lambda batch: seen.append(batch.tolist()), 4, "cpu", None, recorder)
    batches = [indices(at) for at in range(WARM_UP_STEPS + 5)]
    for batch in batches:
        runner.run(batch)
    assert seen == [batch.tolist() for batch in batches]
    assert recorder.captures == 1


def test_the_recording_waits_until_steps_are_alike() -> None:
    recorder = Recorder()
    runner = GraphStep(lambda batch: None, 4, "cpu", None, recorder)
    for at in range(WARM_UP_STEPS):
        runner.run(indices(at))
    assert recorder.captures == 0
    runner.run(indices(0))
    assert recorder.captures == 1


def test_the_rest_of_an_epoch_is_not_replayed() -> None:
    sizes: list[int] = []
    recorder = Recorder()
    runner = GraphStep(lambda batch: sizes.append(len(batch)), 4, "cpu", None, recorder)
    for at in range(WARM_UP_STEPS + 1):
        runner.run(indices(at))
    runner.run(indices(0, 3))
    runner.run(indices(0))
    assert sizes[-3:] == [4, 3, 4]
    assert recorder.captures == 1


def test_the_recording_knows_the_source_of_noise() -> None:
    noise, recorder = torch.Generator(), Recorder()
    runner = GraphStep(lambda batch: None, 4, "cpu", noise, recorder)
    for at in range(WARM_UP_STEPS + 1):
        runner.run(indices(at))
    assert recorder.noises == [noise]


def test_the_cpu_computes_step_by_step_on_the_stream_it_has() -> None:
    assert isinstance(step_runner(lambda batch: None, 4, "cpu"), EagerStep)
    steps.enter_own_stream("cpu")


@pytest.mark.parametrize("keep_rest", [False, True])
def test_training_by_replay_is_training(keep_rest: bool) -> None:
    recipe = Recipe(
        batch=256,
        rate=qat.RECIPE.rate,
        momentum=qat.RECIPE.momentum,
        nesterov=True,
        weight_decay=1e-4,
        clip_norm=qat.RECIPE.clip_norm,
        cosine=not keep_rest,
        keep_rest=keep_rest,
        augment=True,
    )
    recorder = Recorder()
    eager = trained(recipe, step_runner)
    replayed = trained(recipe, partial(GraphStep, capture=recorder))
    assert (recorder.captures, recorder.closed) == (1, 1)
    assert eager.keys() == replayed.keys()
    assert all(torch.equal(eager[name], replayed[name]) for name in eager)


def trained(recipe: Recipe, make_runner: MakeRunner) -> dict[str, torch.Tensor]:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(3)
    network = Network(devnet_design(1), DIGITS.shape, DIGITS.classes, generator)
    with Descent(recipe, network, network, DIGITS, 5, "cpu", 3, None, make_runner) as descent:
        for _ in range(5):
            descent.run_epoch(never)
    return dict(network.state_dict())
