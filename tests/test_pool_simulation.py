from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from node.bench.simulation import measure_simulation
from node.cli.client import main as ponas
from pool.records.state import PoolState
from pool.records.strengths import Strength
from pool.rules.payout import TOTAL_WEIGHT
from pool.simulation import manager
from pool.simulation.manager import SimulatedManager
from pool.simulation.outcome import Outcome, Use, Variant
from pool.simulation.rewards import read_rewards
from pool.simulation.run import simulate
from pool.simulation.scenario import Cheat, MinerClass, Scenario, find_scenario, read_scenario

replace = msgspec.structs.replace


def _shipped(name: str, rounds: int = 2) -> Scenario:
    return replace(read_scenario(find_scenario(name)), rounds=rounds)


def _run(scenario: Scenario, variant: Variant = Variant.STRATEGY, seed: int = 1) -> Outcome:
    return simulate(scenario, read_rewards(scenario.rewards), variant, seed, lambda: None)


def _pay(outcome: Outcome) -> dict[str, float]:
    return {kind.name: kind.pay for kind in outcome.classes}


def _strong(name: str, miners: int, cheat: Cheat | None = None, after: int = 0) -> MinerClass:
    return MinerClass(
        name=name,
        miners=miners,
        strength=Strength.STRONG,
        candidates_per_s=0.4,
        cheat=cheat,
        cheats_after=after,
    )


@pytest.mark.parametrize("name", ["weak-miners", "departures", "cheaters"])
@pytest.mark.parametrize("variant", list(Variant))
def test_the_same_seed_gives_the_same_run(name: str, variant: Variant) -> None:
    scenario = _shipped(name)
    first = _run(scenario, variant)
    assert first == _run(scenario, variant)
    assert first.bests != _run(scenario, variant, seed=2).bests


@pytest.mark.parametrize("name", ["departures", "cheaters"])
def test_tables_that_keep_earlier_states_give_the_same_run(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_place = _run(_shipped(name))
    monkeypatch.setattr(manager, "empty_pool", PoolState)
    assert _run(_shipped(name)) == in_place


def test_no_weak_miner_ever_holds_a_lease() -> None:
    outcome = _run(_shipped("weak-miners", rounds=5))
    strong, weak = outcome.classes
    assert (weak.leases, weak.results > 20) == (0, True)
    assert strong.leases == strong.miners * 5


def test_without_the_strategy_every_miner_has_a_lease_a_round() -> None:
    outcome = _run(_shipped("weak-miners", rounds=2), Variant.OFF)
    assert [kind.leases for kind in outcome.classes] == [14, 4]


def test_weak_miners_improve_what_strong_ones_found() -> None:
    outcome = _run(_shipped("weak-miners", rounds=4))
    assert {point.by_class for point in outcome.bests} == {"strong", "weak"}
    assert outcome.best > _run(_shipped("weak-miners", rounds=4), Variant.OFF).best


def test_a_lone_weak_pool_gives_small_leases() -> None:
    scenario = _shipped("large", rounds=1)
    outcome = _run(replace(scenario, classes=(replace(scenario.classes[0], miners=30),)))
    assert outcome.classes[0].leases == 30


def test_a_miner_that_leaves_is_followed_by_its_backup() -> None:
    outcomes = [_run(_shipped("departures", rounds=6), seed=seed) for seed in range(1, 4)]
    assert all(outcome.backups_designated for outcome in outcomes)
    assert sum(outcome.backups_activated for outcome in outcomes) >= 1
    for outcome in outcomes:
        assert len(outcome.reassigned_ms) <= outcome.searches_lost
        assert outcome.backups_activated <= len(outcome.reassigned_ms)


def test_without_backups_none_is_used() -> None:
    outcome = _run(_shipped("departures", rounds=4), Variant.NO_BACKUPS)
    assert (outcome.backups_designated, outcome.backups_activated) == (0, 0)


def test_a_silent_departure_is_noticed_after_two_heartbeats() -> None:
    scenario = _shipped("departures", rounds=5)
    leaving, steady, _ = scenario.classes
    silent = replace(leaving, miners=6, silent=1.0, away_s=2000.0)
    outcomes = [
        _run(replace(scenario, classes=(silent, steady)), seed=seed) for seed in range(1, 6)
    ]
    delays_ms = [delay for outcome in outcomes for delay in outcome.reassigned_ms]
    # A phase of 200 s has heartbeats of 25 s.
    assert delays_ms
    assert min(delays_ms) >= 50_000


def test_all_time_is_accounted_for() -> None:
    for name in ("weak-miners", "departures", "cheaters"):
        for kind in _run(_shipped(name)).classes:
            assert min(kind.seconds.values()) >= -1e-6, (name, kind)
            assert sum(kind.share(use) for use in Use) == pytest.approx(1)
            assert sum(kind.seconds.values()) <= kind.miners * 2 * 200 + 1e-6


def test_payouts_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    paid = []
    pay = SimulatedManager.pay_round

    def paying(self: SimulatedManager, now_ms: int) -> Mapping[bytes, int]:
        weights = pay(self, now_ms)
        paid.append(sum(weights.values()))
        return weights

    monkeypatch.setattr(SimulatedManager, "pay_round", paying)
    outcome = _run(_shipped("cheaters", rounds=4))
    assert paid == [TOTAL_WEIGHT] * 4
    assert sum(_pay(outcome).values()) + outcome.manager_pay == pytest.approx(1)


@pytest.mark.parametrize("cheat", [Cheat.INVENTS, Cheat.REPLAYS, Cheat.UNTRAINED])
def test_a_cheater_earns_next_to_nothing(cheat: Cheat) -> None:
    scenario = _shipped("cheaters", rounds=4)
    classes = (_strong("honest", 6), _strong("cheater", 2, cheat))
    pay = _pay(_run(replace(scenario, classes=classes)))
    # A quarter of the pool; honest, it would get a quarter of the pay.
    assert pay["cheater"] < 0.01


def test_a_late_cheater_loses_its_honest_work_too() -> None:
    scenario = _shipped("cheaters", rounds=4)
    late = _strong("late", 2, Cheat.INVENTS, after=100)
    honest = _strong("late", 2)
    others = _strong("honest", 6)
    cheated = _run(replace(scenario, classes=(others, late)))
    straight = _run(replace(scenario, classes=(others, honest)))
    assert _pay(cheated)["late"] < 0.6 * _pay(straight)["late"]
    assert cheated.classes[1].forfeits > 0
    assert straight.classes[1].forfeits == 0


def test_a_defector_is_expelled_after_its_first_round() -> None:
    scenario = _shipped("cheaters", rounds=3)
    outcome = _run(
        replace(scenario, classes=(_strong("honest", 4), _strong("out", 1, Cheat.DEFECTS)))
    )
    honest, out = outcome.classes
    assert (out.leases, out.forfeits, honest.leases) == (1, 1, 12)


def test_designs_that_a_search_had_before_are_repeats() -> None:
    scenario = replace(_shipped("weak-miners"), designs=200)
    strong = _run(scenario).classes[0]
    assert 0 < strong.seconds[Use.REPEATED] < 10


def _ponas(*arguments: str) -> str:
    result = CliRunner().invoke(ponas, ["pool", "simulate", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def _small(folder: Path) -> str:
    path = folder / "small.toml"
    path.write_text(
        'title = "Small"\nrounds = 2\ntrain_s = 60.0\nrewards = {kind = "recorded"}\n'
        '[[classes]]\nname = "strong"\nminers = 3\nstrength = "strong"\ncandidates_per_s = 0.4\n'
        '[[classes]]\nname = "weak"\nminers = 1\nstrength = "weak"\ncandidates_per_s = 0.1\n'
    )
    return str(path)


def test_one_run_is_printed_as_a_table_and_drawn(tmp_path: Path) -> None:
    picture = tmp_path / "run.png"
    text = _ponas(_small(tmp_path), "--plot", str(picture))
    assert "Small, seed 1, rules: strategy" in text
    assert "strong" in text
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_json_stands_alone_on_stdout(tmp_path: Path) -> None:
    outcome = msgspec.json.decode(_ponas(_small(tmp_path), "--json", "--seed", "7"), type=Outcome)
    assert (outcome.title, outcome.seed, len(outcome.finals)) == ("Small", 7, 2)


def test_a_comparison_names_its_interval(tmp_path: Path) -> None:
    arguments = (_small(tmp_path), "--compare", "--seeds", "3")
    found = json.loads(_ponas(*arguments, "--json"))
    (difference,) = found["differences"]
    assert (difference["without"], difference["seeds"], len(found["runs"])) == ("off", 3, 6)
    assert difference["low"] <= difference["mean"] <= difference["high"]
    assert "of 3 seeds" in _ponas(*arguments)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing"], "no scenario is called 'nothing'"),
        (["none.toml"], "none.toml: No such file or directory"),
        (["weak-miners", "--plot", "run.txt"], "run.txt ends in none of .png, .svg, .pdf"),
        (["weak-miners", "--plot", "nowhere/run.png"], "there is no folder nowhere"),
    ],
)
def test_what_can_t_be_simulated_is_said_in_a_sentence(arguments: list[str], sentence: str) -> None:
    result = CliRunner().invoke(ponas, ["pool", "simulate", *arguments])
    assert result.exit_code == 1
    assert result.stderr == f"Error: {result.stderr[7:]}"
    assert sentence in result.stderr


def test_the_benchmark_counts_a_result_for_each_miner_and_round() -> None:
    ticks = iter(range(10))
    figure = measure_simulation(200, 2, 1, lambda: float(next(ticks)))
    assert (figure.name, figure.value, figure.unit) == ("pool-simulation", 2.0, "s")
    assert 400 <= figure.n < 500


def test_the_large_scenario_has_the_miners_and_rounds_of_the_goal() -> None:
    large = read_scenario(find_scenario("large"))
    assert (large.miners, large.rounds) == (10_000, 100)
