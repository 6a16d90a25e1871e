"""How much work a task asks for: computed, because what is declared is gamed (consensus C2).

Integers only. The constants are a network's, and change by upgrade: what the chain records of the
network's compute is self-reported.
"""

from __future__ import annotations

from fractions import Fraction

from node.chain.published.limits import TaskLimits
from node.chain.published.terms import Publish

_HIDDEN = 256
"""Width of the classifier's hidden layer (`docs/training.md`)."""


def compute_difficulty_ms(terms: Publish, limits: TaskLimits) -> int:
    """Milliseconds to fetch the data, train one design and evaluate it, rounded up.

    The design is the largest of the space that may be evaluated at all, since a publisher could
    choose a small witness.
    """
    evaluation = min(largest_macs(terms) * terms.test_images, limits.max_mac_images)
    duration_ms = limits.duration_ms(
        terms.training_bytes + terms.cipher_bytes,
        evaluation,
        terms.test_images,
        terms.epochs * terms.train_images,
    )
    return max(limits.min_difficulty_ms, duration_ms)


def largest_macs(terms: Publish) -> int:
    """Multiply-accumulates per image of the largest design in the space, classifier included.

    Kernels and filters at their largest, strides and pools at their smallest; padding keeps
    ceil(size / stride) positions.
    """
    values = [each.values for each in terms.ranges]
    kernel, filters = max(values[0]) * max(values[1]), max(values[2])
    strides = (max(1, min(values[3])), max(1, min(values[4])))
    pool = min(values[5])
    channels, height, width, macs = len(terms.channels), terms.height, terms.width, 0
    for _ in range(terms.layers):
        height, width = -(-height // strides[0]), -(-width // strides[1])
        macs += filters * channels * kernel * height * width
        channels, height, width = filters, -(-height // pool), -(-width // pool)
    return macs + channels * height * width * _HIDDEN + _HIDDEN * terms.classes


def score(difficulty_ms: int, reward: int) -> Fraction:
    """Milliseconds of work for a base unit: the task with the lowest is mined first.

    Fractions compare exactly, by cross-multiplication.
    """
    return Fraction(difficulty_ms, reward)
