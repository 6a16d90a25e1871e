"""Each mutated rule of what a node has to do, keep and promise trips its own invariant."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.chain import transition as transition_module
from node.chain.bonds import BondKind
from node.chain.draft import Draft
from node.chain.messages import Transfer, Unbond
from node.chain.params import FAST
from node.consensus import gossip as gossip_module
from node.consensus.book import RoundBook
from node.consensus.intake import Intake
from tests.sim.adversaries.peers import Flooder
from tests.sim.adversaries.producers import Crook, overstate
from tests.sim.customers import send
from tests.sim.trial import broken_by, rounds
from tests.sim.world import Plan, World

MINTS = Plan(full=4, managers=0, strong=0, weak=0, mints=2)
RICH = replace(MINTS, purse=10)


def test_passing_on_what_nobody_may_commit_breaks_i16(monkeypatch: pytest.MonkeyPatch) -> None:
    floods = {"mint0": Flooder(), "mint1": Flooder()}
    assert broken_by(rounds(5), MINTS, floods) == set()
    monkeypatch.setattr(gossip_module, "check_commit", lambda *_: None)
    monkeypatch.setattr(RoundBook, "add_commit", lambda *_: True)
    assert broken_by(rounds(5), MINTS, floods) == {"I16"}


async def scatter_dust(world: World) -> None:
    """Payments below the deposit, to addresses that nobody has."""
    await world.until_round(2)
    send(world, "full0", Transfer(bytes(range(32)), 1, 0, 0))
    await world.until_round(4)


def test_keeping_poor_accounts_breaks_i17(monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken_by(scatter_dust, RICH) == set()
    monkeypatch.setattr(Draft, "sweep", lambda *_: None)
    assert broken_by(scatter_dust, RICH) == {"I17"}


async def ask_for_a_bond(world: World) -> None:
    """A bond is asked back, and its time comes."""
    await world.until_round(2)
    send(world, "full0", Unbond(BondKind.ATTEST, world.key("full0"), FAST.unit_bond, 0, 0))
    await world.until_round(26)


def test_keeping_what_was_unbonded_breaks_i17(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = replace(RICH, mints=0, parameters=replace(FAST, era_rounds=2))
    assert broken_by(ask_for_a_bond, plan) == set()
    monkeypatch.setattr("node.chain.erachange._release", lambda _draft: None)
    assert broken_by(ask_for_a_bond, plan) == {"I17"}


def test_tasks_without_an_end_break_i17(monkeypatch: pytest.MonkeyPatch) -> None:
    # Its second shard would have its turn in the round in which the task is too old.
    limits = replace(FAST.tasks, lifetime_rounds=3)
    plan = replace(RICH, publishers=1, parameters=replace(FAST, tasks=limits))
    assert broken_by(rounds(9), plan) == set()
    monkeypatch.setattr(transition_module, "close_expired", lambda *_: None)
    assert "I17" in broken_by(rounds(9), plan)


def test_fetching_every_model_breaks_i16(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = replace(MINTS, mints=5, parameters=replace(FAST, max_walked=1))
    liars = {f"mint{number}": Crook(overstate, permille=980 - 5 * number) for number in range(5)}
    assert broken_by(rounds(2), plan, liars) == set()
    monkeypatch.setattr(Intake, "_fetches_ahead", lambda *_: True)
    assert broken_by(rounds(2), plan, liars) == {"I16"}
