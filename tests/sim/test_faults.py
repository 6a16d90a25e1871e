"""What crashes, absences and cuts do to a network: nothing is signed twice, and it heals."""

import random

import pytest

from node.chain.bonds import BondKey, BondKind
from node.chain.messages import Fallback
from node.chain.state import Checkpoint, compute_held
from node.chain.timing import Phase
from pool.records import events
from tests.sim.adversaries.producers import Crook, overstate
from tests.sim.adversaries.tampering import hide_commits
from tests.sim.world import Plan, World
from tests.virtual_time import run_virtual, virtual_time

FULL = ("full0", "full1", "full2", "full3")


def heads(world: World) -> set[bytes]:
    return {world[name].chain.tree.head().id for name in world.up()}


def final(world: World, name: str) -> Checkpoint:
    return world[name].chain.tree.final


def check_nobody_signed_twice(world: World) -> None:
    """No attester has two votes for a round, in anybody's sight (invariant I9)."""
    seen: dict[tuple[bytes, int], bytes] = {}
    for name in world.up():
        for vote in world[name].chain.tree.votes():
            key = (vote.signer, vote.message.round)
            assert seen.setdefault(key, vote.id) == vote.id


def check_final_blocks_agree(world: World) -> None:
    """No two nodes hold conflicting final blocks (invariant I2)."""
    by_height: dict[int, bytes] = {}
    for name in world.up():
        chain = world[name].chain
        for height in range(chain.final_height + 1):
            block_id = chain.id_at(height)
            assert block_id is not None
            assert by_height.setdefault(height, block_id) == block_id


@virtual_time
async def test_without_producers_fallback_blocks_fill_the_rounds_and_issue_nothing() -> None:
    world = World(seed=1, plan=Plan(managers=0, strong=0, weak=0))
    await world.start()
    await world.until_round(5)
    head = world["full0"].chain.tree.head()
    assert head.state.height == 4
    assert head.state.issued == 0
    assert head.block is not None
    assert isinstance(head.block.header.message, Fallback)
    assert len(heads(world)) == 1
    assert final(world, "full0").round == 3
    await world.close()


@virtual_time
async def test_a_lost_manager_costs_rounds_without_a_winner_and_nothing_else() -> None:
    world = World(seed=2, plan=Plan())
    await world.start()
    await world.until_round(2)
    await world.kill("manager0")
    await world.until_round(4)
    issued = world["full0"].chain.tree.head().state.issued
    world.boot("manager0")
    await world.until_round(6)
    state = world["full0"].chain.tree.head().state
    assert state.height == 5
    assert state.issued > issued
    assert len(heads(world)) == 1
    await world.close()


def winner(world: World) -> tuple[int, bytes] | None:
    """Round and producer of the newest block, if a model has won it."""
    block = world["full0"].chain.tree.head().block
    if block is None or isinstance(block.header.message, Fallback):
        return None
    return block.round, block.header.signer


@pytest.mark.parametrize("phase", [Phase.TRAIN, Phase.LIST])
def test_a_manager_that_restarts_after_it_has_committed_claims(phase: Phase) -> None:
    async def run() -> None:
        world = World(seed=8, plan=Plan())
        await world.start()
        await world.until(2, Phase.TRAIN)
        await world.kill("manager0")
        await world.until(2, phase)
        await world.clock.sleep_until(world.clock.now_ms() + 50)
        world.boot("manager0")
        await world.until_round(3)
        assert winner(world) == (2, world.machines["manager0"].setup.identity.public_key)
        await world.close()

    run_virtual(run())


@virtual_time
async def test_a_commitment_that_a_crash_has_kept_back_is_sent_after_the_restart() -> None:
    world = World(seed=9, plan=Plan())
    await world.start()
    await world.until(1, Phase.CONFIRM)
    producer = world["manager0"]._producer
    assert producer is not None
    hide_commits(producer)
    while not producer.has_committed(2):
        await world.clock.sleep_until(world.clock.now_ms() + 1)
    await world.kill("manager0")
    world.boot("manager0")
    await world.until_round(3)
    assert winner(world) == (2, world.machines["manager0"].setup.identity.public_key)
    await world.close()


@virtual_time
async def test_a_restarted_pool_hears_once_of_each_block_that_became_final() -> None:
    world = World(seed=8, plan=Plan())
    await world.start()
    # Round 2 becomes final just before the manager goes, too late for it to be told.
    await world.until(3, Phase.VALIDATE)
    await world.clock.sleep_until(world.clock.now_ms() + 500)
    assert final(world, "manager0").round == 2
    await world.kill("manager0")
    world.boot("manager0")
    # What is final when it is back is told, and what was told is not told again.
    await world.until(5, Phase.LIST)
    await world.kill("manager0")
    await world.until_round(7)
    world.boot("manager0")
    await world.until(8, Phase.TRAIN)
    chain, own = world["full0"].chain, world.key("manager0")
    signers = {
        entry.block.round: (entry.block.header.signer, entry.block.is_fallback)
        for entry in chain.tree.chain(chain.tree.head().id)
        if entry.block is not None
    }
    manager = world["manager0"]._mining.manager
    assert manager is not None
    told = [each.round for _, each in manager.events(1) if isinstance(each, events.Paid)]
    final_round = final(world, "manager0").round
    assert 2 in told
    assert told == sorted(
        number for number, by in signers.items() if by == (own, False) and number <= final_round
    )
    await world.close()


@virtual_time
async def test_with_one_of_four_attesters_away_blocks_become_final() -> None:
    world = World(seed=3, plan=Plan())
    await world.start(without=["full3"])
    await world.until_round(5)
    assert final(world, "full0").round == 3
    await world.close()


@virtual_time
async def test_without_a_quorum_nothing_is_claimed_or_final_until_it_is_back() -> None:
    world = World(seed=4, plan=Plan())
    await world.start()
    await world.until_round(3)
    before = final(world, "full0")
    for name in ("full2", "full3"):
        await world.kill(name)
    issued = world["full0"].chain.tree.head().state.issued
    await world.until_round(6)
    assert world["full0"].chain.tree.head().state.issued == issued
    assert final(world, "full0") == before
    for name in ("full2", "full3"):
        world.boot(name)
    await world.until_round(9)
    assert final(world, "full0").round == 7
    assert len(heads(world)) == 1
    check_final_blocks_agree(world)
    await world.close()


@virtual_time
async def test_an_even_split_mines_on_neither_side_and_heals() -> None:
    world = World(seed=5, plan=Plan())
    await world.start()
    await world.until_round(3)
    before = final(world, "full0")
    world.cut(["full0", "full1", "manager0", "strong0"])
    await world.until_round(6)
    assert all(final(world, name).round <= before.round + 1 for name in FULL)
    world.heal()
    await world.until_round(12)
    assert len(heads(world)) == 1
    assert final(world, "full0").round == 10
    check_final_blocks_agree(world)
    check_nobody_signed_twice(world)
    await world.close()


@virtual_time
async def test_sides_that_have_each_punished_a_false_claim_can_judge_each_others_blocks() -> None:
    plan = Plan(mints=2, managers=0, strong=0, weak=0)
    world = World(seed=10, plan=plan, hacks={"mint1": Crook(overstate)})
    await world.start(without=["mint1"])
    await world.until_round(2)
    world.boot("mint1")
    await world.until_round(4)
    liar = BondKey(BondKind.PRODUCE, world.key("mint1"))
    world.cut(["full0", "full1", "mint0"])
    await world.until_round(5)
    for name in ("full0", "full2"):
        assert world[name].chain.tree.head().state.bond(liar) is None
    # The false claim is so long ago that nobody remembers what it counted.
    await world.until_round(7)
    world.heal()
    await world.until_round(11)
    assert len(heads(world)) == 1
    assert final(world, "full0").round == 9
    await world.close()


@virtual_time
async def test_a_node_that_joins_late_catches_up() -> None:
    world = World(seed=6, plan=Plan())
    await world.start(without=["full3", "weak0"])
    await world.until_round(6)
    world.boot("full3")
    world.boot("weak0")
    await world.until(6, Phase.TRAIN)
    assert world["full3"].chain.tree.head().state.round == 5
    assert final(world, "full3").round == 4
    assert len(heads(world)) == 1
    await world.close()


@pytest.mark.parametrize("phase", [Phase.TRAIN, Phase.VALIDATE])
def test_an_attester_that_restarts_after_signing_does_not_sign_again(phase: Phase) -> None:
    async def run() -> None:
        world = World(seed=7, plan=Plan())
        await world.start()
        await world.until(2, phase)
        await world.clock.sleep_until(world.clock.now_ms() + 5)
        await world.kill("full1")
        world.boot("full1")
        await world.until_round(5)
        check_nobody_signed_twice(world)
        assert len(heads(world)) == 1
        assert final(world, "full1").round == 3
        await world.close()

    run_virtual(run())


async def survive(seed: int, rounds: int, plan: Plan) -> None:
    """Random crashes and cuts, never of more than one attester at a time, then calm."""
    world, chance = World(seed, plan), random.Random(seed)
    await world.start()
    for _ in range(rounds):
        name = chance.choice(list(world.machines))
        await world.clock.sleep_until(world.clock.now_ms() + chance.randrange(10_000))
        if chance.random() < 0.7:
            await world.kill(name)
            await world.clock.sleep_until(world.clock.now_ms() + chance.randrange(15_000))
            world.boot(name)
        else:
            world.cut([name])
            await world.clock.sleep_until(world.clock.now_ms() + chance.randrange(15_000))
            world.heal()
    # Peers back off for up to half a minute before they dial again.
    calm = world.clock.now_ms() // 10_000 + 8
    await world.until_round(calm)
    assert len(heads(world)) == 1, f"seed {seed}"
    assert final(world, "full0").round == calm - 2, f"seed {seed}"
    check_final_blocks_agree(world)
    check_nobody_signed_twice(world)
    state = world["full0"].chain.tree.head().state
    assert compute_held(state) + state.burnt == world.network.supply + state.issued
    await world.close()


@pytest.mark.parametrize("seed", range(3))
def test_random_crashes_and_cuts_heal(seed: int) -> None:
    run_virtual(survive(seed, 6, Plan()))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1_000, 1_200))
def test_many_random_crashes_and_cuts_heal(seed: int) -> None:
    run_virtual(survive(seed, 12, Plan()))
