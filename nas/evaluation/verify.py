"""Is a claimed count true? Exact evaluation that ends as soon as the claim can't be any more.

A claim of c among N images is refuted once more than N - c are wrong or more than c are right; it
stands when all N were evaluated. So the verdict is the equality of claim and count, whatever the
order of the images and the size of the batches (consensus D2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nas.data.dataset import Dataset
from nas.designs.genotype import Genotype
from nas.evaluation.evaluate import (
    batch_size,
    correct_count,
    evaluator,
    input_codes,
    logits_hash,
)
from nas.evaluation.model_format import unpack
from nas.evaluation.oracle import Codes
from nas.execution.cancel import ShouldStop, check
from nas.jobs import Counted, Refuted, Verify

LEAST_PART = 16
"""No batch is smaller than this part of what was evaluated so far: few images cost as much as many.
So a refuted claim costs at most this part more than what it takes image by image."""


@dataclass(frozen=True)
class Standing:
    """A claim of `claimed` among `size` images after `right` and `wrong` ones."""

    size: int
    claimed: int
    right: int = 0
    wrong: int = 0

    @property
    def seen(self) -> int:
        """Images evaluated."""
        return self.right + self.wrong

    @property
    def is_refuted(self) -> bool:
        """Whether the claim can't be true any more."""
        return self.wrong > self.size - self.claimed or self.right > self.claimed

    @property
    def least_to_refute(self) -> int:
        """Images that it takes at least until the claim is refuted, if it is not yet."""
        return min(self.size - self.claimed - self.wrong, self.claimed - self.right) + 1

    def after(self, images: int, right: int) -> Standing:
        """The standing after more images, of which `right` are."""
        return replace(self, right=self.right + right, wrong=self.wrong + images - right)


def next_batch(standing: Standing, largest: int) -> int:
    """Images to evaluate next: hardly more than what the claim may fall with.

    `largest` bounds the memory; it comes from the genotype, never from a peer.
    """
    least = max(standing.least_to_refute, standing.seen // LEAST_PART)
    return min(largest, least, standing.size - standing.seen)


def verify(
    job: Verify, dataset: Dataset, device: str, should_stop: ShouldStop
) -> Counted | Refuted:
    """The whole count if the claim is true, else after how many images it fell.

    Raises what `nas.evaluation.evaluate.count` raises.
    """
    genotype, split = job.count.genotype, job.count.split
    model = unpack(job.count.model, genotype, dataset.shape, dataset.classes)
    evaluate = evaluator(model, genotype, device)
    codes, labels = input_codes(dataset, split, device), dataset.split(split).labels
    standing = Standing(len(labels), job.claimed)
    parts: list[Codes] = []
    largest = _largest_batch(genotype, dataset, device)
    while not standing.is_refuted:
        if standing.seen == standing.size:
            return Counted(standing.right, standing.size, logits_hash(np.concatenate(parts)))
        check(should_stop)
        start = standing.seen
        end = start + next_batch(standing, largest)
        found = evaluate(codes[start:end])
        parts.append(found)
        standing = standing.after(end - start, correct_count(found, labels[start:end]))
    return Refuted(standing.seen)


def _largest_batch(genotype: Genotype, dataset: Dataset, device: str) -> int:
    return batch_size(genotype, dataset.shape, device.startswith("cuda"))
