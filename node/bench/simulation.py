"""How long a large pool takes to simulate: the manager's decisions on a million results."""

from __future__ import annotations

from itertools import pairwise

import msgspec

from nas.bench.figures import Clock, Figure, describe_spread
from pool.simulation.outcome import Variant
from pool.simulation.rewards import read_rewards
from pool.simulation.run import simulate
from pool.simulation.scenario import find_scenario, read_scenario


def measure_simulation(miners: int, rounds: int, seed: int, clock: Clock) -> Figure:
    """Seconds for the shipped scenario `large` with so many miners over so many rounds."""
    large = read_scenario(find_scenario("large"))
    (slow,) = large.classes
    slow = msgspec.structs.replace(slow, miners=miners)
    scenario = msgspec.structs.replace(large, rounds=rounds, classes=(slow,))
    rewards = read_rewards(scenario.rewards)
    times = [clock()]
    outcome = simulate(scenario, rewards, Variant.STRATEGY, seed, lambda: times.append(clock()))
    results = sum(kind.results for kind in outcome.classes)
    seconds = times[-1] - times[0]
    return Figure(
        "pool-simulation",
        seconds,
        "s",
        results,
        seed,
        f"rounds: {describe_spread([after - before for before, after in pairwise(times)])}",
        f"{1e6 * seconds / results:.0f} microseconds a result: the manager's decisions and records",
    )
