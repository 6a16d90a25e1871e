"""What training takes by the size of a design: the table behind `pool.rules.prices`.

Run from the repository root: python -m tools.work_prices --designs 3
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path
from statistics import median

import torch

from nas.bench.designs import never
from nas.bench.synthetic import write_synthetic
from nas.data import datasets
from nas.designs.design import Design, judge
from nas.designs.space import preset
from nas.jobs import Train
from nas.task import Task
from nas.training.train import fit
from pool.rules.prices import class_of, price_of

_TRAIN, _TEST = 1_350, 150
_SAMPLES = 4_000
_MAX_MACS = 25_000_000
_EPOCHS = (1, 3)


def main() -> None:
    """Train designs of each class for one and three epochs; print what an image of one costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--designs", type=int, default=3, help="of each class, space and data set")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = random.Random(options.seed)
    measured: dict[int, list[tuple[int, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        synthetic = write_synthetic(Path(folder), _TRAIN, _TEST, options.seed)
        for dataset, space in (("digits", "devnet"), (synthetic, "devnet"), (synthetic, "full")):
            task = Task(dataset, preset(space), "qat", _EPOCHS[0], "paper", 1 << 48)
            for design in _drawn(task, options.designs, rng):
                cost_ns = _image_ns(task, design, options.seed)
                measured.setdefault(class_of(design.macs), []).append((design.macs, cost_ns))
    print("| class | n | MAC an image, median | ns an image, median | by the table |")
    print("| --- | --- | --- | --- | --- |")
    for number, found in sorted(measured.items()):
        macs, cost_ns = (int(median(column)) for column in zip(*found, strict=True))
        print(f"| 4^{number} | {len(found)} | {macs:,} | {cost_ns:,} | {price_of(macs):,} |")


def _drawn(task: Task, designs: int, rng: random.Random) -> list[Design]:
    """So many designs worth training of each class."""
    found: dict[int, list[Design]] = {}
    for _ in range(_SAMPLES):
        design = judge(task.space.sample(rng), task)
        of_class = found.setdefault(class_of(design.macs), [])
        is_wanted = design.feasible and not design.dead and design.macs <= _MAX_MACS
        if is_wanted and len(of_class) < designs:
            of_class.append(design)
    return [design for of_class in found.values() for design in of_class]


def _image_ns(task: Task, design: Design, seed: int) -> float:
    """Processor time of one more epoch, its evaluation included, by training images."""
    dataset = datasets.load(task.dataset)
    seconds = []
    for epochs in _EPOCHS:
        job = Train(task, design.genotype, seed, epochs, None)
        started = time.process_time()
        fit(job, dataset, "cpu", never)
        seconds.append(time.process_time() - started)
    return (seconds[1] - seconds[0]) / (_EPOCHS[1] - _EPOCHS[0]) / dataset.info.train * 1e9


if __name__ == "__main__":
    main()
