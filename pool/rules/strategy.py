"""Who does what: exploration and exploitation (paper section 3.2.4) as functions of the state.

Strong miners explore a subspace each, weak miners train on from the confirmed best. A search
whose miner has left is the first that the next strong miner without one goes on with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nas.designs.genotype import ARCHITECTURE_TOKENS, HYPERPARAMETERS, Genotype
from nas.designs.space import Space
from nas.jobs import BATCH_EPISODES
from node.chain.hashing import blake, u64
from pool.records.state import (
    Exploitation,
    Exploration,
    PoolState,
    RoundState,
    Search,
    Strength,
    Work,
)
from pool.rules.draws import Draws

LEASE_EPISODES = BATCH_EPISODES
"""Candidates that make an exploration worth while: a search with fewer never learns from one."""

MAX_EPISODES = 10_000
"""Results of one search; then it is closed, so that handing it on stays cheap."""

NO_ROUND = "no round is open"
NO_BEST_YET = "a weak miner waits for the first confirmed best of the round"


@dataclass(frozen=True)
class Rest:
    """Nothing to do, and why."""

    reason: str


Step = Work | Rest


def plan(pool: PoolState) -> Mapping[bytes, Step]:
    """What each connected miner should do now.

    An `Exploration` may name the number after the last search: one to be drawn.
    """
    connected = [miner.key for miner in pool.miners.values() if miner.connected]
    if pool.round is None or not pool.round.is_open:
        return dict.fromkeys(connected, Rest(NO_ROUND))
    explorers = [key for key in connected if _explores(pool, pool.round, key)]
    searches = _allot(pool.round.searches, explorers)
    return {
        key: Exploration(searches[key]) if key in searches else _exploit(pool.round)
        for key in connected
    }


def resolve_strength(
    declared: Strength, results: int, measured_ms: int, remaining_ms: int
) -> tuple[Strength, str]:
    """How to treat a miner, and why; the reason is empty for a declared strength.

    `auto` is strong when its measured candidates per second times the rest of the phase reach
    LEASE_EPISODES. `results` candidates took `measured_ms`.
    """
    if declared is not Strength.AUTO:
        return declared, ""
    if results == 0:
        return Strength.STRONG, "not measured yet, so it explores and is measured"
    # results / measured_ms * remaining_ms >= LEASE_EPISODES, without division.
    is_strong = results * remaining_ms >= LEASE_EPISODES * measured_ms
    reason = (
        f"{results} candidates took {measured_ms} ms; a strong miner finishes "
        f"{LEASE_EPISODES} in the {remaining_ms} ms of the phase"
    )
    return (Strength.STRONG if is_strong else Strength.WEAK), reason


def exploit_variant(best: Genotype, space: Space, index: int, seed: int) -> Genotype:
    """The genotype of attempt `index` at improving `best`, inside the round's space.

    Even attempts keep the bits and so vary only the training seed; odd ones move one bit width of
    one layer to a neighbouring value. The architecture stays, so the weights fit. `seed` is in
    [0, 2**63).
    """
    movable = [
        at
        for at, values in enumerate(space.positions)
        if at % len(HYPERPARAMETERS) >= ARCHITECTURE_TOKENS and len(values) > 1
    ]
    if index % 2 == 0 or not movable:
        return best
    draws = Draws(blake("ponas/pool/variant", u64(seed), u64(index)))
    at = draws.choice(movable)
    values = space.positions[at]
    here = values.index(best.tokens[at])
    neighbours = values[max(here - 1, 0) : here] + values[here + 1 : here + 2]
    moved = list(best.tokens)
    moved[at] = draws.choice(neighbours)
    return Genotype.from_tokens(moved)


def is_full(search: Search) -> bool:
    """Whether the search has all the results that it may have."""
    return len(search.rewards) >= MAX_EPISODES


def is_weak_alone(pool: PoolState) -> bool:
    """Whether weak miners must explore because no strong one is connected."""
    return not pool.connected(Strength.STRONG)


def _explores(pool: PoolState, round_: RoundState, key: bytes) -> bool:
    if pool.miners[key].strength is Strength.STRONG:
        return True
    if not is_weak_alone(pool):
        return False
    # Weak miners alone take small leases first, then improve what those have found.
    explored = sum(len(search.rewards) for search in round_.searches)
    lease = LEASE_EPISODES * len(pool.connected(Strength.WEAK))
    return round_.base is None or explored < lease


def _exploit(round_: RoundState) -> Step:
    return Rest(NO_BEST_YET) if round_.base is None else Exploitation(round_.base)


def _allot(searches: tuple[Search, ...], explorers: Iterable[bytes]) -> Mapping[bytes, int]:
    """A search for each explorer: its own, else the best abandoned one, else a new one."""
    waiting = dict.fromkeys(explorers)
    allotted: dict[bytes, int] = {}
    going_on = {
        number: search.holder for number, search in enumerate(searches) if not is_full(search)
    }
    for number, holder in going_on.items():
        if holder in waiting:
            allotted[holder] = number
            del waiting[holder]
    free = sorted(
        going_on.keys() - allotted.values(),
        key=lambda number: (-max(searches[number].rewards, default=0.0), number),
    )
    fresh = range(len(searches), len(searches) + len(waiting))
    return allotted | dict(zip(waiting, [*free, *fresh], strict=False))
