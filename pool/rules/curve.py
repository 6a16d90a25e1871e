"""The best reward of a search over its episodes, in a form that is cheap to keep and to ask."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

import msgspec


class Curve(msgspec.Struct, frozen=True, gc=False):
    """How the best reward of one search rose: the dashed lines of the paper's Figure 2.

    `episodes` results are in. After `rises[i]` of them the best was `bests[i]`; both ascend. A
    search of n results rises about ln(n) times, so a curve is short however long its search.
    """

    episodes: int = 0
    rises: tuple[int, ...] = ()
    bests: tuple[float, ...] = ()

    @classmethod
    def of(cls, rewards: Iterable[float]) -> Curve:
        """The curve of rewards in the order of their episodes; raises ValueError as `then`."""
        curve = cls()
        for reward in rewards:
            curve = curve.then(reward)
        return curve

    def then(self, reward: float) -> Curve:
        """With one more result. Raises ValueError unless the reward is in 0 to 1."""
        if not 0 <= reward <= 1:
            raise ValueError(f"a reward lies in 0 to 1, not at {reward}")
        episodes = self.episodes + 1
        if self.bests and reward <= self.bests[-1]:
            return Curve(episodes, self.rises, self.bests)
        return Curve(episodes, (*self.rises, episodes), (*self.bests, reward))

    @property
    def best(self) -> float:
        """The best reward so far; 0 before the first."""
        return self.bests[-1] if self.bests else 0.0

    def best_after(self, episodes: int) -> float:
        """The best of the first `episodes` rewards; 0 for none."""
        at = bisect_right(self.rises, episodes)
        return self.bests[at - 1] if at else 0.0
