from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.simulation.comparison import compare
from pool.simulation.outcome import Outcome, Variant


def _outcome(seed: int, best: float, variant: Variant) -> Outcome:
    return Outcome(
        title="",
        variant=variant,
        seed=seed,
        train_s=1.0,
        period_s=1.0,
        finals=(best,),
        bests=(),
        classes=(),
        reassigned_ms=(),
        searches_lost=0,
        backups_designated=0,
        backups_activated=0,
        audits=0,
        manager_pay=0.0,
    )


def _outcomes(bests: list[float], variant: Variant) -> list[Outcome]:
    return [_outcome(seed, best, variant) for seed, best in enumerate(bests)]


def test_a_steady_gain_is_better() -> None:
    without = [0.5, 0.9, 0.7, 0.6]
    found = compare(
        _outcomes([0.52, 0.92, 0.73, 0.61], Variant.STRATEGY), _outcomes(without, Variant.OFF)
    )
    assert found.mean == pytest.approx(0.02)
    assert 0.01 <= found.low < found.mean < found.high <= 0.03
    assert (found.wins, found.verdict, found.without) == (4, "better", Variant.OFF)


def test_a_steady_loss_is_worse() -> None:
    found = compare(
        _outcomes([0.4, 0.5], Variant.STRATEGY), _outcomes([0.5, 0.7], Variant.NO_BACKUPS)
    )
    assert (found.wins, found.verdict) == (0, "worse")


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_a_difference_to_oneself_is_none(bests: list[float]) -> None:
    found = compare(_outcomes(bests, Variant.STRATEGY), _outcomes(bests, Variant.OFF))
    assert (found.low, found.mean, found.high) == (0, 0, 0)
    assert found.verdict == "no difference seen"


def test_other_seeds_are_refused() -> None:
    one, other = _outcomes([0.4, 0.5], Variant.STRATEGY), _outcomes([0.5], Variant.OFF)
    with pytest.raises(ValueError, match="the same seeds"):
        compare(one, other)
    with pytest.raises(ValueError, match="at least two"):
        compare(one[:1], other)
