"""The GPU measurement's dry run: as on a machine that has PyTorch and little else."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from nas.bench.machine import Machine
from tools.gpu.checks import Check
from tools.gpu.report import Measured, to_markdown
from tools.gpu.throughput import Floor, Rate

ROOT = Path(__file__).resolve().parents[1]
ABSENT = (
    *("safetensors", "nacl", "rocksdict", "structlog", "grpc", "google", "matplotlib", "onnx"),
    *("click", "msgspec", "immutables", "PIL", "torchvision"),
)

RATE = Rate(4, 20, 20, 60.0, ())
MEASURED = Measured(
    data="procedural images",
    seed=1,
    epochs=30,
    checks=(Check("one and one are two", True),),
    floor=Floor(20e12, 40e12, 10_560, 250.0),
    rates=(RATE,),
    repeatable=RATE,
    whole=replace(RATE, finished=150, offered=200, seconds=240.0),
)
MACHINE = Machine({"gpu": "one"}, {"torch": "2.11"})


def test_the_dry_run_passes_without_what_a_node_needs(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules.update(dict.fromkeys(sys.argv[1].split()));"
        "from tools.bench_gpu import main; main(['--dry-run'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, " ".join(ABSENT)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"PATH": "", "HOME": str(tmp_path)},
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "WRONG" not in done.stdout
    assert done.stdout.count("ok: ") == 7
    assert "all: " in done.stdout
    assert "| all | " in done.stdout
    # Nothing stays behind but the report, which a dry run does not write.
    assert list(tmp_path.iterdir()) == []


def test_the_page_states_rate_floor_and_what_was_cut() -> None:
    page = to_markdown(MEASURED, MACHINE, date(2026, 11, 22))
    assert "# Benchmarks on a GPU, 2026-11-22" in page
    assert "| one and one are two | yes |" in page
    assert "| every tenth | 4 | 20 of 20 | 60.0 | 20.0 | 0 |" in page
    assert "**Sustained: 37.5 candidates a minute** with 4 side by side, over 150 of 200" in page
    assert "Time was up" in page
    assert "20.0 TFLOP for the mean candidate" in page
    assert "0.50 s, 120 candidates a minute" in page
    assert "10,560 steps of 250 us for the smallest design, alone: 2.64 s" in page
    assert "Failures" not in page


def test_the_page_tells_failures_by_their_reason() -> None:
    failed = replace(RATE, failures=("the GPU has too little memory",))
    page = to_markdown(replace(MEASURED, whole=failed), MACHINE, date(2026, 11, 22))
    assert "## Failures\n\n- the GPU has too little memory\n" in page


def test_without_a_gpu_the_real_run_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from tools import bench_gpu

    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit, match="no GPU"):
        bench_gpu.main([])
