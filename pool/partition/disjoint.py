"""Boxes that cover a space without overlap, one per explorer (nas.md 6: mixed-radix boxes).

The number of an explorer is read as digits, each of which picks the values of one token. Tokens of
the architecture come before bit widths: so a search keeps the weights of an architecture to itself
and tries its number formats. The seed orders the tokens, so that rounds cut the space differently.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate, pairwise

from nas.designs.genotype import ARCHITECTURE_TOKENS, HYPERPARAMETERS
from nas.designs.space import Space
from node.chain.hashing import blake
from pool.partition.base import (
    LEAST_DESIGNS,
    IsUsable,
    PartitionError,
    Subspace,
    check_number,
    with_values,
)
from pool.rules.draws import Draws

_KEPT_SPLITS = 256


class Disjoint:
    """A partition into as many boxes as there are `explorers`, from 1.

    A part without a usable design, or with fewer than LEAST_DESIGNS, is left joined to its
    neighbour: nothing is lost. Where a box can't be split any further its explorers share it, and
    explorers beyond the last start again with the first box; both are reported as repeats. Raises
    PartitionError for fewer than one explorer.
    """

    def __init__(self, space: Space, explorers: int, seed: bytes, is_usable: IsUsable) -> None:
        if explorers < 1:
            raise PartitionError(f"a partition is for at least one explorer, not {explorers}")
        self._space, self._explorers, self._is_usable = space, explorers, is_usable
        self._order = _order(space, seed)
        # Neighbouring explorers come by the same boxes, and looking for designs takes long.
        self._parts = lru_cache(maxsize=_KEPT_SPLITS)(self._split)

    def subspace(self, number: int) -> Subspace:
        """The box of an explorer; see `pool.partition.base.Partition`."""
        check_number(number)
        lap, place = divmod(number, self._explorers)
        box, count, merged = self._space, self._explorers, 0
        for position in self._order:
            if count == 1:
                break
            parts = self._parts(box, position, count)
            merged += min(count, len(box.positions[position])) - len(parts)
            start, end, part = next(dealt for dealt in _deal(count, parts) if place < dealt[1])
            box, place, count = with_values(box, position, part), place - start, end - start
        return Subspace(box, box == self._space, merged=merged, repeat=lap * count + place)

    def _split(self, box: Space, position: int, count: int) -> tuple[tuple[int, ...], ...]:
        """The values at a position in at most `count` groups, each of which makes a good box."""
        values = box.positions[position]
        groups = min(count, len(values))
        if groups == 1:
            return (values,)
        parts: list[tuple[int, ...]] = []
        waiting: tuple[int, ...] = ()
        for start, end in pairwise(len(values) * number // groups for number in range(groups + 1)):
            waiting += values[start:end]
            if self._is_good(with_values(box, position, waiting)):
                parts.append(waiting)
                waiting = ()
        return (*parts[:-1], parts[-1] + waiting) if parts else (values,)

    def _is_good(self, box: Space) -> bool:
        return box.size() >= LEAST_DESIGNS and self._is_usable(box)


def _order(space: Space, seed: bytes) -> tuple[int, ...]:
    """Positions in the order of being split: architecture first, each kind shuffled."""
    draws = Draws(blake("ponas/pool/disjoint", seed))
    width = len(HYPERPARAMETERS)
    order: list[int] = []
    for is_bits in (False, True):
        left = [
            at
            for at in range(space.layers * width)
            if (at % width >= ARCHITECTURE_TOKENS) is is_bits
        ]
        while left:
            order.append(left.pop(draws.below(len(left))))
    return tuple(order)


def _deal(
    count: int, parts: tuple[tuple[int, ...], ...]
) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """The first explorer of each part, the one after its last, and the part's values.

    One explorer for each part, the others in proportion to the values: so boxes are of about the
    same size.
    """
    total, spare = sum(map(len, parts)), count - len(parts)
    values = accumulate(map(len, parts), initial=0)
    bounds = (number + spare * until // total for number, until in enumerate(values))
    for (start, end), part in zip(pairwise(bounds), parts, strict=True):
        yield start, end, part
