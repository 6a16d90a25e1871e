"""What designs of one size reach, learnt from audited shares: the measure for all others.

A class holds the designs whose multiply-accumulates an image lie between two powers of four
(`pool.rules.prices.class_of`).
"""

from __future__ import annotations

import math

import msgspec

CHANCE_FACTOR = 3
"""Below three times what a guess counts, a model may as well be untrained."""

MIN_AUDITED = 10
"""A class says something once so many of its shares were audited."""

FLOOR_DEVIATIONS = 2
ODD_DEVIATIONS = 3
"""Distances from the mean of a class, in its standard deviations: below two a share must show that
it was trained; beyond three, to either side, it is out of line."""


class ClassRecord(msgspec.Struct, frozen=True, gc=False):
    """Audited shares of one class: how many, the sum of their correct counts, and of the squares.

    All counts are of the same split, so they are of one size.
    """

    shares: int = 0
    correct: int = 0
    squares: int = 0


def audited(record: ClassRecord, correct: int) -> ClassRecord:
    """The record with one more share that passed its audit."""
    return ClassRecord(record.shares + 1, record.correct + correct, record.squares + correct**2)


def floor(record: ClassRecord, size: int, classes: int) -> int:
    """The least count, of `size` images in `classes` classes, that speaks for a trained model.

    Three times chance, or two standard deviations below what audited shares of the class counted,
    whichever is more.
    """
    least = -(-CHANCE_FACTOR * size // classes)
    if record.shares < MIN_AUDITED:
        return least
    # Mean less two deviations, times the number of shares and rounded up.
    scaled = record.correct - math.isqrt(FLOOR_DEVIATIONS**2 * _spread(record))
    return max(least, -(-scaled // record.shares))


def is_out_of_line(record: ClassRecord, correct: int) -> bool:
    """Whether a count lies further than three deviations from the mean of its class."""
    if record.shares < MIN_AUDITED:
        return False
    distance = correct * record.shares - record.correct
    return distance**2 > ODD_DEVIATIONS**2 * _spread(record)


def _spread(record: ClassRecord) -> int:
    """The variance times the square of the number of shares, at least that of one image."""
    return max(record.shares**2, record.shares * record.squares - record.correct**2)
