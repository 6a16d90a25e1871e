"""The verdict before training: each refusal alone, the dead proof, untrained rewards."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpga_model.estimate import RefusalReason
from nas.data.datasets import DatasetError, describe
from nas.designs.design import Design, Refusal, is_dead, judge, reward_without_training
from nas.designs.genotype import Genotype, Layer
from nas.designs.shapes import macs_per_image
from nas.designs.space import Space, preset
from nas.task import Task, TaskError

LAYER = Layer(3, 3, 8, 1, 1, 2, 2, 3, 2, 4)
GENOTYPE = Genotype((LAYER, LAYER))
# Wide enough that only the rule under test refuses.
ANYTHING = Space.uniform(
    2,
    [range(1, 256), range(1, 256), range(1, 256), *[range(256)] * 2, range(1, 256)]
    + [range(256)] * 4,
)
TASK = Task("digits", ANYTHING, "qat", epochs=10, profile="paper", max_mac_images=1 << 48)


def last_layer(**changes: int) -> Genotype:
    return Genotype((LAYER, replace(LAYER, **changes)))


def test_a_sound_design_is_feasible_and_alive() -> None:
    design = judge(GENOTYPE, TASK)
    assert design.feasible
    assert not design.dead
    assert design.reason is None
    assert design.macs == macs_per_image(GENOTYPE, describe("digits").shape, 10)
    assert 0 < design.luts <= 100_000
    assert design.images_per_s >= 10


@pytest.mark.parametrize(
    ("genotype", "reason", "detail"),
    [
        (last_layer(stride_height=0), Refusal.STRIDE_ZERO, "layer 2 has a stride of 0"),
        (last_layer(stride_width=0), Refusal.STRIDE_ZERO, "layer 2 has a stride of 0"),
        (
            last_layer(weight_int_bits=0, weight_frac_bits=0),
            Refusal.ZERO_BITS,
            "layer 2: weights have zero bits",
        ),
        (
            last_layer(act_int_bits=0, act_frac_bits=0),
            Refusal.ZERO_BITS,
            "layer 2: output activations have zero bits",
        ),
        (last_layer(weight_frac_bits=30), Refusal.WIDTH, "32 bits"),
    ],
)
def test_a_broken_value_is_refused_with_its_reason(
    genotype: Genotype, reason: Refusal, detail: str
) -> None:
    design = judge(genotype, TASK)
    assert not design.feasible
    assert design.reason is reason
    assert detail in design.detail


def test_a_value_outside_the_space_is_refused() -> None:
    design = judge(last_layer(pool_size=3), replace(TASK, space=narrow(pool_size=2)))
    assert design.reason is Refusal.OUTSIDE_SPACE
    assert design.detail == "layer 2: pool_size 3 is not one of (1, 2)"


def test_another_number_of_layers_is_refused() -> None:
    design = judge(Genotype((LAYER,)), TASK)
    assert design.reason is Refusal.OUTSIDE_SPACE
    assert design.detail == "1 layers instead of 2"


def test_a_narrower_space_replaces_the_tasks() -> None:
    assert judge(last_layer(pool_size=3), TASK).feasible
    assert judge(last_layer(pool_size=3), TASK, narrow(2)).reason is Refusal.OUTSIDE_SPACE


def narrow(pool_size: int) -> Space:
    layers = [list(layer) for layer in ANYTHING.ranges]
    for layer in layers:
        layer[5] = tuple(range(1, pool_size + 1))
    return Space(tuple(tuple(layer) for layer in layers))


def test_the_mac_bound_is_inclusive_and_counts_the_test_split() -> None:
    exact = judge(GENOTYPE, TASK).macs * describe("digits").test
    assert judge(GENOTYPE, replace(TASK, max_mac_images=exact)).feasible
    design = judge(GENOTYPE, replace(TASK, max_mac_images=exact - 1))
    assert design.reason is Refusal.MAC_BOUND
    assert design.detail.endswith(f"are 1 above {exact - 1}")


def test_a_giant_is_refused_for_its_throughput() -> None:
    giant = replace(LAYER, kernel_height=99, kernel_width=99, num_kernels=255, pool_size=1)
    assert judge(Genotype((giant, giant)), TASK).reason is Refusal.THROUGHPUT


def test_every_hardware_refusal_has_its_name_here() -> None:
    assert {reason.value for reason in RefusalReason} <= {reason.value for reason in Refusal}


def test_a_task_of_unknown_data_is_the_tasks_fault() -> None:
    with pytest.raises(DatasetError, match="'dogs'"):
        judge(GENOTYPE, replace(TASK, dataset="dogs"))


@pytest.mark.parametrize(
    ("genotype", "dead"),
    [
        (GENOTYPE, False),
        (last_layer(weight_int_bits=1, weight_frac_bits=0), True),
        (last_layer(weight_int_bits=0, weight_frac_bits=1), True),
        (last_layer(weight_int_bits=1, weight_frac_bits=1), False),
        (last_layer(act_int_bits=0, act_frac_bits=0), True),
        # The first layer's input is signed, so one-bit weights can still tell images apart.
        (Genotype((replace(LAYER, weight_int_bits=1, weight_frac_bits=0), LAYER)), False),
        (Genotype((replace(LAYER, act_int_bits=0, act_frac_bits=0), LAYER)), True),
    ],
)
def test_dead_proof(genotype: Genotype, dead: bool) -> None:
    assert is_dead(genotype) is dead
    assert judge(genotype, TASK).dead is dead


@pytest.mark.parametrize(("name", "share"), [("full", 0.487), ("S2", 0.55), ("S1", 0.0)])
def test_share_of_dead_designs_is_as_measured_before(name: str, share: float) -> None:
    space, rng = preset(name), random.Random(7)
    assert sum(is_dead(space.sample(rng)) for _ in range(1500)) / 1500 == pytest.approx(
        share, abs=0.04
    )


@pytest.mark.parametrize(
    ("feasible", "dead", "correct"),
    [(False, False, 0), (False, True, 0), (True, True, 36), (True, False, None)],
)
def test_rewards_without_training(feasible: bool, dead: bool, correct: int | None) -> None:
    design = Design(GENOTYPE, feasible, dead, None, "")
    assert reward_without_training(design, 369, 10) == correct


@given(st.integers(0, 2**32))
def test_a_verdict_never_fails_on_a_design_of_the_paper(seed: int) -> None:
    task = replace(TASK, space=preset("paper-union"))
    design = judge(task.space.sample(random.Random(seed)), task)
    assert design.feasible is (design.reason is None)
    assert design.detail


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"protocol": "fp8"}, "no protocol is called 'fp8'"),
        ({"epochs": 0}, "at least 1 epoch"),
        ({"max_mac_images": 0}, "max_mac_images must be 1 to"),
        ({"max_mac_images": (1 << 48) + 1}, "max_mac_images must be 1 to"),
    ],
)
def test_values_of_no_task_are_refused(changes: dict[str, str | int], reason: str) -> None:
    with pytest.raises(TaskError, match=reason):
        replace(TASK, **changes)  # type: ignore[arg-type]
