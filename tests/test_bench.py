"""The benchmarks: tiny runs of each, and what is printed and written of them."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from nas.bench.authors import train as train_as_authors
from nas.bench.controller import measure_controller
from nas.bench.designs import full_task, macs, median_design, random_designs
from nas.bench.exact import measure_exact
from nas.bench.figures import Figure, describe_spread, format_value, rate_figure, seconds_of
from nas.bench.fpga import measure_fpga
from nas.bench.machine import Machine, cpu_model, this_machine
from nas.bench.memory import measure_memory
from nas.bench.overhead import measure_overhead
from nas.bench.registry import BENCHMARKS as ENGINE
from nas.bench.registry import WALKED, read_designs
from nas.bench.train import measure_train
from nas.bench.validate import PROFILES, measure_validate
from nas.data.datasets import load
from nas.designs.genotype_json import genotype_to_object
from node.bench.gossip import Crowd, measure_gossip
from node.bench.registry import BENCHMARKS as NODE
from node.bench.stall import measure_stall
from node.bench.sync import measure_sync
from node.bench.transfers import measure_transfers
from node.chain.params import DEVNET
from node.cli.bench import NAMES, NODE_NAMES
from node.cli.client import main as ponas
from tools.benchmarks import command
from tools.benchmarks.processes import measure_idle
from tools.benchmarks.report import to_markdown
from tools.benchmarks.synthesis import measure_synthesis
from tools.benchmarks.training import measure_candidate
from tools.synthesise_luts import ENGINES

CLOCK = time.perf_counter
MACHINE = Machine({"cpu": "a processor", "load_1min": 0.1}, {"python": "3.11.0"})
FIGURE = Figure("speed", 1234.5, "things/s", 3, 7, "one value", "light")
FIELDS = {"name", "value", "unit", "n", "seed", "spread", "floor", "hardware", "versions"}

TASK = full_task("digits", "ptq", epochs=1)

TINY: dict[str, tuple[Callable[[], tuple[Figure, ...]], tuple[str, ...]]] = {
    "fpga": (lambda: (measure_fpga(2, 3, 1, CLOCK),), ("fpga",)),
    "controller": (lambda: (measure_controller(1, 1, CLOCK),), ("controller",)),
    "train": (
        lambda: (measure_train(TASK, random_designs(TASK, 2, 1), 1, 1, CLOCK),),
        ("train",),
    ),
    "exact": (lambda: (measure_exact(TASK, 3, 20, 1, CLOCK),), ("exact",)),
    "overhead": (lambda: (measure_overhead(2, 1, CLOCK),), ("overhead",)),
    "validate": (lambda: (measure_validate("digits", 2, 1),), ("validate",)),
    "memory": (lambda: (measure_memory(TASK, 1),), ("memory",)),
    "synthesis": (
        lambda: measure_synthesis([(4, 4)], ENGINES[:1], lambda _: {"m4_4": 24, "e0": 76}),
        ("fpga_multipliers", "fpga_error"),
    ),
    "candidate": (lambda: measure_candidate(2, 1, 1, CLOCK), ("candidate", "candidate_accuracy")),
    "gossip": (lambda: (measure_gossip(Crowd(12, 4, 100), 1, 1),), ("gossip",)),
    "stall": (lambda: (measure_stall(2, 20, 40, 1, CLOCK),), ("stall",)),
    "sync": (lambda: (measure_sync(1, 3, 1, CLOCK),), ("sync",)),
    "transfers": (lambda: (measure_transfers(2, 1_500, 1, CLOCK),), ("transfers",)),
    "idle": (lambda: measure_idle(0.5, 0.5, CLOCK), ("idle_cpu", "idle_memory")),
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_every_benchmark_has_a_tiny_run_here() -> None:
    # Those of the pool bring up whole pools, which have tests of their own.
    assert set(TINY) | {"manager", "pool-simulation"} == set(command.BENCHMARKS)


@pytest.mark.parametrize("name", TINY)
def test_a_benchmark_gives_positive_figures(name: str) -> None:
    measure, expected = TINY[name]
    figures = measure()
    assert tuple(figure.name for figure in figures) == expected
    for figure in figures:
        assert figure.value > 0
        assert figure.n > 0
        assert figure.unit
        assert figure.floor
        assert figure.to_object(MACHINE).keys() == FIELDS


def test_the_same_seed_trains_the_same_designs() -> None:
    (_, first), (_, again), (_, other) = (
        measure_candidate(2, 1, seed, CLOCK) for seed in (1, 1, 2)
    )
    assert first == again
    assert first.value != other.value


def test_liars_cost_no_more_than_the_walk_allows() -> None:
    figure = measure_validate("digits", 2, 1)
    assert figure.value == 2.0
    assert all(f"{name} " in figure.spread for name in PROFILES)
    assert DEVNET.max_walked == WALKED


def test_seconds_are_those_of_the_clock_and_rates_follow() -> None:
    ticks = itertools.count(10.0, 0.5)
    assert seconds_of(lambda: None, lambda: next(ticks)) == 0.5
    figure = rate_figure("fpga", "designs/s", 10, [0.5, 1.0, 0.25], 1, "")
    assert (figure.value, figure.n) == (20.0, 30)


def test_spread_and_values_are_short() -> None:
    assert describe_spread([1.0]) == "one value"
    assert describe_spread([3, 1, 2, 5, 4]) == "lowest 1, middle half 2 to 4, highest 5"
    assert [format_value(value) for value in (2863.37, 99.94, 0.01234)] == [
        "2,863",
        "99.9",
        "0.0123",
    ]


def test_the_machine_is_described() -> None:
    assert cpu_model(["processor\t: 0", "model name\t: A 1234", "model name\t: B"]) == "A 1234"
    machine = this_machine()
    assert machine.hardware.keys() == {"cpu", "cores", "memory_mib", "load_1min"}
    assert {"python", "torch", "ponas"} <= machine.versions.keys()


def test_the_page_holds_everything_needed_to_repeat() -> None:
    page = to_markdown([FIGURE], MACHINE, date(2026, 11, 22))
    assert page.startswith("# Benchmarks on the CPU, 2026-11-22\n")
    assert "cpu a processor, load_1min 0.1" in page
    assert "python 3.11.0" in page
    assert "| speed | 1,234 | things/s | 3 | 7 | one value | light |\n" in page


@pytest.fixture
def _one_benchmark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(command, "BENCHMARKS", {"speed": lambda: (FIGURE,)})
    monkeypatch.setattr(command, "REPORTS", tmp_path / "benchmarks")


@pytest.mark.usefixtures("_one_benchmark")
def test_named_benchmarks_are_printed_but_not_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command.main(["speed", "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed.keys() == FIELDS
    assert printed["value"] == 1234.5
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_one_benchmark")
def test_a_run_of_all_is_written_and_says_where(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command.main([])
    (page,) = (tmp_path / "benchmarks").iterdir()
    assert "| speed | 1,234 |" in page.read_text()
    output = capsys.readouterr()
    assert "1,234" in output.out
    assert page.name in output.err.replace("\n", "")


def test_an_unknown_name_is_refused_with_the_known_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        command.main(["speed"])
    assert "'speed' is none of fpga, controller, overhead" in capsys.readouterr().err


def test_the_client_knows_all_benchmarks() -> None:
    assert set(NAMES) == set(ENGINE)
    assert set(NODE_NAMES) == set(NODE)


def test_the_client_measures_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.bench.registry.BENCHMARKS", {"pool-simulation": lambda: FIGURE})
    result = CliRunner().invoke(ponas, ["bench", "pool-simulation", "--json"])
    assert json.loads(result.stdout)["value"] == 1234.5


def test_the_client_prints_one_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.bench.registry.BENCHMARKS", {"fpga": lambda _: FIGURE})
    result = CliRunner().invoke(ponas, ["bench", "fpga", "--json"])
    printed = json.loads(result.stdout)
    assert printed.keys() == FIELDS
    assert (printed["name"], printed["value"]) == ("speed", 1234.5)


def test_the_client_refuses_designs_for_other_benchmarks(tmp_path: Path) -> None:
    file = tmp_path / "designs.json"
    file.write_text("[]")
    result = CliRunner().invoke(ponas, ["bench", "fpga", "--designs", str(file)])
    assert result.exit_code == 2
    assert "for train only" in result.stderr


@pytest.mark.parametrize(
    ("text", "reason"),
    [("{", "no JSON"), ("{}", "no list of designs"), ('[{"layers": 3}]', "list")],
)
def test_files_that_hold_no_designs(text: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "designs.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=reason):
        read_designs(file)


def test_designs_are_read_as_they_were_written(tmp_path: Path) -> None:
    file, designs = tmp_path / "designs.json", random_designs(TASK, 3, 1)
    file.write_text(json.dumps([genotype_to_object(design) for design in designs]))
    assert read_designs(file) == designs


def test_the_median_design_is_in_the_middle() -> None:
    counts = sorted(macs(TASK, design) for design in random_designs(TASK, 9, 1))
    assert macs(TASK, median_design(TASK, 9, 1)) == counts[4]


def test_the_authors_loop_repeats_itself() -> None:
    design, dataset = random_designs(TASK, 1, 1)[0], load("digits")
    accuracies = {train_as_authors(design, dataset, 1, seed) for seed in (3, 3)}
    assert len(accuracies) == 1
    assert 0 <= accuracies.pop() <= 1
