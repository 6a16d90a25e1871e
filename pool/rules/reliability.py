"""What the pool depends on, and who takes over if it leaves (paper section 4.3).

"Once the standard deviation value amount these miners raise, it is necessary for the mining pool
manager to prepare backup miners to continue the searching task if any high reward miners leave the
pool. The backup miners can be selected from the miners who returns low reward." The paper gives no
numbers; those here are constants with their reasons. It also asks "whether the overall performance
of the mining pool depends on any individual miners": the second trigger.

All functions here are pure. `assess` looks at every search, which takes some 30 ms for 10,000
miners: it is meant for each heartbeat interval, not for each result.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Set
from enum import StrEnum

import msgspec

from nas.jobs import BATCH_EPISODES
from pool.rules.curve import Curve

MIN_EPISODES = BATCH_EPISODES
"""Results before a search is judged: one batch, for before that its controller has not learnt."""

RISE = 1.25
"""Sigma has risen when it is so many times what it was a quarter of the episodes ago. It falls and
flattens in an ordinary round (Figure 4); over a few miners it wavers by a tenth or two."""

MIN_SIGMA = 0.01
"""Below this, one point of accuracy, the miners are equally good whichever way sigma moves."""

CLOSE = 0.01
"""Miners this close to the pool's best carry it together, like S1 and S4 in Figure 3."""

FEW_CARRIERS = 3
"""So few carry the pool alone. A number and no share: if each of them leaves with one chance in
five, all three do in 0.8 % of the rounds, however many others there are."""


class Trigger(StrEnum):
    """Why backups are prepared."""

    SIGMA_ROSE = "sigma-rose"
    FEW_CARRY = "few-carry"


class HighReward(msgspec.Struct, frozen=True):
    """The high-reward miners' curves, and the median of all bests after `episodes` results."""

    episodes: int
    median: float
    curves: Mapping[bytes, Curve]


class Finding(msgspec.Struct, frozen=True):
    """The numbers behind a decision, for the record of it.

    `sigma` is the population standard deviation of the `high` high-reward miners' bests after
    `episodes` results, `earlier_sigma` that of the same miners after `earlier_episodes`. `median`
    is that of the bests of all miners with so many results. Of the `judged` miners, `carriers` are
    CLOSE to `best`, the pool's.
    """

    episodes: int
    sigma: float
    earlier_episodes: int
    earlier_sigma: float
    median: float
    best: float
    judged: int
    high: int
    carriers: int
    triggers: tuple[Trigger, ...]


class Assessment(msgspec.Struct, frozen=True):
    """Who is how good, by key: `high` and `carriers` best first, `low` worst first."""

    finding: Finding
    high: tuple[bytes, ...]
    low: tuple[bytes, ...]
    carriers: tuple[bytes, ...]


def sigma(curves: Mapping[bytes, Curve], episodes: int) -> float:
    """Population standard deviation of the bests after `episodes` results; 0 for no curves."""
    bests = [curve.best_after(episodes) for curve in curves.values()]
    if not bests:
        return 0.0
    # Exact sums, so that the order of the miners makes no difference.
    mean = math.fsum(bests) / len(bests)
    return math.sqrt(math.fsum((best - mean) ** 2 for best in bests) / len(bests))


def high_reward(curves: Mapping[bytes, Curve]) -> HighReward | None:
    """Who is high-reward, and after how many episodes e that is said.

    High-reward miners have a best after e results of at least the median, and e is the smallest
    number of results among them. Each depends on the other: e starts at the smallest number of
    results of all and rises to that of the high-reward miners until both hold, with the median over
    those who have e results. So a slow miner with low rewards does not hold the comparison back.
    Miners with fewer than MIN_EPISODES results are left out; None without any others.
    """
    able = {key: curve for key, curve in curves.items() if curve.episodes >= MIN_EPISODES}
    if not able:
        return None
    episodes = min(curve.episodes for curve in able.values())
    while True:
        bests = {
            key: curve.best_after(episodes)
            for key, curve in able.items()
            if curve.episodes >= episodes
        }
        median = statistics.median(bests.values())
        high = {key: able[key] for key, best in bests.items() if best >= median}
        smallest = min(curve.episodes for curve in high.values())
        if smallest == episodes:
            return HighReward(episodes, median, high)
        episodes = smallest


def assess(curves: Mapping[bytes, Curve]) -> Assessment | None:
    """Judge the searches of the connected strong miners; None until one has MIN_EPISODES results.

    Carriers are all whose best so far is CLOSE to the best of all: a miner that came late to a
    high reward may carry the pool without being high-reward after e episodes. Low-reward miners
    are those judged that are neither.
    """
    found = high_reward(curves)
    if found is None:
        return None
    judged = {key: curve.best for key, curve in curves.items() if curve.episodes >= MIN_EPISODES}
    best = max(judged.values())
    by_best = sorted(judged, key=lambda key: (-judged[key], key))
    carriers = tuple(key for key in by_best if judged[key] >= best - CLOSE)
    neither = judged.keys() - found.curves.keys() - set(carriers)
    earlier = found.episodes - max(1, found.episodes // 4)
    now, before = sigma(found.curves, found.episodes), sigma(found.curves, earlier)
    finding = Finding(
        episodes=found.episodes,
        sigma=now,
        earlier_episodes=earlier,
        earlier_sigma=before,
        median=found.median,
        best=best,
        judged=len(judged),
        high=len(found.curves),
        carriers=len(carriers),
        triggers=_triggers(now, before, len(carriers)),
    )
    return Assessment(
        finding,
        high=tuple(key for key in by_best if key in found.curves),
        low=tuple(key for key in reversed(by_best) if key in neither),
        carriers=carriers,
    )


def choose_backups(
    assessment: Assessment, available: Set[bytes], standing: Mapping[bytes, bytes]
) -> Mapping[bytes, bytes]:
    """The backup of each miner that is to have one, by the protected miner's key.

    Sigma's rise protects all high-reward miners, few carriers protect the carriers; without a
    trigger nobody is protected. Backups are low-reward, each for one miner; the best miner gets
    one first, and the worst search is given up for it first. `available` holds the connected strong
    miners that search a lease of their own. Of the `standing` backups those stay that still fit.
    """
    protected: list[bytes] = []
    if Trigger.FEW_CARRY in assessment.finding.triggers:
        protected += assessment.carriers
    if Trigger.SIGMA_ROSE in assessment.finding.triggers:
        protected += (key for key in assessment.high if key not in protected)
    able = dict.fromkeys(key for key in assessment.low if key in available)
    chosen: dict[bytes, bytes] = {}
    for key in protected:
        if (backup := standing.get(key)) in able and backup is not None:
            chosen[key] = backup
            del able[backup]
    unprotected = (key for key in protected if key not in chosen)
    return chosen | dict(zip(unprotected, able, strict=False))


def _triggers(now: float, before: float, carriers: int) -> tuple[Trigger, ...]:
    rose = now >= MIN_SIGMA and now > RISE * before
    reasons = {Trigger.SIGMA_ROSE: rose, Trigger.FEW_CARRY: carriers <= FEW_CARRIERS}
    return tuple(trigger for trigger, holds in reasons.items() if holds)
