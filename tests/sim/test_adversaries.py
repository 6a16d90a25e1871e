"""Every script of an adversary, alone and in random mixtures with just under a third of the weight:
the invariants hold."""

import random
from collections.abc import Mapping
from dataclasses import replace

import pytest

from node.chain.params import SEALED
from tests.sim.adversaries import ATTESTERS, PRODUCERS
from tests.sim.storm import Storm
from tests.sim.trial import broken_by, rounds
from tests.sim.world import Hack, Plan, World
from tests.virtual_time import run_virtual

OPEN = Plan(
    full=6,
    mints=3,
    managers=0,
    strong=0,
    weak=0,
    weights=(1_200, 1_200, 1_200, 1_200, 980, 980),
    dialled=4,
    disk_ms=(0, 5),
)
"""The last two full nodes and the last mint are the dishonest ones. A seat weighs 1,000 at most, so
they have 1,960 of 5,960, also when the honest were fined for seals that a crash kept back."""
CLOSED = replace(OPEN, parameters=replace(SEALED, era_rounds=20))
RAGE, REST = 8, 6
"""Rounds of faults, and of calm after them."""


@pytest.mark.parametrize("script", ATTESTERS)
def test_a_third_of_the_attesters_follows_a_script(script: str) -> None:
    hacks = {"full4": ATTESTERS[script], "full5": ATTESTERS[script]}
    assert broken_by(rounds(5), CLOSED, hacks) == set()


@pytest.mark.parametrize("script", PRODUCERS)
def test_a_producer_follows_a_script(script: str) -> None:
    assert broken_by(rounds(3), OPEN, {"mint2": PRODUCERS[script]}) == set()


def mixture(seed: int) -> Mapping[str, Hack]:
    """Scripts for all who may be dishonest."""
    rng = random.Random(f"mixture {seed}")
    return {
        "full4": rng.choice(list(ATTESTERS.values())),
        "full5": rng.choice(list(ATTESTERS.values())),
        "mint2": rng.choice(list(PRODUCERS.values())),
    }


async def live(seed: int, spells: int) -> int:
    """Rounds played through so many spells of faults and calm; raises `Broken`."""
    plan = CLOSED if seed % 2 else OPEN
    world = World(seed, plan, mixture(seed))
    storm = Storm(world, seed)
    await world.start()
    for _ in range(spells):
        await storm.rage(RAGE)
        await storm.rest(REST)
    await storm.close()
    await world.close()
    return world.now_ms() // plan.parameters.timing.round_ms


@pytest.mark.parametrize("seed", range(2))
def test_a_mixture_lives_through_a_storm(seed: int) -> None:
    assert run_virtual(live(seed, spells=1)) >= RAGE + REST


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1_000, 1_120))
def test_many_mixtures_live_through_many_storms(seed: int) -> None:
    """At least 10,000 rounds in all."""
    assert run_virtual(live(seed, spells=6)) >= 6 * (RAGE + REST)
