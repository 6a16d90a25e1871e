"""The benchmarks: tiny runs of each, and what is printed and written of them."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.genotype import Genotype, Layer
from nas.model_format import IntegerModel
from nas.oracle import image_logits
from tools.benchmarks import command
from tools.benchmarks.blocks import measure_blocks
from tools.benchmarks.counting import float_logits, measure_exact
from tools.benchmarks.figures import Figure, describe_spread, format_value, rate_figure, seconds_of
from tools.benchmarks.fpga import measure_fpga
from tools.benchmarks.machine import Machine, cpu_model, this_machine
from tools.benchmarks.processes import measure_idle, measure_memory
from tools.benchmarks.report import to_markdown
from tools.benchmarks.search import measure_controller
from tools.benchmarks.synthesis import measure_synthesis
from tools.benchmarks.training import measure_train
from tools.synthesise_luts import ENGINES

CLOCK = time.perf_counter
MACHINE = Machine({"cpu": "a processor", "load_1min": 0.1}, {"python": "3.11.0"})
FIGURE = Figure("speed", 1234.5, "things/s", 3, 7, "one value", "light")
FIELDS = {"name", "value", "unit", "n", "seed", "spread", "floor", "hardware", "versions"}

TINY: dict[str, tuple[Callable[[], tuple[Figure, ...]], tuple[str, ...]]] = {
    "fpga": (lambda: measure_fpga(2, 3, 1, CLOCK), ("fpga",)),
    "synthesis": (
        lambda: measure_synthesis([(4, 4)], ENGINES[:1], lambda _: {"m4_4": 24, "e0": 76}),
        ("fpga_multipliers", "fpga_error"),
    ),
    "controller": (lambda: measure_controller(2, 1, 1, CLOCK), ("controller_batch_2",)),
    "train": (lambda: measure_train(2, 1, 1, CLOCK), ("train", "train_accuracy")),
    "exact": (lambda: measure_exact(2, 1, CLOCK), ("exact", "exact_float32")),
    "blocks": (lambda: measure_blocks(2, 2, 1, CLOCK), ("blocks",)),
    "memory": (lambda: measure_memory(1, 1), ("memory",)),
    "idle": (lambda: measure_idle(0.5, 0.5, CLOCK), ("idle_cpu", "idle_memory")),
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_every_benchmark_has_a_tiny_run_here() -> None:
    assert set(TINY) == set(command.BENCHMARKS)


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
    (_, first), (_, again), (_, other) = (measure_train(2, 1, seed, CLOCK) for seed in (1, 1, 2))
    assert first == again
    assert first.value != other.value


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
    assert "'speed' is none of fpga, synthesis, controller" in capsys.readouterr().err


def test_the_float_pass_computes_the_network() -> None:
    # Formats so wide, and weights so round, that the exact evaluation never rounds either.
    layer = Layer(3, 3, 4, 2, 1, 2, 15, 5, 2, 0)
    genotype, image = Genotype((layer,)), torch.arange(64.0).reshape(1, 1, 8, 8) - 20
    rng = np.random.default_rng(1)
    model = IntegerModel(
        (rng.integers(-2, 2, (4, 1, 3, 3)),),
        (np.zeros(4, np.int64),),
        rng.integers(-1, 2, (256, 4 * 2 * 4)) << 15,
        np.zeros(256, np.int64),
        rng.integers(-9, 9, (10, 256)),
        np.zeros(10, np.int64),
    )
    found = float_logits(
        [torch.from_numpy(array).float() for array in model.arrays], genotype, image
    )
    exact = image_logits(model, genotype, image[0].long().numpy())
    assert torch.allclose(found[0] / 2**15, torch.from_numpy(exact).float())
