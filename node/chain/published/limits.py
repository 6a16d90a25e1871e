"""What a network takes of published tasks: bounds, and the speeds it reckons work by."""

from __future__ import annotations

from dataclasses import dataclass

from node.chain.errors import NetworkError

MAX_LIMIT = 2**48
"""Keeps difficulties and fees far below 2**63."""
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
    `min_difficulty_ms` the least work that a task is reckoned to be.
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

    def publish_fee(self, data_bytes: int) -> int:
        """Base units that are burnt for publishing so many bytes."""
        return -(-data_bytes // 1_024) * self.publish_fee_per_kib
