"""The verdict on a genotype before any training: may it be built, and can it learn anything?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fpga_model.device import judge_network
from fpga_model.profile import profile_named
from nas.data.datasets import describe
from nas.designs.genotype import HYPERPARAMETERS, Genotype
from nas.designs.hardware import hardware
from nas.designs.shapes import macs_per_image
from nas.designs.space import Space
from nas.task import Task


class Refusal(StrEnum):
    """Why a design is infeasible; the last four are those of `fpga_model.estimate`."""

    OUTSIDE_SPACE = "outside_space"
    STRIDE_ZERO = "stride_zero"
    MAC_BOUND = "mac_bound"
    ZERO_BITS = "zero_bits"
    WIDTH = "width"
    LUTS = "luts"
    THROUGHPUT = "throughput"


@dataclass(frozen=True)
class Design:
    """A judged genotype.

    `reason` is None for a feasible design; `detail` is one sentence for people. `macs` are
    multiply-accumulates per image. `luts`, `images_per_s` (rounded down) and `macs` are 0 when the
    refusal came before they were computed.
    """

    genotype: Genotype
    feasible: bool
    dead: bool
    reason: Refusal | None
    detail: str
    luts: int = 0
    images_per_s: int = 0
    macs: int = 0


def judge(genotype: Genotype, task: Task, space: Space | None = None) -> Design:
    """Judge a genotype by the task's space (or the narrower `space`), MAC bound and profile.

    Raises ValueError only for a task whose data set or profile does not exist.
    """
    info, profile = describe(task.dataset), profile_named(task.profile)
    dead = is_dead(genotype)
    if outside := _outside(genotype, task.space if space is None else space):
        return Design(genotype, False, dead, Refusal.OUTSIDE_SPACE, outside)
    for number, layer in enumerate(genotype.layers, start=1):
        if 0 in (layer.stride_height, layer.stride_width):
            detail = f"layer {number} has a stride of 0"
            return Design(genotype, False, dead, Refusal.STRIDE_ZERO, detail)
    macs = macs_per_image(genotype, info.shape, info.classes)
    if macs * info.test > task.max_mac_images:
        detail = (
            f"{macs} MAC for each of {info.test} images are "
            f"{macs * info.test - task.max_mac_images} above {task.max_mac_images}"
        )
        return Design(genotype, False, dead, Refusal.MAC_BOUND, detail, macs=macs)
    verdict = judge_network(hardware(genotype, info.shape, info.classes), profile)
    return Design(
        genotype,
        verdict.feasible,
        dead,
        None if verdict.reason is None else Refusal(verdict.reason.value),
        verdict.detail,
        luts=0 if verdict.estimate is None else verdict.estimate.luts,
        images_per_s=0 if verdict.estimate is None else verdict.estimate.images_per_s,
        macs=macs,
    )


def is_dead(genotype: Genotype) -> bool:
    """Whether the network's output is provably the same for every input, whatever its weights.

    A layer whose activations have no bits outputs 0. So does a layer after the first whose
    weights have at most one bit: such a weight or bias is -1 or 0 steps and the inputs are
    unsigned, so that the rectifier sees nothing positive. The first layer's inputs are signed.
    """
    return any(layer.act_bits == 0 for layer in genotype.layers) or any(
        layer.weight_bits <= 1 for layer in genotype.layers[1:]
    )


def reward_without_training(design: Design, size: int, classes: int) -> int | None:
    """Correct images of `size` that a design earns untrained, or None if it must be trained.

    An infeasible design earns 0, as in paper section 4.1.3; a dead one what a constant guess
    earns on balanced classes, of which there is at least one.
    """
    if not design.feasible:
        return 0
    return size // classes if design.dead else None


def _outside(genotype: Genotype, space: Space) -> str:
    """Which value is not in the space; empty when all are."""
    if len(genotype.layers) != space.layers:
        return f"{len(genotype.layers)} layers instead of {space.layers}"
    for at, (token, values) in enumerate(zip(genotype.tokens, space.positions, strict=True)):
        if token not in values:
            layer, position = divmod(at, len(HYPERPARAMETERS))
            return f"layer {layer + 1}: {HYPERPARAMETERS[position]} {token} is not one of {values}"
    return ""
