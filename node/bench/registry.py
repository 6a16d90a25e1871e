"""The benchmarks of pool and node by name, at the sizes in which their figures are stated."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

from nas.bench.figures import Figure
from node.bench.gossip import Crowd, measure_gossip
from node.bench.manager import Load, measure_manager
from node.bench.simulation import measure_simulation
from node.bench.stall import measure_stall
from node.bench.sync import measure_sync
from node.bench.transfers import measure_transfers
from node.chain.work import MAX_WORK

SEED = 1

BENCHMARKS: Mapping[str, Callable[[], Figure]] = MappingProxyType(
    {
        "gossip": lambda: measure_gossip(Crowd(nodes=1_000, peers=8, delay_ms=100), 3, SEED),
        "manager": lambda: measure_manager(Load(10_000, every_s=30.0, seconds=90.0), SEED),
        "pool-simulation": lambda: measure_simulation(10_000, 100, SEED, time.perf_counter),
        "stall": lambda: measure_stall(9, MAX_WORK, 100_000, SEED, time.perf_counter),
        "sync": lambda: measure_sync(5, 500, SEED, time.perf_counter),
        # All in one thread: the time of its core, whatever else runs on the machine.
        "transfers": lambda: measure_transfers(10, 100_000, SEED, time.process_time),
    }
)
