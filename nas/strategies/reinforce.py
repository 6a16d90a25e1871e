"""REINFORCE as the paper and the authors' code have it, behind the ask/tell interface."""

from __future__ import annotations

from nas.designs.genotype import Genotype
from nas.designs.space import Space
from nas.jobs import BATCH_EPISODES
from nas.strategies.base import in_batches
from nas.strategies.search import Search


class Reinforce:
    """`nas.strategies.search`: five designs from one policy snapshot; refused designs earn 0."""

    def __init__(self, space: Space, seed: int) -> None:
        self._search = Search(space, seed)
        self._asked = self._told = 0

    def tells_before(self, episode: int) -> int:
        """All rewards of the batches before the episode's own."""
        return in_batches(BATCH_EPISODES, episode)

    def ask(self) -> Genotype:
        """The design of the next episode."""
        self._asked += 1
        return self._search.ask(self._asked - 1)

    def tell(self, genotype: Genotype, reward: float) -> None:
        """The policy learns when a batch is complete."""
        self._search.tell(self._told, reward)
        self._told += 1
