"""Regularised evolution: mutate the best of a random sample of the youngest designs.

Real, Aggarwal, Huang and Le 2019 ("Regularized Evolution for Image Classifier Architecture
Search"): a population of 100, samples of 25, the oldest dies. Their sizes suit searches of
thousands of episodes, so here the population grows with the search up to theirs, and a search may
be made longer without changing what it has done.
"""

from __future__ import annotations

import random

from nas.designs.genotype import Genotype
from nas.designs.space import Space
from nas.strategies.base import Accept, draw, in_window, mutate

WINDOW = 8
FIRST_POPULATION = 10
POPULATION = 100
SAMPLE_SHARE = 4
"""A sample is the population's size divided by this."""


class RegularisedEvolution:
    """The population is the last quarter of the search, at least 10 designs and at most 100."""

    def __init__(self, space: Space, seed: int, accept: Accept) -> None:
        self._space = space
        self._accept = accept
        self._rng = random.Random(seed)
        self._seen: set[Genotype] = set()
        self._told: list[tuple[Genotype, float]] = []

    def tells_before(self, episode: int) -> int:
        """Asks run at most WINDOW ahead of tells."""
        return in_window(WINDOW, episode)

    def ask(self) -> Genotype:
        """A uniform design at first, then a mutation of the parent that a tournament chose."""
        if len(self._told) < FIRST_POPULATION:
            design = draw(lambda: self._space.sample(self._rng), self._is_new)
        else:
            parent = self._parent()
            design = draw(lambda: mutate(self._space, parent, self._rng), self._is_new)
        self._seen.add(design)
        return design

    def tell(self, genotype: Genotype, reward: float) -> None:
        """Adds the youngest member."""
        self._told.append((genotype, reward))

    def _parent(self) -> Genotype:
        size = min(max(len(self._told) // 4, FIRST_POPULATION), POPULATION)
        sample = self._rng.sample(self._told[-size:], max(2, size // SAMPLE_SHARE))
        return max(sample, key=lambda member: member[1])[0]

    def _is_new(self, genotype: Genotype) -> bool:
        return genotype not in self._seen and self._accept(genotype)
