"""An executor that counts at once: it reads the count in the model's last bytes.

So a manager under load is measured, and not the evaluation of models, which has a figure of its
own (`exact`).
"""

from __future__ import annotations

from typing import Any

from nas.data.datasets import describe
from nas.designs.genotype import Genotype
from nas.evaluation.model_format import model_length
from nas.jobs import Count, Counted, JobFailed
from node.chain.hashing import blob_hash

_COUNT_BYTES = 4


def model_that_counts(dataset: str, genotype: Genotype, correct: int, mark: bytes) -> bytes:
    """Bytes of the length of the design's model that `InstantCounter` counts as `correct`.

    `mark` makes models differ that count the same.
    """
    info = describe(dataset)
    length = model_length(genotype, info.shape, info.classes)
    end = mark + correct.to_bytes(_COUNT_BYTES, "little")
    return bytes(length - len(end)) + end


class InstantCounter:
    """Implements `nas.jobs.Executor` for `Count` alone."""

    async def run(self, job: Any) -> Any:
        if not isinstance(job, Count):
            raise JobFailed(f"only models are counted here, and this is a {type(job).__name__}")
        info = describe(job.dataset)
        correct = int.from_bytes(job.model[-_COUNT_BYTES:], "little")
        return Counted(correct, info.validation, blob_hash(job.model))

    async def close(self) -> None:
        """Holds nothing."""
