"""The standing task of public networks: data of one's own, opened by seals, in whole networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from nas.data import procedural
from nas.jobs import Count, Train, Verify
from node.assembly import Node
from node.chain.block import Block
from node.chain.bonds import BondKey, BondKind
from node.chain.messages import Claim, Envelope, Fallback, Kind
from node.chain.params import SEALED
from node.chain.timing import Phase
from tests.sim.test_faults import survive
from tests.sim.world import Plan, World
from tests.virtual_time import run_virtual, virtual_time

FREE = replace(SEALED, unit_fee=0)
PLAN = Plan(strong=1, weak=0, parameters=FREE, weights=(16, 16, 16, 16))
"""Bonds that outlast a fine of a whole subsidy."""
ALONE = replace(PLAN, managers=0, strong=0)
FRAIL = replace(PLAN, parameters=replace(FREE, era_rounds=6), weights=(64, 64, 64, 64))
"""Short eras, so that bars end; bonds that outlast many fines."""
FIRST = 4
"""The first round that can be sealed: the attesters' votes of round 1 register their chains."""


def block_at(world: World, round_number: int, name: str = "full0") -> Block:
    tree = world[name].chain.tree
    for entry in tree.chain(tree.head().id):
        if entry.block is not None and entry.state.round == round_number:
            return entry.block
    raise LookupError(f"{name} has no block of round {round_number}")


def header_at(world: World, round_number: int) -> Claim | Fallback:
    return block_at(world, round_number).header.message


def withhold(node: Node, kept: Callable[[Envelope], None] = lambda _: None) -> None:
    """Keep the node's seals back; call before the node runs."""
    submit = node.submit

    def submit_all_else(envelope: Envelope) -> None:
        if envelope.kind == Kind.SEAL:
            kept(envelope)
        else:
            submit(envelope)

    node.submit = submit_all_else  # type: ignore[method-assign]


def jobs_of(world: World, name: str) -> list[Any]:
    """Everything that a machine computes from now on."""
    executor, jobs = world.machines[name].executor, []
    run = executor.run

    async def noted(job: Any) -> Any:
        jobs.append(job)
        return await run(job)

    executor.run = noted  # type: ignore[method-assign]
    return jobs


@virtual_time
async def test_rounds_are_won_on_the_managers_own_data_once_seals_are_registered() -> None:
    world = World(seed=1, plan=PLAN)
    trained, counted = jobs_of(world, "strong0"), jobs_of(world, "full0")
    await world.start()
    await world.until_round(FIRST + 2)
    assert [type(header_at(world, number)) for number in range(1, FIRST)] == [Fallback] * 3
    manager = world.key("manager0")
    for number in (FIRST, FIRST + 1):
        claim, context = header_at(world, number), world["full0"].chain.context(number)
        assert isinstance(claim, Claim)
        assert len(claim.secrets) == 4
        own = context.instance(manager, 0)
        assert any(
            isinstance(job, Train) and job.task.dataset == procedural.name_of(own)
            for job in trained
        )
        test_data = procedural.name_of(own, context.test_seed(claim.secrets))
        counts = [job.count for job in counted if isinstance(job, Verify)]
        assert [(job.split) for job in counts if job.dataset == test_data] == ["test"]
    assert not any(isinstance(job, Count) for job in counted)
    await world.close()


@virtual_time
async def test_a_withheld_seal_voids_the_round_and_costs_its_sealer() -> None:
    world = World(seed=2, plan=PLAN)
    world.distrust("full3")
    await world.start()
    withhold(world["full3"])
    await world.until_round(FIRST + 3)
    vetoer = world.key("full3")
    # The round after is played with a state that does not know of it yet; then it is barred.
    for number in (FIRST, FIRST + 1):
        header = header_at(world, number)
        assert isinstance(header, Fallback)
        assert header.missing == (vetoer,)
    claim = header_at(world, FIRST + 2)
    assert isinstance(claim, Claim)
    assert len(claim.secrets) == 3
    state = world["full0"].chain.tree.head().state
    bond = state.bonds.get(BondKey(BondKind.ATTEST, vetoer).to_bytes())
    assert bond is None
    assert state.burnt == 16 * SEALED.unit_bond
    await world.close()


@virtual_time
async def test_a_seal_that_only_a_friend_has_in_time_wins_it_nothing() -> None:
    world = World(seed=3, plan=PLAN)
    world.distrust("full3", "manager0")
    await world.start()
    kept: list[Envelope] = []
    withhold(world["full3"], kept.append)
    await world.until(FIRST, Phase.LIST)
    # Only now, and to one producer alone, so that nobody else can count.
    (seal,) = kept
    world["manager0"]._gate.on_gossip(seal)
    await world.until(FIRST, Phase.CLAIM)
    book = world["full0"]._rounds.book(FIRST)
    (claim,) = book.claims.values()
    assert len(claim.message.secrets) == 4
    await world.until_round(FIRST + 1)
    fallback = header_at(world, FIRST)
    assert isinstance(fallback, Fallback)
    assert fallback.missing == (world.key("full3"),)
    await world.close()


@virtual_time
async def test_a_seal_told_to_a_friend_first_but_to_all_in_time_harms_nobody() -> None:
    world = World(seed=3, plan=PLAN)
    world.distrust("full3")
    await world.start()
    kept: list[Envelope] = []
    withhold(world["full3"], kept.append)
    await world.until(FIRST, Phase.TRAIN)
    await world.clock.sleep_until(world.now_ms() + 200)
    (seal,) = kept
    world["manager0"]._gate.on_gossip(seal)
    world["full0"].peers.broadcast(seal)
    world["full0"]._gate.on_gossip(seal)
    await world.until_round(FIRST + 1)
    assert isinstance(header_at(world, FIRST), Claim)
    await world.close()


@virtual_time
async def test_no_seal_leaves_its_holder_without_lists_of_a_quorum() -> None:
    world = World(seed=4, plan=ALONE)
    await world.start()
    await world.until_round(FIRST)
    world.cut(("full0", "full1"))
    await world.until_round(FIRST + 1)
    for name in world.machines:
        book, context = world[name]._rounds.book(FIRST), world[name].chain.context(FIRST)
        assert len(context.sealers) == 4
        assert 1 <= len(book.lists) <= 2
        assert book.opened == {}
    world.heal()
    await world.until_round(FIRST + 4)
    # An outage of the network is nobody's fault.
    assert world["full0"].chain.tree.head().state.burnt == 0
    await world.close()


@virtual_time
async def test_a_fallback_that_blames_who_revealed_is_not_followed() -> None:
    world = World(seed=5, plan=ALONE)
    world.distrust("full3")
    await world.start()
    victim, was_first = world.key("full0"), 0
    for number in range(FIRST, FIRST + 8):
        await world.until_round(number)
        liar = world["full3"]
        liar._rounds.book(number).missing = lambda context: (victim,)  # type: ignore[method-assign]
        order = liar.chain.context(number).fallback_order()
        was_first += order[0] == world.key("full3")
    await world.until_round(FIRST + 8)
    assert was_first > 0
    for number in range(FIRST, FIRST + 8):
        header = header_at(world, number)
        assert isinstance(header, Fallback)
        assert header.missing == ()
    await world.close()


def test_random_crashes_and_cuts_heal_where_the_task_is_sealed() -> None:
    run_virtual(survive(3, 2, FRAIL))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2_000, 2_050))
def test_many_random_crashes_and_cuts_heal_where_the_task_is_sealed(seed: int) -> None:
    run_virtual(survive(seed, 12, FRAIL))


@virtual_time
async def test_chains_are_renewed_with_votes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.chain.seals.CHAIN_ROUNDS", 8)
    world = World(seed=6, plan=ALONE)
    await world.start()
    await world.until_round(20)
    state = world["full0"].chain.tree.head().state
    starts = {state.seals.get(world.key(f"full{number}")).start_round for number in range(4)}  # type: ignore[union-attr]
    assert min(starts) > 8
    context = world["full0"].chain.context(20)
    assert len(context.sealers) == 4
    await world.close()


@virtual_time
async def test_a_node_shows_who_seals_who_has_revealed_and_who_was_missing() -> None:
    world = World(seed=2, plan=PLAN)
    world.distrust("full3")
    await world.start()
    withhold(world["full3"])
    await world.until(FIRST, Phase.CLAIM)
    views, vetoer = world["full0"].views, world.key("full3")
    shown = {seal.attester: seal.revealed for seal in views.round(FIRST).seals}
    assert shown == {world.key(f"full{number}"): number < 3 for number in range(4)}
    await world.until_round(FIRST + 3)
    assert views.block(block_at(world, FIRST).id).missing == (vetoer,)
    winner = views.block(block_at(world, FIRST + 2).id).winner
    assert winner is not None
    assert len(winner.secrets) == 3
    await world.close()
