"""How a result came about: what must agree before two rewards may be compared."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import StrEnum


class Protocol(StrEnum):
    """How a design is trained and quantised.

    `qat`, ours: quantisation-aware training (`nas.networks.network`). `ptq`, the authors': training
    in floating point, quantised for evaluation only (`nas.networks.float_network`; arXiv
    1911.00105). `compat` is `ptq` with two habits of the authors' code that their figures contain:
    the classifier's dropout stays on during evaluation, and the reward is a mean (nas.md 1.3, 1.7).
    """

    QAT = "qat"
    PTQ = "ptq"
    COMPAT = "compat"


class RewardRule(StrEnum):
    """What the counts after the epochs are worth.

    `best`: the snapshot with most correct images, the earliest among equals. `last-five`, the
    authors': the mean of the last five epochs, or the last epoch alone if there are fewer.
    """

    BEST = "best"
    LAST_FIVE = "last-five"


REWARD_SPLITS = ("validation", "test")
"""Rewards come from validation images; from test images only to reproduce the authors' figures."""

EDITION = 2
"""Which edition of the protocols' rules this program follows, for keys of results and weights.

Raised whenever the same job comes to give another result. 1: all epochs drew from one generator,
and `qat` trained on images as they are. 2: an epoch's draws follow from its number, and `qat`
augments as `nas.training.augment` says.
"""

_PRECISIONS = {
    "cpu": "float32",
    # Dropout drawn inside a graph, and TF32, give other weights than the CPU's from the same seed.
    "cuda": "float32, convolutions in TF32, a CUDA graph a step",
}


def precision_on(device: str) -> str:
    """How this version computes trainings on a device (`cpu` or `cuda[:n]`), for result keys."""
    return _PRECISIONS[device.partition(":")[0]]


@dataclass(frozen=True)
class ResultKey:
    """Everything beside the genotype that a reward depends on.

    `data` is the content hash of the data set in hexadecimal, `seed` the seed of the training,
    `edition` that of the protocol's rules (EDITION).
    """

    protocol: Protocol
    reward_rule: RewardRule
    reward_split: str
    precision: str
    data: str
    epochs: int
    seed: int
    edition: int

    @property
    def text(self) -> str:
        """Canonical JSON: sorted names, no blanks, ASCII."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @property
    def digest(self) -> str:
        """BLAKE2b-128 of the text, in hexadecimal."""
        return hashlib.blake2b(self.text.encode(), digest_size=16).hexdigest()
