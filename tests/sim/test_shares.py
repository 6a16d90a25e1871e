"""Whoever breaks rules wins no more than its part of the rounds (I15), and publishing to oneself
does not pay (I12)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest

from node.chain import params
from node.chain import ranking as ranking_module
from node.chain import transition as transition_module
from node.chain.commits import commit_of
from node.chain.context import RoundContext
from node.chain.envelope import Signed
from node.chain.messages import Claim
from node.chain.published.rules import REWARD_IN_SUBSIDIES
from tests.sim import mint as mint_module
from tests.sim.adversaries.producers import Insider, SaltGrinder
from tests.sim.adversaries.publishers import Washer
from tests.sim.adversaries.secrets import SealVetoer
from tests.sim.invariants import luck as luck_module
from tests.sim.publisher import SHARDS, Publisher
from tests.sim.trial import broken_by, rounds
from tests.sim.world import Hack, Plan, World
from tests.virtual_time import run_virtual

FOUR = Plan(full=3, mints=4, managers=0, strong=0, weak=0)
SEALED = replace(FOUR, full=4, mints=3, parameters=params.SEALED, weights=(16, 16, 16, 16))
"""Bonds that can pay fines."""


@pytest.fixture(autouse=True)
def few_worlds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less luck will do than in a storm, as there are few worlds, of known seeds."""
    monkeypatch.setattr(luck_module, "STANDARD_ERRORS", 3)


def test_ties_by_commitment_break_i15(monkeypatch: pytest.MonkeyPatch) -> None:
    grinder: Mapping[str, Hack] = {"mint3": SaltGrinder()}
    # Every round is a tie.
    monkeypatch.setattr(mint_module, "WORST", mint_module.BEST)
    assert broken_by(rounds(6), FOUR, grinder) == set()

    def tie_by_commitment(
        context: RoundContext, claims: Iterable[Signed[Claim]]
    ) -> list[Signed[Claim]]:
        def order(claim: Signed[Claim]) -> bytes:
            return commit_of(context, claim.message, claim.signer).commitment

        return sorted(claims, key=order)

    monkeypatch.setattr(ranking_module, "rank", tie_by_commitment)
    assert "I15" in broken_by(rounds(6), FOUR, grinder)


def test_a_veto_that_costs_nothing_breaks_i15(monkeypatch: pytest.MonkeyPatch) -> None:
    company: Mapping[str, Hack] = {"full3": SealVetoer(), "mint2": SaltGrinder()}
    # So many that it shows with any of seven seeds; with 17 rounds it did with three.
    play = rounds(24)
    assert broken_by(play, SEALED, company) == set()
    monkeypatch.setattr(transition_module, "settle_seals", lambda *_: None)
    assert "I15" in broken_by(play, SEALED, company)


MARKET = Plan(full=4, mints=2, managers=0, strong=0, weak=0, publishers=1, purse=10)
COMPANY: Mapping[str, Hack] = {"publisher0": Washer(), "mint1": Insider()}


async def play_wash() -> tuple[int, int]:
    """What the company holds after a task of its own, and how many rounds it has won."""
    world = World(1, MARKET, COMPANY)
    await world.start()
    await world.until_round(11)
    tree = world["full0"].chain.tree
    state = tree.head().state
    assert not any(task.reserved for task in state.tasks.values())
    held = sum(state.account(key).balance for key in world.company)
    held += sum(task.held for task in state.tasks.values())
    blocks = [entry.block for entry in tree.chain(tree.head().id) if entry.block is not None]
    wins = sum(block.header.signer == world.key("mint1") for block in blocks)
    await world.close()
    return held, wins


def test_a_wash_publisher_ends_poorer_than_who_publishes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    washed, wins_of_washer = run_virtual(play_wash())

    async def publish_nothing(_self: Publisher) -> None:
        pass

    monkeypatch.setattr(Publisher, "_publish", publish_nothing)
    honest, wins = run_virtual(play_wash())
    reward = SHARDS * REWARD_IN_SUBSIDIES * MARKET.parameters.subsidy
    assert wins_of_washer >= wins
    assert washed <= honest - reward // 5
