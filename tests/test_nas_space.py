"""Search spaces: membership, size, the paper's presets, and what is refused."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.designs.genotype import HYPERPARAMETERS, Genotype
from nas.designs.space import Space, SpaceError, preset

RANGES = ((1, 3), (3,), (4, 8), (1, 2), (1,), (1, 2), (0, 1), (1, 2, 3), (1,), (2, 5))
SPACE = Space.uniform(2, RANGES)


def with_range(hyperparameter: str, values: tuple[int, ...]) -> list[tuple[int, ...]]:
    ranges = list(RANGES)
    ranges[HYPERPARAMETERS.index(hyperparameter)] = values
    return ranges


def test_size_counts_every_genotype() -> None:
    assert SPACE.size() == (2 * 1 * 2 * 2 * 1 * 2 * 2 * 3 * 1 * 2) ** 2


@given(st.integers(0, 2**32))
def test_samples_are_inside_and_follow_from_the_seed(seed: int) -> None:
    genotype = SPACE.sample(random.Random(seed))
    assert SPACE.contains(genotype)
    assert genotype == SPACE.sample(random.Random(seed))


@given(st.integers(0, 2**32), st.integers(0, 19))
def test_one_foreign_value_is_outside(seed: int, position: int) -> None:
    tokens = list(SPACE.sample(random.Random(seed)).tokens)
    tokens[position] = 77
    assert not SPACE.contains(Genotype.from_tokens(tokens))


def test_another_number_of_layers_is_outside() -> None:
    genotype = SPACE.sample(random.Random(1))
    assert not SPACE.contains(replace(genotype, layers=genotype.layers[:1]))


def test_ranges_may_differ_by_layer() -> None:
    space = Space((SPACE.ranges[0], tuple(with_range("num_kernels", (16,)))))
    assert space.layers == 2
    assert all(space.sample(random.Random(n)).layers[1].num_kernels == 16 for n in range(20))


def test_full_preset_has_the_range_sizes_of_the_paper() -> None:
    # Paper section 4.1.4.
    sizes = [len(values) for values in preset("full", layers=1).positions]
    assert sizes == [5, 5, 7, 5, 5, 2, 4, 7, 5, 7]
    assert preset("full").layers == 6


def test_paper_union_holds_every_row_which_full_does_not() -> None:
    union, full = preset("paper-union"), preset("full")
    for name in ("full", *(f"S{n}" for n in range(1, 10))):
        for values, whole in zip(preset(name).positions, union.positions, strict=True):
            assert set(values) <= set(whole)
    assert 48 in union.ranges[0][2]
    assert 48 not in full.ranges[0][2]
    assert 0 in preset("S3").ranges[0][3]


def test_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(SpaceError, match=r"'S10'; there are full, S1, .*, S9, paper-union"):
        preset("S10")


@pytest.mark.parametrize(
    ("ranges", "reason"),
    [
        (with_range("stride_width", ()), "layer 1 stride_width has no values"),
        (with_range("stride_width", (2, 1)), "strictly ascending"),
        (with_range("stride_width", (1, 1)), "strictly ascending"),
        (with_range("stride_width", (1, 256)), "in 0 to 255"),
        (with_range("stride_width", (-1, 2)), "in 0 to 255"),
        (with_range("kernel_height", (0, 1)), "kernel_height must lie in 1"),
        (with_range("kernel_width", (0, 1)), "kernel_width must lie in 1"),
        (with_range("num_kernels", (0, 4)), "num_kernels must lie in 1"),
        (with_range("pool_size", (0, 1)), "pool_size must lie in 1"),
        (list(RANGES[:9]), "9 ranges instead of 10"),
    ],
)
def test_ranges_of_no_space_are_refused(ranges: list[tuple[int, ...]], reason: str) -> None:
    with pytest.raises(SpaceError, match=reason):
        Space.uniform(1, ranges)


def test_no_layers_are_refused() -> None:
    with pytest.raises(SpaceError, match="at least one layer"):
        Space(())


def test_torch_free_modules_stay_torch_free() -> None:
    modules = "designs.space designs.design evaluation.model_format data.datasets task jobs"
    imports = "; ".join(f"import nas.{module}" for module in modules.split())
    program = f"import sys; {imports}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
