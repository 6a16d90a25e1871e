"""How a design learns, epoch by epoch, and whether its exact count is the oracle's.

Run from the repository root:
python -m tools.learning_curve GENOTYPE.json --data folder:PATH --epochs 6 --sample 100
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from nas.data import datasets
from nas.designs.genotype_json import genotype_from_json
from nas.evaluation import evaluate, oracle
from nas.evaluation.model_format import unpack
from nas.jobs import Train
from nas.training import retrain
from nas.training.protocol import Protocol, RewardRule
from nas.training.snapshots import Ledger, Snapshot
from nas.training.train import fit_into


class PrintingLedger(Ledger):
    """Also prints each count as it comes."""

    def __init__(self, rule: RewardRule, images: int) -> None:
        super().__init__(rule)
        self._images = images
        self._epoch = 0
        self._started = time.perf_counter()

    def add(self, snapshot: Snapshot) -> None:
        """Enter and print."""
        super().add(snapshot)
        self._epoch += 1
        seconds = time.perf_counter() - self._started
        share = snapshot.correct / self._images
        print(f"| {self._epoch} | {snapshot.correct} | {share:.2%} | {seconds:.0f} |", flush=True)


def main() -> None:
    """Train, print a table row an epoch, count test images, compare a sample with the oracle."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("genotype", type=Path)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--protocol", default=Protocol.QAT.value)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sample", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    dataset = datasets.load(options.data)
    genotype = genotype_from_json(options.genotype.read_text("utf-8"))
    task = retrain.task_for(
        genotype, options.data, options.protocol, options.epochs, "paper", None, "validation"
    )
    ledger = PrintingLedger(task.rule, dataset.info.validation)
    print("| epoch | correct | of validation | seconds |\n| --- | --- | --- | --- |")
    job = Train(task, genotype, options.seed, options.epochs, None)
    fit_into(ledger, job, dataset, "cpu", lambda: False)
    chosen, _ = ledger.result()
    model = unpack(chosen.model, genotype, dataset.shape, dataset.classes)
    images = evaluate.input_codes(dataset, "test", "cpu")
    started = time.perf_counter()
    found = evaluate.logits(model, genotype, images, lambda: False)
    seconds = time.perf_counter() - started
    correct = evaluate.correct_count(found, dataset.test.labels)
    print(f"\ntest: {correct} of {len(images)}, counted in {seconds:.2f} s")
    sample = images[: options.sample].numpy().astype(np.int64)
    slow = np.stack([oracle.image_logits(model, genotype, image) for image in sample])
    same = np.array_equal(slow, found[: options.sample])
    labels = dataset.test.labels[: options.sample]
    print(
        f"oracle: {evaluate.correct_count(slow, labels)} of {options.sample} correct, "
        f"exact: {evaluate.correct_count(found[: options.sample], labels)}; "
        f"all logits equal: {same}"
    )


if __name__ == "__main__":
    main()
