"""Every script of an adversary, alone and in random mixtures with just under a third of the weight:
the invariants hold."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from node.chain.messages import Claim
from node.chain.params import SEALED
from tests.sim.adversaries import ATTESTERS, PRODUCERS, PUBLISHERS
from tests.sim.adversaries.units import UnitHolder
from tests.sim.storm import Storm
from tests.sim.trial import Play, broken_by, rounds
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
ROOMY = replace(OPEN, last_units=4)
MARKET = replace(OPEN, publishers=2, purse=60)
CLOSED_MARKET = replace(CLOSED, publishers=2, purse=60)
"""The last publisher is dishonest. All have coins, and send some around."""
RAGE, REST = 8, 6
"""Rounds of faults, and of calm after them."""


@pytest.mark.parametrize("script", ATTESTERS)
def test_a_third_of_the_attesters_follows_a_script(script: str) -> None:
    hacks = {"full4": ATTESTERS[script], "full5": ATTESTERS[script]}
    assert broken_by(rounds(5), CLOSED, hacks) == set()


@pytest.mark.parametrize("script", PRODUCERS)
def test_a_producer_follows_a_script(script: str) -> None:
    assert broken_by(rounds(3), OPEN, {"mint2": PRODUCERS[script]}) == set()


@pytest.mark.parametrize("accomplice", ["lax lister", "late lister"])
def test_a_late_commit_wins_nothing_though_a_third_of_the_attesters_lists_it(
    accomplice: str,
) -> None:
    hacks = {"full4": ATTESTERS[accomplice], "full5": ATTESTERS[accomplice]}
    winners: list[str] = []
    play = watch_winners(5, winners)
    assert broken_by(play, OPEN, hacks | {"mint2": PRODUCERS["late committer"]}) == set()
    assert len(winners) >= 4
    assert "mint2" not in winners


def test_a_holder_of_four_units_wins_no_more_than_its_part() -> None:
    winners: list[str] = []
    play = watch_winners(24, winners)
    assert broken_by(play, ROOMY, {"mint2": UnitHolder()}) == set()
    # Four of six units took part, which makes 16; one unit alone would win 8.
    assert 11 <= winners.count("mint2") <= 21


def test_a_producer_that_claims_two_of_its_units_is_barred() -> None:
    winners: list[str] = []
    play = watch_winners(5, winners)
    assert broken_by(play, ROOMY, {"mint2": UnitHolder(greedy=True)}) == set()
    assert len(winners) >= 4
    assert "mint2" not in winners


@pytest.mark.parametrize("script", PUBLISHERS)
def test_a_publisher_follows_a_script(script: str) -> None:
    hacks = {"publisher1": PUBLISHERS[script], "mint2": PRODUCERS["insider"]}
    assert broken_by(rounds(8), MARKET, hacks) == set()


def watch_winners(number: int, winners: list[str]) -> Play:
    """Let so many rounds pass, and note whose models have won, as a full node has it."""

    async def play(world: World) -> None:
        await world.until_round(number + 1)
        node = world.node("full0")
        assert node is not None
        names = {world.key(name): name for name in world.machines}
        for height in range(1, node.chain.tree.head().state.height + 1):
            block_id = node.chain.id_at(height)
            block = None if block_id is None else node.chain.block(block_id)
            if block is not None and isinstance(block.header.message, Claim):
                winners.append(names[block.header.signer])

    return play


def mixture(seed: int, plan: Plan) -> Mapping[str, Hack]:
    """Scripts for all who may be dishonest."""
    rng = random.Random(f"mixture {seed}")
    company = {
        "full4": rng.choice(list(ATTESTERS.values())),
        "full5": rng.choice(list(ATTESTERS.values())),
        "mint2": rng.choice(list(PRODUCERS.values())),
    }
    if plan.publishers:
        company["publisher1"] = rng.choice(list(PUBLISHERS.values()))
    return company


async def live(seed: int, spells: int, plans: Sequence[Plan] = (OPEN, CLOSED)) -> int:
    """Rounds played through so many spells of faults and calm; raises `Broken`."""
    plan = plans[seed % 2]
    world = World(seed, plan, mixture(seed, plan))
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


def test_a_mixture_with_published_tasks_lives_through_a_storm() -> None:
    assert run_virtual(live(3, 1, (MARKET, CLOSED_MARKET))) >= RAGE + REST


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3_000, 3_040))
def test_many_mixtures_with_published_tasks_live_through_many_storms(seed: int) -> None:
    assert run_virtual(live(seed, 6, (MARKET, CLOSED_MARKET))) >= 6 * (RAGE + REST)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1_000, 1_120))
def test_many_mixtures_live_through_many_storms(seed: int) -> None:
    """At least 10,000 rounds in all."""
    assert run_virtual(live(seed, spells=6)) >= 6 * (RAGE + REST)
