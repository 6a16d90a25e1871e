"""Checks and measures the engine on a GPU: `make bench-gpu PYTHON=python3`, in under 10 minutes.

`--dry-run` does the same on the CPU with next to nothing, to see that it would run.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import torch

from nas.bench import synthetic
from nas.bench.designs import by_macs, full_task, median_design, random_designs, train_job
from nas.bench.machine import Machine, this_machine
from nas.data import datasets
from nas.designs.genotype import Genotype
from nas.training.steps import compute_repeatably
from tools.gpu.checks import Check, run_checks
from tools.gpu.report import Measured, to_markdown
from tools.gpu.throughput import Rate, measure_floor, measure_rate

REPORTS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"
SEED = 1


@dataclass(frozen=True)
class Size:
    """How much is measured. Limits in seconds: of each run over a part, and over all designs."""

    device: str
    train_images: int
    test_images: int
    epochs: int
    designs: int
    lanes: tuple[int, ...]
    part_limit_s: float
    whole_limit_s: float


REAL = Size("cuda", synthetic.TRAIN, synthetic.TEST, 30, 200, (1, 2, 4, 8), 45.0, 240.0)
DRY = Size("cpu", 200, 20, 1, 10, (1, 2), 60.0, 60.0)
PART = 10
"""One in so many designs is trained with each number side by side."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Check, measure, write the page. Exits with 1 if a check does not hold."""
    options = _parse(arguments)
    size = DRY if options.dry_run else REAL
    if size.device == "cuda" and not torch.cuda.is_available():
        sys.exit("there is no GPU that PyTorch can use; --dry-run measures nothing on the CPU")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if options.data is None:
            # What is decoded here is of no use to anybody later.
            os.environ["PONAS_CACHE"] = folder
        name = options.data or synthetic.write_synthetic(
            Path(folder), size.train_images, size.test_images, SEED
        )
        checks = _check(name, size)
        if not all(check.held for check in checks):
            sys.exit("nothing is timed on a device that computes wrong")
        page = to_markdown(_measure(name, size, checks), _machine(size.device), date.today())
    print(page)
    # A dry run has no figures to keep.
    if not options.dry_run:
        path = REPORTS / f"gpu-{date.today().isoformat()}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
        print(f"written to {path}")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench_gpu", description=__doc__)
    parser.add_argument(
        "--data",
        metavar="NAME",
        help="a data set of CIFAR-10's shape (nas.data.datasets); without it a procedural stand-in",
    )
    parser.add_argument("--dry-run", action="store_true", help="on the CPU, next to nothing")
    return parser.parse_args(arguments)


def _check(name: str, size: Size) -> tuple[Check, ...]:
    short = full_task(name, "qat", epochs=min(2, size.epochs))
    design = median_design(short, size.designs, SEED)
    qat = train_job(short, design, SEED)
    ptq = train_job(replace(short, protocol="ptq"), design, SEED)
    checks = []
    for check in run_checks(qat, ptq, size.device):
        print(f"{'ok' if check.held else 'WRONG'}: {check.claim}", flush=True)
        checks.append(check)
    return tuple(checks)


def _measure(name: str, size: Size, checks: tuple[Check, ...]) -> Measured:
    task = full_task(name, "ptq", size.epochs)
    designs = by_macs(task, random_designs(task, size.designs, SEED))
    part = designs[PART // 2 :: PART]
    floor = measure_floor(task, designs, size.device, time.perf_counter)

    def rate(chosen: list[Genotype], lanes: int, limit_s: float, what: str) -> Rate:
        found = measure_rate(task, chosen, lanes, size.device, limit_s, time.perf_counter)
        print(f"{what}: {found.per_minute:.1f} candidates/min, {lanes} side by side", flush=True)
        return found

    rates = [rate(part, lanes, size.part_limit_s, "part") for lanes in size.lanes]
    best = max(rates, key=lambda found: found.per_minute).lanes
    compute_repeatably()
    repeatable = rate(part, best, size.part_limit_s, "part, repeatable")
    compute_repeatably(False)
    whole = rate(designs, best, size.whole_limit_s, "all")
    return Measured(
        _described(name), SEED, size.epochs, checks, floor, tuple(rates), repeatable, whole
    )


def _described(name: str) -> str:
    info = datasets.describe(name)
    what = "procedural images of CIFAR-10's shape" if "synthetic" in name else name
    return f"{what}, {info.train:,} for training, {info.validation:,} for validation"


def _machine(device: str) -> Machine:
    machine = this_machine()
    if device != "cuda":
        return machine
    properties = torch.cuda.get_device_properties(device)
    gpu: dict[str, str | int | float] = {
        "gpu": properties.name,
        "gpu_memory_mib": properties.total_memory >> 20,
    }
    versions = {"cuda": str(torch.version.cuda)}
    return Machine({**gpu, **machine.hardware}, {**machine.versions, **versions})


if __name__ == "__main__":
    main()
