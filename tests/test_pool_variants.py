"""Variants of the best design, which both sides derive."""

from hypothesis import given
from hypothesis import strategies as st

from nas.designs.space import Space
from pool.rules.variants import exploit_variant
from tests.pool_states import alive_design
from tests.pool_world import SPACE

seeds = st.integers(0, (1 << 63) - 1)


@given(seeds, st.integers(0, 50))
def test_variants_keep_the_architecture_and_stay_in_the_space(seed: int, index: int) -> None:
    best = alive_design()

    variant = exploit_variant(best, SPACE, index, seed)

    assert variant.architecture == best.architecture
    assert SPACE.contains(variant)
    changed = sum(a != b for a, b in zip(variant.tokens, best.tokens, strict=True))
    assert changed == index % 2
    assert variant == exploit_variant(best, SPACE, index, seed)


@given(seeds, st.integers(0, 50))
def test_a_moved_width_moves_to_a_neighbour(seed: int, index: int) -> None:
    best = alive_design()
    variant = exploit_variant(best, SPACE, index, seed)

    for values, old, new in zip(SPACE.positions, best.tokens, variant.tokens, strict=True):
        assert abs(values.index(old) - values.index(new)) <= 1


def test_without_other_bits_only_the_seed_varies() -> None:
    best = alive_design()
    single = Space(tuple(tuple((value,) for value in layer.tokens) for layer in best.layers))

    assert exploit_variant(best, single, 1, 5) == best
