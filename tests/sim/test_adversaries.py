"""Every script of an adversary, alone and in random mixtures with just under a third of the weight:
the invariants hold."""

import random
from collections.abc import Mapping

import pytest

from tests.sim.adversaries import ATTESTERS, PRODUCERS
from tests.sim.storm import Storm
from tests.sim.trial import broken_by, rounds
from tests.sim.world import Hack, Plan, World
from tests.virtual_time import run_virtual

PLAN = Plan(
    full=6,
    mints=3,
    managers=0,
    strong=0,
    weak=0,
    weights=(16, 17, 17, 17, 16, 17),
    dialled=4,
    disk_ms=(0, 5),
)
"""The last two full nodes, with 33 of 100, and the last mint are the dishonest ones."""
RAGE, REST = 8, 6
"""Rounds of faults, and of calm after them."""


@pytest.mark.parametrize("script", ATTESTERS)
def test_a_third_of_the_attesters_follows_a_script(script: str) -> None:
    hacks = {"full4": ATTESTERS[script], "full5": ATTESTERS[script]}
    assert broken_by(rounds(5), PLAN, hacks) == set()


@pytest.mark.parametrize("script", PRODUCERS)
def test_a_producer_follows_a_script(script: str) -> None:
    assert broken_by(rounds(5), PLAN, {"mint2": PRODUCERS[script]}) == set()


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
    world = World(seed, PLAN, mixture(seed))
    storm = Storm(world, seed)
    await world.start()
    for _ in range(spells):
        await storm.rage(RAGE)
        await storm.rest(REST)
    await storm.close()
    await world.close()
    return world.now_ms() // PLAN.parameters.timing.round_ms


@pytest.mark.parametrize("seed", range(3))
def test_a_mixture_lives_through_a_storm(seed: int) -> None:
    assert run_virtual(live(seed, spells=1)) >= RAGE + REST


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1_000, 1_120))
def test_many_mixtures_live_through_many_storms(seed: int) -> None:
    """At least 10,000 rounds in all."""
    assert run_virtual(live(seed, spells=6)) >= 6 * (RAGE + REST)
