"""Pools in whole networks: their books are true (I20), and who cheats in them gains nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from node.chain.messages import PayoutLine
from pool.decisions.pay import LEASE_BROKEN
from pool.manager import manager as manager_module
from pool.proofs import openpage
from pool.proofs.findings import Kind
from pool.proofs.openpage import OpenPage
from pool.proofs.sharelog import Share
from pool.records import books as books_module
from pool.records import events
from pool.rules.payout import TOTAL_WEIGHT
from tests.sim.adversaries.miners import (
    KeepingManager,
    SecondKey,
    ShareInflater,
    SkimmingManager,
    SoloDefector,
)
from tests.sim.invariants.pools import BooksAreTrue
from tests.sim.storm import Storm
from tests.sim.trial import broken_by, rounds
from tests.sim.world import Hack, Plan, World
from tests.virtual_time import run_virtual, virtual_time

POOL = Plan(full=3, strong=2)


async def play(hacks: Mapping[str, Hack], plan: Plan = POOL) -> World:
    """Five rounds in which some cheat; all that must hold does. A solo miner is a member too."""
    world = World(2, plan, hacks)
    for name, machine in world.machines.items():
        if name.startswith("solo"):
            machine.setup = replace(machine.setup, pools=["manager0"])
    await world.start()
    await world.until_round(6)
    return world


def balance(world: World, name: str) -> int:
    return world["full0"].chain.tree.head().state.account(world.key(name)).balance


@virtual_time
async def test_who_inflates_its_shares_is_not_paid() -> None:
    world = await play({"strong1": ShareInflater()})
    assert balance(world, "strong1") == 0
    assert balance(world, "strong0") > 0
    await world.close()


@virtual_time
async def test_who_commits_alone_under_a_lease_is_not_paid_by_the_pool() -> None:
    world = await play({"solo0": SoloDefector()}, replace(POOL, solo=1))
    manager = world["manager0"]._mining.manager
    assert manager is not None
    lost = [each for _, each in manager.events(1) if isinstance(each, events.WorkForfeited)]
    assert {(each.miner, each.reason) for each in lost} == {(world.key("solo0"), LEASE_BROKEN)}
    tree = world["full0"].chain.tree
    blocks = [entry.block for entry in tree.chain(tree.head().id) if entry.block is not None]
    later = [block for block in blocks if block.header.signer == world.key("manager0")]
    # Its first commit comes when the lines of the first round are fixed.
    for block in later:
        paid = {line.address for line in block.body.payouts}
        assert block.round == 1 or world.key("solo0") not in paid
    await world.close()


@virtual_time
async def test_a_manager_keeps_its_fee() -> None:
    world = World(2, POOL, {})
    manager = world.machines["manager0"]
    manager.setup = replace(manager.setup, pool_fee=50)
    await world.start()
    await world.until_round(4)
    tree, key = world["full0"].chain.tree, world.key("manager0")
    blocks = [entry.block for entry in tree.chain(tree.head().id) if entry.block is not None]
    won = [block for block in blocks if block.header.signer == key]

    assert won
    assert world["manager0"].views.pool().fee_permille == 50
    for block in won:
        weights = {line.address: line.weight for line in block.body.payouts}
        assert weights[key] == TOTAL_WEIGHT // 20
    await world.close()


@virtual_time
async def test_a_member_with_a_second_key_frames_nobody() -> None:
    world = await play({"mint0": SecondKey("strong1")}, replace(POOL, mints=1))
    state = world["full0"].chain.tree.head().state
    assert len(state.punished) == 0
    assert balance(world, "strong0") > 0
    await world.close()


@virtual_time
async def test_a_manager_that_skims_is_found_out_by_every_miner() -> None:
    world = await play({"manager0": SkimmingManager()})
    books = BooksAreTrue(world.watch)
    for name in ("strong0", "strong1", "weak0"):
        found = {each.kind for each in books.audit(world["manager0"], world[name])}
        assert found == {Kind.LINES_DIFFER}
    await world.close()


@virtual_time
async def test_a_manager_that_keeps_everything_is_found_out_by_every_miner() -> None:
    world = await play({"manager0": KeepingManager()})
    books = BooksAreTrue(world.watch)
    for name in ("strong0", "strong1", "weak0"):
        found = {each.kind for each in books.audit(world["manager0"], world[name])}
        assert found == {Kind.NOTICE_MISSING}
    await world.close()


def test_lines_that_do_not_follow_from_the_log_break_i20(monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken_by(rounds(4), POOL) == set()
    compute = books_module.compute_lines

    def compute_wrong(*args: object) -> tuple[PayoutLine, ...]:
        first, *rest = compute(*args)  # type: ignore[arg-type]
        return (replace(first, weight=first.weight + 1), *rest)

    monkeypatch.setattr(manager_module, "compute_lines", compute_wrong)
    assert broken_by(rounds(4), POOL) == {"I20"}


def test_shares_that_are_not_logged_break_i20(monkeypatch: pytest.MonkeyPatch) -> None:
    log = openpage.with_share

    def log_some(page: OpenPage, share: Share) -> OpenPage:
        return log(page, share) if share.episode % 2 else page

    monkeypatch.setattr(books_module, "with_share", log_some)
    assert broken_by(rounds(4), POOL) == {"I20"}


STORMY = Plan(full=4, strong=3, weak=1, solo=1, mints=1, dialled=4, disk_ms=(0, 5))


async def live(seed: int, spells: int) -> None:
    """A pool with an inflater and a defector, through storms."""
    hacks: Mapping[str, Hack] = {"strong2": ShareInflater(), "solo0": SoloDefector()}
    world = World(seed, STORMY, hacks)
    machine = world.machines["solo0"]
    machine.setup = replace(machine.setup, pools=["manager0"])
    storm = Storm(world, seed)
    await world.start()
    for _ in range(spells):
        await storm.rage(4)
        await storm.rest(4)
    await storm.close()
    await world.close()


def test_a_pool_lives_through_a_storm() -> None:
    run_virtual(live(1, spells=1))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(4_000, 4_020))
def test_many_pools_live_through_many_storms(seed: int) -> None:
    run_virtual(live(seed, spells=8))
