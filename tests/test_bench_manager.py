"""The load of a manager, at a size that a test can bear: real processes, real connections."""

from __future__ import annotations

import random

import pytest

from nas.data.datasets import describe
from nas.jobs import Count, JobFailed, Propose
from node.bench.counting import InstantCounter, model_that_counts
from node.bench.manager import Load, Observed, observe, percentile_ms, to_figure
from node.bench.server import Usage, serve_echo, serve_pool
from node.bench.setting import TASK

MINERS = 20


@pytest.mark.timeout(120)
@pytest.mark.parametrize("serve", [serve_pool, serve_echo])
def test_every_result_is_answered(serve: object) -> None:
    load = Load(MINERS, every_s=1.0, seconds=2.0)
    seen = observe(serve, load, seed=1)  # type: ignore[arg-type]
    assert (seen.lost, seen.not_accepted) == ([], [])
    assert len(seen.waits_s) == 2 * MINERS
    assert all(wait > 0 for wait in seen.waits_s)
    assert seen.usage.peak_mib > 10


def test_a_lost_miner_or_a_refused_result_is_no_figure() -> None:
    usage = Usage(peak_mib=1.0, cpu_s=1.0)
    good = Observed([0.1] * 100, [], [], 0, usage)
    assert to_figure(good, good, Load(1, 1.0, 1.0), 1).value == pytest.approx(100)
    for bad in (
        Observed([0.1] * 100, ["duplicate"], [], 0, usage),
        Observed([0.1] * 100, [], ["the pool went away"], 0, usage),
    ):
        with pytest.raises(ValueError, match=r"duplicate|went away"):
            to_figure(bad, good, Load(1, 1.0, 1.0), 1)


def test_percentiles_are_in_ms() -> None:
    waits_s = [number / 1_000 for number in range(101)]
    assert (percentile_ms(waits_s, 50), percentile_ms(waits_s, 99)) == (50, 99)


async def test_the_stand_in_counts_what_a_model_says() -> None:
    genotype = TASK.space.sample(random.Random(1))
    model = model_that_counts(TASK.dataset, genotype, 123, b"a mark")
    counted = await InstantCounter().run(Count(TASK.dataset, "validation", genotype, model))
    assert (counted.correct, counted.size) == (123, describe(TASK.dataset).validation)
    with pytest.raises(JobFailed, match="Propose"):
        await InstantCounter().run(Propose(TASK, TASK.space, 1, (), 0))
