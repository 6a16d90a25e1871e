"""Randomness without state: each draw is a function of the numbers that name it.

So two runs of one seed that differ in a rule meet the same subspaces, speeds and departures, and
their difference is the rule's.
"""

from __future__ import annotations

import hashlib
import math
import struct
from enum import IntEnum
from statistics import NormalDist

_NORMAL = NormalDist()
_STEPS = 1 << 53
# By how many numbers are packed.
_PACK = tuple(struct.Struct(f"<{count}Q").pack for count in range(6))


class Topic(IntEnum):
    """What a draw is for; draws for different things are independent."""

    SPEED = 1
    DEPARTURE = 2
    RETURN = 3
    SILENCE = 4
    QUALITY = 5
    CANDIDATE = 6
    IMPROVEMENT = 7
    CLAIM = 8


def bits(topic: Topic, *numbers: int) -> int:
    """An integer in [0, 2**64); `numbers`, at most four, are in that range too."""
    packed = _PACK[len(numbers) + 1](topic, *numbers)
    return int.from_bytes(hashlib.blake2b(packed, digest_size=8).digest(), "little")


def uniform(topic: Topic, *numbers: int) -> float:
    """A number in (0, 1), never 0 or 1, so that logarithms of it are finite."""
    return ((bits(topic, *numbers) >> 11) + 0.5) / _STEPS


def normal(topic: Topic, *numbers: int) -> float:
    """A standard normal number."""
    return _NORMAL.inv_cdf(uniform(topic, *numbers))


def exponential(mean: float, topic: Topic, *numbers: int) -> float:
    """A waiting time with this mean, in its unit."""
    return -mean * math.log(uniform(topic, *numbers))
