"""Numbers with a score each, the one with the highest score always at hand."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from immutables import Map

Entry = tuple[float, int]
"""The score with its sign turned, and the number: the least entry is the best."""

LEVELS = 4

# Each entry of a level is the best of 16 of the level below.
_BITS = 4
_BELOW = range(1 << _BITS)


class Ranking(msgspec.Struct, frozen=True, gc=False):
    """A tournament: a change is played again against 15 others on each level, whatever its size.

    `levels` go from the numbers themselves up to the best of every 4,096 of them. Numbers are not
    negative; they are best small, counted from 0.
    """

    levels: tuple[Map[int, Entry], ...] = (Map(),) * LEVELS

    def __len__(self) -> int:
        return len(self.levels[0])

    def __contains__(self, number: object) -> bool:
        return number in self.levels[0]

    def __iter__(self) -> Iterator[int]:
        return iter(self.levels[0])

    @property
    def best(self) -> int:
        """The number with the highest score, of equal ones the lowest. Raises ValueError if there
        is none."""
        return min(self.levels[-1].values())[1]

    def score(self, number: int) -> float:
        """The score of a number. Raises KeyError for one that is not here."""
        return -self.levels[0][number][0]

    def ranked(self, number: int, score: float) -> Ranking:
        """With a number, or with another score for it."""
        return self._changed(number, (-score, number))

    def without(self, number: int) -> Ranking:
        """Without a number, whether it was here or not."""
        return self._changed(number, None) if number in self else self

    def _changed(self, at: int, entry: Entry | None) -> Ranking:
        levels = []
        for level in self.levels:
            changed = level.delete(at) if entry is None else level.set(at, entry)
            levels.append(changed)
            at >>= _BITS
            below = (changed.get((at << _BITS) + place) for place in _BELOW)
            entry = min((each for each in below if each is not None), default=None)
        return Ranking(tuple(levels))
