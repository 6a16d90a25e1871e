"""Random search: the baseline that every other strategy has to beat."""

from __future__ import annotations

import random

from nas.designs.genotype import Genotype
from nas.designs.space import Space
from nas.strategies.base import Accept, draw, in_window

WINDOW = 64


class UniformSearch:
    """Uniform among the accepted designs of the space, none of them twice while others are left."""

    def __init__(self, space: Space, seed: int, accept: Accept) -> None:
        self._space = space
        self._accept = accept
        self._rng = random.Random(seed)
        self._seen: set[Genotype] = set()

    def tells_before(self, episode: int) -> int:
        """It learns nothing, so the window only bounds what a search has under way."""
        return in_window(WINDOW, episode)

    def ask(self) -> Genotype:
        """The design of the next episode."""
        design = draw(
            lambda: self._space.sample(self._rng),
            lambda genotype: genotype not in self._seen and self._accept(genotype),
        )
        self._seen.add(design)
        return design

    def tell(self, genotype: Genotype, reward: float) -> None:
        """Changes nothing."""
