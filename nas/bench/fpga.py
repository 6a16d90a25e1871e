"""How fast hardware is judged."""

from __future__ import annotations

import random
from functools import partial

from fpga_model.estimate import judge
from fpga_model.profile import PAPER
from nas.bench.figures import Clock, Figure, rate_figure, seconds_of
from nas.designs.genotype import Genotype
from nas.designs.shapes import InputShape, conv_layers
from nas.designs.space import Space, preset

CIFAR = InputShape(3, 32, 32)
"""The images of the paper's experiment."""


def measure_fpga(parts: int, designs: int, seed: int, clock: Clock) -> Figure:
    """Verdicts on `parts` times `designs` different designs of `full`, on one core.

    Designs with a format of no bits are left out: they are refused before anything is computed.
    """
    rng = random.Random(seed)
    space = preset("full")
    # Fills the tables that only depend on channel counts, which a process computes once.
    _judge_all([_priced_design(space, rng) for _ in range(designs)])
    seconds = []
    for _ in range(parts):
        drawn = [_priced_design(space, rng) for _ in range(designs)]
        seconds.append(seconds_of(partial(_judge_all, drawn), clock))
    floor = "the interpreter: about 1,900 Python calls a design"
    return rate_figure("fpga", "designs/s", designs, seconds, seed, floor)


def _judge_all(genotypes: list[Genotype]) -> None:
    for genotype in genotypes:
        judge(conv_layers(genotype, CIFAR), PAPER)


def _priced_design(space: Space, rng: random.Random) -> Genotype:
    while True:
        genotype = space.sample(rng)
        if all(layer.act_bits and layer.weight_bits for layer in genotype.layers):
            return genotype
