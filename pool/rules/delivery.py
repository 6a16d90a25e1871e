"""How fast a miner delivers, and how many episodes of a search the manager may count on from it.

What a miner claims of its speed is never asked. A lease's budget follows the measured speed with a
dead-band, as pools adapt the difficulty of shares, so that it does not change with every result.
"""

from __future__ import annotations

import math

import msgspec

from nas.jobs import BATCH_EPISODES

MEMORY_RESULTS = 32
"""Results that a measurement looks back on: older ones count for less than 1/e."""

MIN_BUDGET = BATCH_EPISODES
"""Episodes that make a lease worth while: a search with fewer never learns from one."""

MAX_BUDGET = 10_000
"""Results of one search; then it is closed, so that handing it on stays cheap."""

MIN_DEAD_BAND = 0.15
"""A budget never follows changes of speed that are smaller, however well they are measured."""


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """What a miner delivered of late: `results` candidates in `measured_ms`, older ones faded.

    Both are sums in which whatever is MEMORY_RESULTS results old counts for 1/e. Time without any
    result counts too: silence is slow.
    """

    results: float = 0.0
    measured_ms: float = 0.0

    def then(self, results: int, elapsed_ms: int) -> Delivery:
        """With `results` more candidates after another `elapsed_ms` at work.

        A clock that went back measures no time. Raises ValueError for fewer than no results.
        """
        if results < 0:
            raise ValueError(f"a miner can't deliver {results} results")
        fade = math.exp(-results / MEMORY_RESULTS)
        return Delivery(self.results * fade + results, self.measured_ms * fade + max(0, elapsed_ms))

    def episodes_in(self, duration_ms: int) -> float:
        """Candidates to be expected in that time; infinite if none ever took any."""
        if self.results == 0 or duration_ms <= 0:
            return 0.0
        return self.results * duration_ms / self.measured_ms if self.measured_ms else math.inf


def episode_budget(delivery: Delivery, remaining_ms: int) -> int:
    """Episodes of a new lease: what the rest of the phase has room for, within the two bounds.

    A miner that is not measured yet gets MIN_BUDGET, and is measured by it.
    """
    return int(min(MAX_BUDGET, max(MIN_BUDGET, delivery.episodes_in(remaining_ms))))


def adapted_budget(last: int, results_since: int, wanted: int) -> int:
    """The budget of a miner's lease in the next round: `wanted`, or the last one in its dead-band.

    `results_since` were delivered since the last change. The mean of so few is off by 1/sqrt(n),
    so the band is that wide, and at least MIN_DEAD_BAND: the better measured, the sooner it
    follows. Budgets are positive. Raises ValueError for others.
    """
    if min(last, wanted) < 1:
        raise ValueError(f"budgets are positive, not {last} and {wanted}")
    if wanted == last:
        return last
    band = max(MIN_DEAD_BAND, 1 / math.sqrt(max(1, results_since)))
    ratio = max(last, wanted) / min(last, wanted)
    return wanted if ratio > 1 + band else last
