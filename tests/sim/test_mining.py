"""Blocks are mined by a whole network: who wins, who is paid, who agrees."""

import pytest
from structlog.testing import capture_logs

from node.chain.block import Block
from node.chain.context import RoundContext
from node.chain.envelope import sign
from node.chain.messages import Claim, Transfer
from node.chain.params import FAST
from node.chain.state import State, compute_held
from node.chain.timing import Phase
from tests.chain_world import FEE
from tests.sim.world import Plan, World
from tests.virtual_time import run_virtual, virtual_time


def gained(world: World, state: State) -> int:
    """Base units in a state beyond those of genesis."""
    return compute_held(state) + state.burnt - world.network.supply


@virtual_time
async def test_every_round_is_won_by_a_verified_model_and_all_nodes_agree() -> None:
    world = World(seed=1, plan=Plan())
    await world.start()
    await world.until_round(6)
    heads = {name: world[name].chain.tree.head() for name in world.machines}
    assert {head.id for head in heads.values()} == {heads["full0"].id}
    state = heads["full0"].state
    assert (state.round, state.height) == (5, 5)
    assert all(world[name].chain.tree.final.round == 4 for name in world.machines)
    for entry in world["full0"].chain.tree.chain(heads["full0"].id):
        assert entry.block is None or isinstance(entry.block.header.message, Claim)
    assert gained(world, state) == state.issued > 0
    await world.close()


def head_block(world: World) -> tuple[Block, Claim]:
    """Block and claim at full0's head."""
    block = world["full0"].chain.tree.head().block
    assert block is not None
    claim = block.header.message
    assert isinstance(claim, Claim)
    return block, claim


async def chain_of(seed: int) -> list[bytes]:
    world = World(seed, Plan())
    await world.start()
    await world.until_round(4)
    chain = world["weak0"].chain
    ids = [entry.id for entry in chain.tree.chain(chain.tree.head().id)]
    await world.close()
    return ids


def test_a_seed_gives_one_chain_and_another_seed_another() -> None:
    first, again, other = (run_virtual(chain_of(seed)) for seed in (7, 7, 8))
    assert len(first) == 4
    assert first == again
    assert first != other


@virtual_time
async def test_a_weak_miners_improvement_is_shared_committed_and_paid() -> None:
    world = World(seed=1, plan=Plan(strong=1, weak=2))
    await world.start()
    for number in range(2, 10):
        await world.until(number, Phase.LIST)
        pool = world["manager0"].views.pool()
        assert pool.weak_improvements > 0
        # A weak miner does not find the best of each round.
        if pool.best is not None and pool.best.from_weak_miner:
            break
    assert pool.best is not None
    await world.until_round(number + 1)
    weak = {world.machines[name].setup.identity.public_key for name in ("weak0", "weak1")}
    assert pool.best.finder in weak
    block, claim = head_block(world)
    assert claim.genotype == pool.best.genotype
    assert weak <= {line.address for line in block.body.payouts}
    await world.close()


@virtual_time
async def test_a_round_is_won_and_paid_although_a_strong_miner_dies_while_training() -> None:
    world = World(seed=3, plan=Plan())
    await world.start()
    await world.until_round(2)
    await world.clock.sleep_until(world.clock.now_ms() + 4_000)
    dead = world.machines["strong0"].setup.identity.public_key
    done = {miner.public_key: miner for miner in world["manager0"].views.miners().miners}
    assert done[dead].episodes > 0
    await world.kill("strong0")
    await world.until_round(3)
    block, _ = head_block(world)
    assert block.round == 2
    assert dead in {line.address for line in block.body.payouts}
    await world.close()


@virtual_time
async def test_a_solo_miner_wins_blocks_for_itself() -> None:
    world = World(seed=4, plan=Plan(managers=0, strong=0, weak=0, solo=1))
    await world.start()
    await world.until_round(4)
    state = world["full0"].chain.tree.head().state
    assert state.height == 3
    own = state.accounts[world.machines["solo0"].setup.identity.public_key].balance
    assert own > state.issued * 8 // 10
    await world.close()


@virtual_time
async def test_of_two_producers_the_more_accurate_wins() -> None:
    world = World(seed=5, plan=Plan(solo=1))
    await world.start()
    for round_number in (1, 2, 3):
        await world.until(round_number, Phase.VALIDATE)
        claims = {c.id: c.correct for c in world["full0"].views.round(round_number).claims}
        assert len(claims) == 2
        await world.until_round(round_number + 1)
        winner = world["full0"].chain.tree.head()
        assert winner.state.round == round_number
        assert claims[winner.id] == max(claims.values())
    await world.close()


@virtual_time
async def test_a_gossiped_transfer_is_in_the_next_block_on_every_node() -> None:
    world = World(seed=6, plan=Plan())
    await world.start()
    await world.until_round(2)
    payer, payee = world.machines["strong0"].setup.identity, bytes(range(32))
    account, amount = world["full0"].views.ledger.account(payer.address, None), FAST.account_deposit
    transfer = sign(
        Transfer(payee, amount, account.nonce, FEE), payer.signing_key, world.network.id
    )
    world["strong0"].submit(transfer.envelope)
    await world.until_round(3)
    for name in world.machines:
        state = world[name].chain.tree.head().state
        assert state.accounts[payee].balance == amount
        assert gained(world, state) == state.issued
    await world.close()


@virtual_time
async def test_a_producer_without_a_unit_leaves_the_round_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(seed=9, plan=Plan(mints=1, managers=0, strong=0, weak=0))
    await world.start()
    monkeypatch.setattr(RoundContext, "units", lambda _self, _producer: 0)
    with capture_logs() as logs:
        await world.until_round(3)
    events = {event["event"] for event in logs}
    assert "round_declined" in events
    assert not events & {"promised", "committed", "task_failed"}
    await world.close()
