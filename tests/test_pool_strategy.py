"""Who does what: strong explore, weak exploit, nobody is left without a reason."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.designs.space import Space
from pool.records import transition
from pool.records.state import Exploitation, Exploration, PoolState, Strength
from pool.rules.strategy import (
    LEASE_EPISODES,
    MAX_EPISODES,
    NO_BEST_YET,
    NO_ROUND,
    Rest,
    exploit_variant,
    plan,
    resolve_strength,
)
from tests.pool_states import alive_design, best_of, handed_out, open_round, round_of
from tests.pool_world import SPACE, public


def with_rewards(pool: PoolState, number: int, rewards: tuple[float, ...]) -> PoolState:
    searches = list(round_of(pool).searches)
    searches[number] = replace(searches[number], rewards=rewards)
    return replace(pool, round=replace(round_of(pool), searches=tuple(searches)))


def test_strong_miners_explore_a_subspace_each_and_weak_ones_wait_for_a_best() -> None:
    steps = plan(open_round(strong="st", weak="w"))

    assert steps == {
        public("s"): Exploration(0),
        public("t"): Exploration(1),
        public("w"): Rest(NO_BEST_YET),
    }


def test_weak_miners_train_on_from_the_best_once_its_weights_are_here() -> None:
    best = best_of("s")
    pool = transition.confirmed(handed_out(open_round(strong="s", weak="w")), best)

    assert plan(pool)[public("w")] == Rest(NO_BEST_YET)
    assert plan(transition.with_base(pool, best))[public("w")] == Exploitation(best)


def test_a_strong_miner_keeps_its_search() -> None:
    pool = handed_out(open_round(strong="st"))

    assert plan(pool) == {public("s"): Exploration(0), public("t"): Exploration(1)}


def test_an_abandoned_search_goes_to_the_next_strong_miner_best_first() -> None:
    pool = handed_out(open_round(strong="stu"))
    pool = with_rewards(with_rewards(pool, 0, (0.5,)), 2, (0.4, 0.9))
    for name in "su":
        pool = transition.left(pool, public(name))
    for name in "xyz":
        pool = transition.joined(pool, public(name), public(name), Strength.STRONG, 0)

    steps = plan(pool)

    assert steps[public("x")] == Exploration(2)
    assert steps[public("y")] == Exploration(0)
    assert steps[public("z")] == Exploration(3)


def test_a_returning_miner_goes_on_with_its_own_search() -> None:
    pool = handed_out(open_round(strong="st"))
    for name in "st":
        pool = transition.left(pool, public(name))
    for name in "ts":
        pool = transition.joined(pool, public(name), public(name), Strength.STRONG, 0)

    assert plan(pool) == {public("s"): Exploration(0), public("t"): Exploration(1)}


def test_weak_miners_alone_take_small_leases_and_then_exploit() -> None:
    pool = handed_out(open_round(weak="vw"))
    assert plan(pool) == {public("v"): Exploration(0), public("w"): Exploration(1)}

    best = best_of("v")
    pool = transition.with_base(transition.confirmed(pool, best), best)
    still = with_rewards(pool, 0, (0.5,) * (2 * LEASE_EPISODES - 1))
    done = with_rewards(pool, 0, (0.5,) * (2 * LEASE_EPISODES))

    assert plan(still)[public("w")] == Exploration(1)
    assert plan(done) == {public("v"): Exploitation(best), public("w"): Exploitation(best)}


def test_a_strong_miner_ends_the_exploration_of_weak_ones() -> None:
    pool = handed_out(open_round(weak="w"))
    pool = transition.joined(pool, public("s"), public("s"), Strength.STRONG, 0)

    assert plan(pool) == {public("w"): Rest(NO_BEST_YET), public("s"): Exploration(0)}


def test_without_an_open_round_everybody_rests() -> None:
    pool = open_round(strong="s", weak="w")
    resting = {public("s"): Rest(NO_ROUND), public("w"): Rest(NO_ROUND)}

    assert plan(transition.closed(pool)) == resting
    assert plan(replace(pool, round=None)) == resting


def test_who_is_gone_gets_nothing() -> None:
    assert plan(transition.left(open_round(strong="s"), public("s"))) == {}


@pytest.mark.parametrize("declared", [Strength.WEAK, Strength.STRONG])
def test_declared_strength_is_taken_as_it_is(declared: Strength) -> None:
    assert resolve_strength(declared, 1_000, 1, 0) == (declared, "")


def test_auto_explores_until_it_is_measured() -> None:
    strength, reason = resolve_strength(Strength.AUTO, 0, 0, 26_000)

    assert strength is Strength.STRONG
    assert "not measured" in reason


@pytest.mark.parametrize(
    ("measured_ms", "expected"),
    # Ten candidates; a lease of five in a phase of 26 s needs one each 5.2 s.
    [(52_000, Strength.STRONG), (52_001, Strength.WEAK), (1, Strength.STRONG)],
)
def test_auto_is_strong_if_it_finishes_a_lease_in_the_phase(
    measured_ms: int, expected: Strength
) -> None:
    strength, reason = resolve_strength(Strength.AUTO, 10, measured_ms, 26_000)

    assert strength is expected
    assert f"10 candidates took {measured_ms} ms" in reason


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


def test_who_has_filled_a_search_gets_a_new_one() -> None:
    pool = handed_out(open_round(strong="st"))
    first, second = round_of(pool).searches
    full = replace(first, rewards=(0.5,) * MAX_EPISODES)
    pool = replace(pool, round=replace(round_of(pool), searches=(full, second)))

    assert plan(pool) == {public("s"): Exploration(2), public("t"): Exploration(1)}
