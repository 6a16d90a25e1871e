"""The engine's benchmarks by name, at the sizes in which their figures are stated."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from nas.bench.controller import measure_controller
from nas.bench.designs import full_task, random_designs
from nas.bench.exact import measure_exact
from nas.bench.figures import Figure
from nas.bench.fpga import measure_fpga
from nas.bench.memory import measure_memory
from nas.bench.overhead import measure_overhead
from nas.bench.synthetic import TEST, TRAIN, write_synthetic
from nas.bench.train import measure_train
from nas.bench.validate import measure_validate
from nas.designs.genotype import Genotype
from nas.designs.genotype_json import genotype_from_json

SEED = 1
SYNTHETIC = "synthetic"
"""The name of the procedural images, drawn for the benchmark and dropped after it."""

WALKED = 16
"""Claims of a round that are evaluated at most, on every network that comes with PoNAS."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """What may be chosen for `train`: its data, and a file of designs instead of random ones.

    The file holds a JSON list of genotypes (`nas.designs.genotype_json`).
    """

    data: str = SYNTHETIC
    designs: Path | None = None


Benchmark = Callable[[Choice], Figure]

_clock = time.perf_counter


def _train(choice: Choice) -> Figure:
    # One in 50 of CIFAR-10's images, for two epochs: steps cost what they always do, and ours
    # is spared none of the evaluations that it leaves out of a long run.
    with _data(choice.data, TRAIN // 50, TEST // 50) as name:
        task = dataclasses.replace(full_task(name, "ptq", epochs=2), reward_split="test")
        if choice.designs is not None:
            return measure_train(task, read_designs(choice.designs), 2, None, _clock)
        return measure_train(task, random_designs(task, 20, SEED), 2, SEED, _clock)


def _exact(_: Choice) -> Figure:
    with _data(SYNTHETIC, TRAIN // 100, TEST) as name:
        task = full_task(name, "ptq", epochs=1)
        return measure_exact(task, designs=41, images=500, seed=SEED, clock=_clock)


def _validate(_: Choice) -> Figure:
    with _data(SYNTHETIC, TRAIN // 100, TEST) as name:
        return measure_validate(name, WALKED, SEED)


def _memory(_: Choice) -> Figure:
    with _data(SYNTHETIC, TRAIN, TEST) as name:
        return measure_memory(full_task(name, "ptq", epochs=1), SEED)


BENCHMARKS: Mapping[str, Benchmark] = MappingProxyType(
    {
        "fpga": lambda _: measure_fpga(parts=10, designs=400, seed=SEED, clock=_clock),
        "controller": lambda _: measure_controller(updates=15, seed=SEED, clock=_clock),
        # Before those that write images: a synced write would wait for theirs to reach the disk.
        "overhead": lambda _: measure_overhead(episodes=100, seed=SEED, clock=_clock),
        "train": _train,
        "exact": _exact,
        "memory": _memory,
        "validate": _validate,
    }
)


def read_designs(file: Path) -> list[Genotype]:
    """The designs of a file. Raises ValueError, or OSError, with a sentence for people."""
    try:
        objects = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is no JSON: {error}") from None
    if not isinstance(objects, list) or not objects:
        raise ValueError(f"{file} holds no list of designs")
    return [genotype_from_json(json.dumps(each)) for each in objects]


@contextmanager
def _data(name: str, train: int, test: int) -> Iterator[str]:
    """The name of a data set; procedural images exist, with their cache, only inside."""
    if name != SYNTHETIC:
        yield name
        return
    before = os.environ.get("PONAS_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        # Worker processes look there too.
        os.environ["PONAS_CACHE"] = folder
        try:
            yield write_synthetic(Path(folder), train, test, SEED)
        finally:
            if before is None:
                del os.environ["PONAS_CACHE"]
            else:
                os.environ["PONAS_CACHE"] = before
