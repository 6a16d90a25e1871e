"""What designs of one size reach, learnt from audited shares: the measure for all others.

A class holds the designs whose multiply-accumulates an image lie between two powers of four
(`pool.rules.prices.class_of`).
"""

from __future__ import annotations

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


def is_below_floor(record: ClassRecord, correct: int, size: int, classes: int) -> bool:
    """Whether a count, of `size` images in `classes` classes, does not speak for a trained model.

    It lies below three times chance, or further than two standard deviations below what audited
    shares of the class counted.
    """
    if correct * classes < CHANCE_FACTOR * size:
        return True
    distance = correct * record.shares - record.correct
    return distance < 0 and _is_beyond(record, distance, FLOOR_DEVIATIONS)


def is_out_of_line(record: ClassRecord, correct: int) -> bool:
    """Whether a count lies further than three deviations from the mean of its class."""
    distance = correct * record.shares - record.correct
    return _is_beyond(record, distance, ODD_DEVIATIONS)


def _is_beyond(record: ClassRecord, distance: int, deviations: int) -> bool:
    """Whether a distance from the mean, times the number of shares, is beyond so many deviations.

    The deviation is that of the class, and at least one image.
    """
    shares = record.shares
    if shares < MIN_AUDITED:
        return False
    spread = max(shares**2, shares * record.squares - record.correct**2)
    return distance**2 > deviations**2 * spread
