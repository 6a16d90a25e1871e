"""Each mutated rule of progress trips its own invariant, and only then."""

from dataclasses import replace

import pytest

from node.chain import eras as eras_module
from node.net.peers import PeerNet
from tests.sim.trial import broken_by
from tests.sim.world import Plan, World

FOUR = Plan(full=4, managers=0, strong=0, weak=0, mints=1)


async def go_on_without_one(world: World) -> None:
    await world.until_round(2)
    await world.kill("full3")
    await world.until_round(8)


def test_a_quorum_of_all_breaks_i10(monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken_by(go_on_without_one, FOUR) == set()
    monkeypatch.setattr(eras_module, "is_quorum", lambda weight, total: weight == total)
    assert broken_by(go_on_without_one, FOUR) == {"I10"}


async def come_back_late(world: World) -> None:
    await world.until_round(2)
    world.cut(["full3"])
    await world.until_round(8)
    world.heal()
    await world.until_round(15)


def test_never_asking_for_blocks_breaks_i11(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = replace(FOUR, full=5)
    assert broken_by(come_back_late, plan) == set()
    monkeypatch.setattr(PeerNet, "request_sync", lambda *_: None)
    assert "I11" in broken_by(come_back_late, plan)
