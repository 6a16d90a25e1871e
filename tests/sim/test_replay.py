"""A seed gives one trace, also in another process."""

import os
import subprocess
import sys

import pytest

from tests.sim.world import Plan, World
from tests.virtual_time import run_virtual

PLANS = {
    "pool": Plan(full=3),
    "mints": Plan(full=4, managers=0, strong=0, weak=0, mints=2, disk_ms=(0, 5)),
}


def trace_of(plan: Plan) -> str:
    """Hash over all events of three rounds."""

    async def run() -> str:
        world = World(1, plan)
        await world.start()
        await world.until_round(2)
        world.cut(["full0", "full1"])
        await world.until_round(4)
        await world.close()
        return world.watch.digest

    return run_virtual(run())


@pytest.mark.parametrize("name", PLANS)
def test_a_trace_does_not_depend_on_how_a_process_orders_sets(name: str) -> None:
    program = f"from tests.sim.test_replay import *; print(trace_of(PLANS[{name!r}]))"
    traces = []
    for hash_seed in ("1", "2"):
        outside = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": ".:protos"}
        done = subprocess.run(
            [sys.executable, "-c", program], env=outside, capture_output=True, text=True, check=True
        )
        traces.append(done.stdout.splitlines()[-1])
    assert traces[0] == traces[1]
