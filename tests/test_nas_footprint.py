"""Estimated memory, and jobs that wait until theirs is free."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from nas.data.datasets import describe
from nas.designs.genotype import Genotype, Layer
from nas.designs.shapes import InputShape
from nas.designs.space import preset
from nas.execution.executor import LocalExecutor, MemoryBudget
from nas.execution.footprint import PROCESS_BYTES, estimate_bytes
from nas.jobs import Count, Propose, Train
from tests.nas_models import DEVNET, TASK, devnet_design

QUICK = Train(TASK, devnet_design(1), seed=1, epochs=1, initial_weights=None)
MIB = 1 << 20


def test_wider_layers_take_more() -> None:
    def training(kernels: int, protocol: str) -> int:
        design = Genotype((Layer(3, 3, kernels, 1, 1, 1, 2, 2, 2, 2),))
        return estimate_bytes(
            Train(replace(TASK, protocol=protocol), design, 1, 1, initial_weights=None)
        )

    assert PROCESS_BYTES < training(8, "qat") < training(24, "qat") < training(24, "ptq") * 2
    assert estimate_bytes(Propose(TASK, DEVNET, 1, (), 0)) == PROCESS_BYTES
    count = Count("digits", "test", devnet_design(1), b"")
    assert PROCESS_BYTES < estimate_bytes(count) < estimate_bytes(QUICK)


def test_the_estimate_grows_with_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    small = estimate_bytes(QUICK)
    info = replace(
        describe("digits"),
        shape=InputShape(3, 32, 32),
        train=45_000,
        validation=5_000,
    )
    monkeypatch.setattr("nas.execution.footprint.describe", lambda name: info)
    # The images alone, as one byte a pixel.
    assert estimate_bytes(QUICK) - small > 50_000 * 3_072
    median = Genotype(
        tuple(Layer(5, 5, 36, 2, 2, 1, 2, 4, 2, 4) for _ in range(preset("full").layers))
    )
    assert estimate_bytes(replace(QUICK, genotype=median)) < 600 * MIB


async def test_work_waits_for_its_bytes_in_order_of_arrival() -> None:
    budget = MemoryBudget(100)
    events: list[str] = []
    release = {name: asyncio.Event() for name in "abcd"}

    async def work(name: str, size: int) -> None:
        async with budget.hold(size):
            events.append(name)
            await release[name].wait()
        events.append(f"{name} ended")

    async def turn() -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    tasks = [asyncio.ensure_future(work(*job)) for job in (("a", 60), ("b", 50), ("c", 10))]
    await turn()
    # c would fit, but must not starve b.
    assert events == ["a"]
    release["a"].set()
    await turn()
    assert events == ["a", "a ended", "b", "c"]
    tasks.append(asyncio.ensure_future(work("d", 500)))
    await turn()
    assert "d" not in events
    release["b"].set()
    release["c"].set()
    await turn()
    # Too large for the budget: alone.
    assert events[-1] == "d"
    release["d"].set()
    await asyncio.gather(*tasks)


async def test_who_gives_up_waiting_lets_the_next_pass() -> None:
    budget = MemoryBudget(100)
    entered = asyncio.Event()

    async def work(size: int) -> None:
        async with budget.hold(size):
            entered.set()

    async with budget.hold(80):
        large = asyncio.ensure_future(work(90))
        small = asyncio.ensure_future(work(20))
        await asyncio.sleep(0)
        assert not entered.is_set()
        large.cancel()
        await asyncio.gather(large, return_exceptions=True)
        await small
    assert entered.is_set()
    async with budget.hold(100):
        pass


async def test_jobs_too_large_to_run_together_run_one_after_the_other() -> None:
    executor = LocalExecutor(2, "cpu", memory_bytes=1)
    try:
        results = await asyncio.gather(executor.run(QUICK), executor.run(replace(QUICK, seed=2)))
        assert [result.epochs for result in results] == [1, 1]
        # The second waited, so that one process did both.
        assert len(executor._live) == 1
    finally:
        await executor.close()
