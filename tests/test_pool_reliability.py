"""High and low reward, the two triggers, and backups that are never the wrong ones."""

import statistics
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.rules.curve import Curve
from pool.rules.reliability import (
    CLOSE,
    FEW_CARRIERS,
    MIN_EPISODES,
    Assessment,
    Trigger,
    assess,
    choose_backups,
    high_reward,
    sigma,
)

rewards = st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.8, 0.805, 0.82, 0.9]), max_size=25)
pools = st.dictionaries(st.binary(min_size=1, max_size=2), rewards, max_size=12)


def curves_of(pool: Mapping[bytes, list[float]]) -> dict[bytes, Curve]:
    return {key: Curve.of(values) for key, values in pool.items()}


def flat(*bests: float) -> dict[bytes, Curve]:
    """Miners a, b, c ... with MIN_EPISODES results, the same all the time."""
    return {
        bytes([ord("a") + number]): Curve.of([best] * MIN_EPISODES)
        for number, best in enumerate(bests)
    }


def assessed(curves: Mapping[bytes, Curve]) -> Assessment:
    assessment = assess(curves)
    assert assessment is not None
    return assessment


@given(rewards)
def test_a_curve_knows_the_best_after_any_episode(values: list[float]) -> None:
    curve = Curve.of(values)

    assert curve.episodes == len(values)
    assert curve.best == max(values, default=0.0)
    for episodes in range(len(values) + 2):
        assert curve.best_after(episodes) == max(values[:episodes], default=0.0)


@pytest.mark.parametrize("reward", [-0.01, 1.01, float("nan"), float("inf")])
def test_a_reward_outside_0_to_1_is_none(reward: float) -> None:
    with pytest.raises(ValueError, match="lies in 0 to 1"):
        Curve().then(reward)


@given(pools, st.integers(0, 30))
def test_sigma_is_the_population_standard_deviation_of_the_bests(
    pool: dict[bytes, list[float]], episodes: int
) -> None:
    bests = [max(values[:episodes], default=0.0) for values in pool.values()]

    expected = statistics.pstdev(bests) if bests else 0.0
    assert sigma(curves_of(pool), episodes) == pytest.approx(expected, abs=1e-12)


@given(pools)
def test_e_fits_the_definition(pool: dict[bytes, list[float]]) -> None:
    able = {key: values for key, values in pool.items() if len(values) >= MIN_EPISODES}
    fits = {}
    for episodes in range(MIN_EPISODES, 26):
        bests = {key: max(v[:episodes]) for key, v in able.items() if len(v) >= episodes}
        if not bests:
            break
        high = {key for key, best in bests.items() if best >= statistics.median(bests.values())}
        if min(len(able[key]) for key in high) == episodes:
            fits[episodes] = high

    found = high_reward(curves_of(pool))

    if found is None:
        assert not fits
    else:
        assert set(found.curves) == fits[found.episodes]


@given(pools)
def test_high_and_low_share_nobody_and_carriers_are_never_low(
    pool: dict[bytes, list[float]],
) -> None:
    assessment = assess(curves_of(pool))

    if assessment is not None:
        low = set(assessment.low)
        assert not low & set(assessment.high)
        assert not low & set(assessment.carriers)
        assert all(len(pool[key]) >= MIN_EPISODES for key in (*assessment.high, *low))


def test_a_slow_miner_with_low_rewards_does_not_hold_the_comparison_back() -> None:
    curves = {
        b"slow": Curve.of([0.1] * MIN_EPISODES),
        b"fast": Curve.of([0.5] * 30 + [0.9]),
        b"good": Curve.of([0.6] * 40),
    }

    found = high_reward(curves)

    assert found is not None
    assert found.episodes == 31
    assert set(found.curves) == {b"fast"}


def test_nobody_is_judged_before_a_batch_of_results() -> None:
    assert assess({}) is None
    assert assess({b"a": Curve.of([0.9] * (MIN_EPISODES - 1))}) is None


def test_a_pool_carried_by_many_with_a_falling_sigma_needs_no_backups() -> None:
    assessment = assessed(flat(0.1, 0.2, *[0.8] * (FEW_CARRIERS + 1)))

    assert assessment.finding.triggers == ()
    assert choose_backups(assessment, {b"a", b"b"}, {}) == {}


def test_few_carriers_are_a_trigger_and_those_close_to_the_best_carry_too() -> None:
    few = assessed(flat(0.1, 0.2, *[0.8] * FEW_CARRIERS))
    close = assessed(flat(0.1, 0.2, *[0.8] * FEW_CARRIERS, 0.8 - CLOSE / 2))
    apart = assessed(flat(0.1, 0.2, *[0.8] * FEW_CARRIERS, 0.8 - CLOSE * 2))

    assert few.finding.triggers == (Trigger.FEW_CARRY,)
    assert close.finding.triggers == ()
    assert apart.finding.triggers == (Trigger.FEW_CARRY,)
    assert apart.finding.carriers == FEW_CARRIERS


def stepping(before: float, after: float) -> dict[bytes, Curve]:
    """Six low miners, two at 0.8, and four that step from one best to another at the end."""
    low = {b"l%d" % number: Curve.of([0.1] * 8) for number in range(6)}
    steady = {b"s%d" % number: Curve.of([0.8] * 8) for number in range(2)}
    step = {b"t%d" % number: Curve.of([before] * 7 + [after]) for number in range(4)}
    return low | steady | step


@pytest.mark.parametrize(
    ("before", "after", "triggers"),
    [
        (0.8, 0.9, (Trigger.SIGMA_ROSE,)),
        # From 0 to less than MIN_SIGMA: apart by two points, sigma is 0.0094.
        (0.8, 0.82, ()),
        # By a fifth, less than RISE.
        (0.9, 0.92, ()),
        (0.8, 0.8, ()),
    ],
)
def test_a_rising_sigma_is_a_trigger(
    before: float, after: float, triggers: tuple[Trigger, ...]
) -> None:
    assert assessed(stepping(before, after)).finding.triggers == triggers


def test_a_rising_sigma_protects_all_high_reward_miners_best_first() -> None:
    assessment = assessed(stepping(0.8, 0.9))

    chosen = choose_backups(assessment, set(assessment.low[:5]), {})

    assert list(chosen) == [b"t0", b"t1", b"t2", b"t3", b"s0"]
    assert list(chosen.values()) == list(assessment.low[:5])


def test_few_carriers_protect_the_carriers_alone() -> None:
    assessment = assessed(flat(0.3, 0.1, 0.2, 0.8, 0.7, 0.9))

    assert assessment.high == (b"f", b"d", b"e")
    assert choose_backups(assessment, {b"a", b"b", b"c"}, {}) == {b"f": b"b"}


def test_the_worst_available_search_is_given_up_first() -> None:
    assessment = assessed(flat(0.3, 0.1, 0.2, 0.7, 0.8, 0.9))

    assert choose_backups(assessment, {b"a", b"c"}, {}) == {b"f": b"c"}
    assert choose_backups(assessment, set(), {}) == {}


def test_a_backup_that_still_fits_stays() -> None:
    assessment = assessed(flat(0.3, 0.1, 0.2, 0.7, 0.8, 0.9))
    everybody = {b"a", b"b", b"c"}

    assert choose_backups(assessment, everybody, {b"f": b"a"}) == {b"f": b"a"}
    # Gone, risen to a high reward, or the backup of one that needs none any more.
    assert choose_backups(assessment, {b"b", b"c"}, {b"f": b"a"}) == {b"f": b"b"}
    assert choose_backups(assessment, everybody, {b"f": b"d"}) == {b"f": b"b"}
    assert choose_backups(assessment, everybody, {b"e": b"a"}) == {b"f": b"b"}


@given(pools, st.data())
def test_backups_are_low_available_and_for_one_miner_each(
    pool: dict[bytes, list[float]], data: st.DataObject
) -> None:
    assessment = assess(curves_of(pool))
    keys = st.sampled_from(sorted(pool) or [b""])
    available = data.draw(st.sets(keys))
    standing = data.draw(st.dictionaries(keys, keys))
    if assessment is None:
        return

    chosen = choose_backups(assessment, available, standing)

    assert len(set(chosen.values())) == len(chosen)
    assert set(chosen.values()) <= set(assessment.low) & available
    assert not set(chosen.values()) & {*assessment.high, *assessment.carriers}
    assert set(chosen) <= {*assessment.high, *assessment.carriers}
    assert not chosen or assessment.finding.triggers


def test_a_late_riser_carries_the_pool_and_is_no_backup() -> None:
    curves = flat(0.1, 0.5, 0.6, 0.7) | {b"late": Curve.of([0.1] * 9 + [0.95])}

    assessment = assessed(curves)

    assert b"late" not in assessment.high
    assert assessment.carriers == (b"late",)
    assert choose_backups(assessment, set(curves), {}) == {b"late": b"a"}


def test_an_assessment_names_its_numbers() -> None:
    finding = assessed(flat(0.1, 0.3, 0.8, 0.9)).finding

    assert (finding.episodes, finding.earlier_episodes) == (MIN_EPISODES, MIN_EPISODES - 1)
    assert finding.sigma == pytest.approx(0.05) == finding.earlier_sigma
    assert finding.median == pytest.approx(0.55)
    assert (finding.best, finding.judged, finding.high, finding.carriers) == (0.9, 4, 2, 1)
