"""How fast the controller proposes designs and learns."""

from __future__ import annotations

import random
from functools import partial

from nas.controller import Controller
from nas.space import preset
from tools.benchmarks.figures import Clock, Figure, rate_figure, seconds_of


def measure_controller(batch: int, updates: int, seed: int, clock: Clock) -> tuple[Figure, ...]:
    """Episodes of `full`: `batch` designs drawn, rewarded at random and learnt from, each update.

    One update before that is not counted: PyTorch sets itself up in it.
    """
    rng = random.Random(seed)
    controller = Controller(preset("full"), seed)
    _run_batch(controller, batch, rng)
    work = partial(_run_batch, controller, batch, rng)
    seconds = [seconds_of(work, clock) for _ in range(updates)]
    floor = "60 LSTM steps one after the other, whatever the batch"
    name = f"controller_batch_{batch}"
    return (rate_figure(name, "episodes/s", batch, seconds, seed, floor),)


def _run_batch(controller: Controller, batch: int, rng: random.Random) -> None:
    rollouts = controller.sample(batch)
    controller.update(rollouts, tuple(rng.random() for _ in range(batch)))
