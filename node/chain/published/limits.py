"""What a network takes of published tasks: bounds, and the speeds it reckons work by."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from node.chain.errors import NetworkError
from node.chain.hashing import MAX_INT
from node.chain.published.terms import MAX_EPOCHS

MAX_LIMIT = 2**48
_TRAINING_PASSES = 3
"""Multiply-accumulates of a training step per evaluation of its image: forward and twice back."""
_LEAST = {
    "max_data_bytes": 1,
    "max_mac_images": 1,
    "min_test_images": 1,
    "publish_fee_per_kib": 0,
    "lifetime_rounds": 1,
    "download_bytes_per_s": 1,
    "evaluation_macs_per_s": 1,
    "training_macs_per_s": 1,
    "min_difficulty_ms": 1,
}


@dataclass(frozen=True)
class TaskLimits:
    """The numbers for published tasks of a network.

    `max_data_bytes` bounds everything that full nodes keep for a task (DATA_MAX of consensus H),
    `max_mac_images` the multiply-accumulates per image times test images of a claim (EVAL_MAX).
    Fewer than `min_test_images` let the best of several equal models win by luck (consensus D1).
    `publish_fee_per_kib` is burnt for each 1,024 bytes of data. A task is expired `lifetime_rounds`
    after it was queued. The speeds are those that one machine is reckoned with, and
    `min_difficulty_ms` the least work that a task is reckoned to be. No task may come to 2**63 ms,
    or cost as many base units to publish.
    """

    max_data_bytes: int
    max_mac_images: int
    min_test_images: int
    publish_fee_per_kib: int
    lifetime_rounds: int
    download_bytes_per_s: int
    evaluation_macs_per_s: int
    training_macs_per_s: int
    min_difficulty_ms: int

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if not least <= getattr(self, name) <= MAX_LIMIT:
                raise NetworkError(f"tasks.{name}: from {least} to {MAX_LIMIT}")
        hardest_ms = self.duration_ms(
            self.max_data_bytes,
            self.max_mac_images,
            self.min_test_images,
            MAX_EPOCHS * self.max_data_bytes,
        )
        if hardest_ms > MAX_INT:
            raise NetworkError("tasks: at these speeds a task can take 2**63 ms or more")
        if self.publish_fee(self.max_data_bytes) > MAX_INT:
            raise NetworkError("tasks.publish_fee_per_kib: all data must cost less than 2**63")

    def duration_ms(
        self, data_bytes: int, evaluation_macs: int, test_images: int, trained_images: int
    ) -> int:
        """Milliseconds, rounded up, to fetch data, evaluate a design on all test images and train
        it on so many, each epoch's counted."""
        training_macs = _TRAINING_PASSES * trained_images * evaluation_macs
        seconds = (
            Fraction(data_bytes, self.download_bytes_per_s)
            + Fraction(evaluation_macs, self.evaluation_macs_per_s)
            + Fraction(training_macs, test_images * self.training_macs_per_s)
        )
        return -(-1_000 * seconds // 1)

    def publish_fee(self, data_bytes: int) -> int:
        """Base units that are burnt for publishing so many bytes."""
        return -(-data_bytes // 1_024) * self.publish_fee_per_kib
