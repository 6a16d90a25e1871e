"""How fast the controller proposes designs and learns."""

from __future__ import annotations

import dataclasses
import random
from functools import partial

from nas.bench.figures import Clock, Figure, format_value, rate_figure, seconds_of
from nas.designs.space import preset
from nas.strategies.controller import Controller

BATCH = 64
AUTHORS_BATCH = 5


def measure_controller(updates: int, seed: int, clock: Clock) -> Figure:
    """Episodes a second of `full` in batches of 64, on one core.

    The rate in batches of five, the authors' number, is part of the spread.
    """
    fives = _seconds_of_updates(AUTHORS_BATCH, updates * 4, seed, clock)
    batches = _seconds_of_updates(BATCH, updates, seed, clock)
    floor = "60 LSTM steps one after the other, whatever the batch"
    figure = rate_figure("controller", "episodes/s", BATCH, batches, seed, floor)
    small = rate_figure("controller", "episodes/s", AUTHORS_BATCH, fives, seed, floor)
    spread = f"{figure.spread}; {format_value(small.value)} in the authors' batches of five"
    return dataclasses.replace(figure, spread=spread)


def _seconds_of_updates(batch: int, updates: int, seed: int, clock: Clock) -> list[float]:
    """Of each update: `batch` designs drawn, rewarded at random and learnt from.

    One update before that is not counted: PyTorch sets itself up in it.
    """
    rng = random.Random(seed)
    controller = Controller(preset("full"), seed)
    _run_batch(controller, batch, rng)
    work = partial(_run_batch, controller, batch, rng)
    return [seconds_of(work, clock) for _ in range(updates)]


def _run_batch(controller: Controller, batch: int, rng: random.Random) -> None:
    rollouts = controller.sample(batch)
    controller.update(rollouts, tuple(rng.random() for _ in range(batch)))
