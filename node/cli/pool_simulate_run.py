"""What `ponas pool simulate` does: run the simulations, with progress on stderr."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pool.simulation.comparison import Difference, compare
from pool.simulation.outcome import Outcome, Variant
from pool.simulation.rewards import read_rewards
from pool.simulation.run import simulate
from pool.simulation.scenario import Scenario, find_scenario, read_scenario


@dataclass(frozen=True)
class Found:
    """All runs, and for several seeds how the full rules compare with each lesser variant."""

    scenario: Scenario
    runs: list[Outcome]
    differences: list[Difference]


def run(name: str, seeds: range) -> Found:
    """Simulate a scenario: once for a single seed, else each seed with and without the strategy.

    Raises ScenarioError.
    """
    scenario = read_scenario(find_scenario(name))
    if len(seeds) == 1:
        return Found(scenario, _run_all(scenario, (Variant.STRATEGY,), seeds), [])
    variants = _variants(scenario)
    runs = _run_all(scenario, variants, seeds)
    by = {variant: [run for run in runs if run.variant is variant] for variant in variants}
    return Found(scenario, runs, [compare(by[Variant.STRATEGY], by[v]) for v in variants[1:]])


def to_json(found: Found) -> str:
    """The outcome of a single run, or the comparison with each run's best."""
    if not found.differences:
        return msgspec.json.encode(found.runs[0]).decode()
    runs = [{"variant": run.variant, "seed": run.seed, "best": run.best} for run in found.runs]
    fields = {"scenario": found.scenario, "differences": found.differences, "runs": runs}
    return msgspec.json.encode(fields).decode()


def _variants(scenario: Scenario) -> tuple[Variant, ...]:
    """All rules first; without backups only where somebody leaves."""
    if any(kind.departures_per_hour for kind in scenario.classes):
        return Variant.STRATEGY, Variant.NO_BACKUPS, Variant.OFF
    return Variant.STRATEGY, Variant.OFF


def _run_all(scenario: Scenario, variants: tuple[Variant, ...], seeds: range) -> list[Outcome]:
    rewards = read_rewards(scenario.rewards)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rounds, left"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=scenario.rounds * len(variants) * len(seeds))
        runs = []
        for seed in seeds:
            for variant in variants:
                progress.update(bar, description=f"{variant.value}, seed {seed}")
                runs.append(
                    simulate(scenario, rewards, variant, seed, lambda: progress.advance(bar))
                )
        return runs
