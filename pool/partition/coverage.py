"""How much of a space subspaces cover, and how much of that more than one of them has."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from nas.designs.space import Space
from pool.partition.base import PartitionError

MAX_TESTS = 1_000_000
"""Intersections computed before the exact way is given up. Enough for 1,400 boxes that don't
meet, or for some 15 that all do."""

SAMPLES = 2_000
"""Designs drawn otherwise: `covered` is then known to some 2 % of itself."""


@dataclass(frozen=True)
class Coverage:
    """What subspaces cover together.

    `covered` are the designs in at least one subspace, as a share of the space; `overlap` those in
    two or more, as a share of the covered. If not `is_exact` both are estimates, and
    `standard_error` is that of `covered`; else it is 0.
    """

    covered: float
    overlap: float
    is_exact: bool
    standard_error: float


def coverage(space: Space, subspaces: Sequence[Space], seed: int) -> Coverage:
    """The coverage of boxes of a space: exact where they are few or hardly meet.

    Exact by inclusion and exclusion, which ends early where boxes don't meet. Otherwise estimated
    as Karp and Luby do for unions of sets (FOCS 1983), from draws that follow from `seed`: a design
    is drawn from a box, and counts the less the more boxes hold it. Other than designs drawn from
    the space, these hit boxes however small. Raises PartitionError for no subspaces, or one outside
    the space.
    """
    if not subspaces:
        raise PartitionError("without a subspace nothing is covered")
    for number, box in enumerate(subspaces):
        if box.layers != space.layers or not all(
            set(values) <= set(full)
            for values, full in zip(box.positions, space.positions, strict=True)
        ):
            raise PartitionError(f"subspace {number} does not lie in the space")
    sums = _intersections(space, subspaces)
    if sums is None:
        return _estimate(space, subspaces, random.Random(seed))
    signed = [(total if size % 2 else -total, size) for size, total in sorted(sums.items())]
    union = sum(total for total, _ in signed)
    several = sum(-total * (size - 1) for total, size in signed)
    return Coverage(union / space.size(), several / union, is_exact=True, standard_error=0.0)


class _Bits:
    """Boxes of a space as bits: a field for each position, in it a bit for each value.

    A field has one bit more than values, which stays 0: a carry into it tells that the field is
    not empty, for all fields with one addition.
    """

    def __init__(self, space: Space) -> None:
        self._fields: list[tuple[int, int]] = []
        self._place: list[dict[int, int]] = []
        start = self._ones = self._carries = 0
        for values in space.positions:
            ones = (1 << len(values)) - 1
            self._fields.append((start, ones))
            self._place.append({value: 1 << start + at for at, value in enumerate(values)})
            self._ones |= ones << start
            self._carries |= 1 << start + len(values)
            start += len(values) + 1

    def of(self, ranges: Sequence[Sequence[int]]) -> int:
        """The bits of a box given by its positions."""
        return sum(
            place[value]
            for place, values in zip(self._place, ranges, strict=True)
            for value in values
        )

    def is_empty(self, bits: int) -> bool:
        """Whether a field of an intersection has no value left."""
        return (bits + self._ones) & self._carries != self._carries

    def size(self, bits: int) -> int:
        """Designs of a box."""
        return math.prod((bits >> start & ones).bit_count() for start, ones in self._fields)


def _intersections(space: Space, subspaces: Sequence[Space]) -> Counter[int] | None:
    """For each k the designs of all intersections of k subspaces, added up; None if too many."""
    packing = _Bits(space)
    boxes = [packing.of(box.positions) for box in subspaces]
    sums: Counter[int] = Counter()
    tests = 0
    # Intersections to be met with the boxes after `last`, and of how many boxes they are.
    waiting = [(box, last, 1) for last, box in enumerate(boxes)]
    while waiting:
        bits, last, size = waiting.pop()
        sums[size] += packing.size(bits)
        tests += len(boxes) - last
        if tests > MAX_TESTS:
            return None
        for other in range(last + 1, len(boxes)):
            both = bits & boxes[other]
            if not packing.is_empty(both):
                waiting.append((both, other, size + 1))
    return sums


def _estimate(space: Space, subspaces: Sequence[Space], rng: random.Random) -> Coverage:
    packing = _Bits(space)
    boxes = [packing.of(box.positions) for box in subspaces]
    sizes = [box.size() for box in subspaces]
    bounds = list(accumulate(sizes))
    parts: list[float] = []
    several = 0.0
    for box in rng.choices(
        subspaces, cum_weights=[bound / bounds[-1] for bound in bounds], k=SAMPLES
    ):
        design = packing.of([(token,) for token in box.sample(rng).tokens])
        holders = sum(bits & design == design for bits in boxes)
        parts.append(1 / holders)
        several += (holders > 1) / holders
    mean = math.fsum(parts) / SAMPLES
    variance = math.fsum((part - mean) ** 2 for part in parts) / (SAMPLES - 1)
    all_designs = bounds[-1] / space.size()
    return Coverage(
        covered=all_designs * mean,
        overlap=several / math.fsum(parts),
        is_exact=False,
        standard_error=all_designs * math.sqrt(variance / SAMPLES),
    )
