"""Local search: try the neighbours of the best design in random order, move at once when one wins.

White, Nolen and Savani 2021 ("Exploring the Loss Landscape in Neural Architecture Search"), the
variant that does not wait for all neighbours. A neighbour differs in one token. When none is left
the climb is over, and another one starts from random designs.
"""

from __future__ import annotations

import random

from nas.designs.genotype import Genotype
from nas.designs.space import Space
from nas.strategies.base import Accept, draw, in_window, neighbours

WINDOW = 8


class LocalSearch:
    """The first WINDOW designs of a climb are random; the best of them is where it starts."""

    def __init__(self, space: Space, seed: int, accept: Accept) -> None:
        self._space = space
        self._accept = accept
        self._rng = random.Random(seed)
        self._seen: set[Genotype] = set()
        self._asked = self._told = 0
        self._neighbours: list[Genotype] = []
        self._height = -1.0
        self._climb_start = 0
        self._summit = -1.0

    def tells_before(self, episode: int) -> int:
        """Asks run at most WINDOW ahead of tells."""
        return in_window(WINDOW, episode)

    def ask(self) -> Genotype:
        """An untried neighbour of the best design of this climb, or a random design."""
        design = self._untried_neighbour()
        if design is None:
            if self._height >= 0:
                self._end_climb()
            design = draw(lambda: self._space.sample(self._rng), self._is_new)
        self._seen.add(design)
        self._asked += 1
        return design

    def tell(self, genotype: Genotype, reward: float) -> None:
        """Moves to the design if it is better than the best of its climb."""
        # A neighbour of the last climb that comes in late must beat that climb's best.
        is_late = self._told < self._climb_start
        self._told += 1
        if reward > (self._summit if is_late else self._height):
            self._height = reward
            self._neighbours = neighbours(self._space, genotype)
            self._rng.shuffle(self._neighbours)

    def _untried_neighbour(self) -> Genotype | None:
        while self._neighbours:
            design = self._neighbours.pop()
            if self._is_new(design):
                return design
        return None

    def _end_climb(self) -> None:
        self._summit, self._height = self._height, -1.0
        self._climb_start = self._asked

    def _is_new(self, genotype: Genotype) -> bool:
        return genotype not in self._seen and self._accept(genotype)
