"""Published tasks in whole networks: data spread, keys open in time, the best model is paid."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from nacl.signing import SigningKey
from structlog.testing import capture_logs

from nas.data.sources import Labelled, Parts
from nas.designs.space import Space
from node.chain.envelope import Signed, sign
from node.chain.messages import Claim, Fallback, Faucet, Transaction
from node.chain.params import DIGITS, FAST
from node.chain.published.record import TaskRecord
from node.chain.timing import Phase, deadline
from node.publishing.policy import PublisherPolicy
from node.publishing.prepare import Offer, Prepared, prepare
from node.publishing.shelf import MemoryShelf, OwnTask
from node.readiness import SPLIT
from tests.sim.world import Plan, World
from tests.virtual_time import virtual_time

SECRET = b"secret of the publisher ........"
SUBSIDY = 10_000_000
REWARD = 2 * SUBSIDY
FEE = 100_000
PARAMETERS = replace(FAST, subsidy=SUBSIDY)
PLAN = Plan(parameters=PARAMETERS)
PUBLISHER = "full0"


def labelled(count: int, seed: int) -> Labelled:
    rng = np.random.default_rng(seed)
    return Labelled(rng.integers(0, 256, (count, 1, 8, 8), np.uint8), np.arange(count) % 10)


def prepare_task(world: World, rounds: int = 2, holder: str = PUBLISHER, **terms: Any) -> Prepared:
    offer = Offer(
        space=Space.uniform(DIGITS.layers, DIGITS.ranges),
        profile="paper",
        protocol="qat",
        epochs=2,
        rounds=rounds,
        reward=REWARD,
        target=0,
        margin=0,
        key_holders=(world.key(holder),),
    )
    parts = Parts(labelled(300, 1), labelled(200 * rounds, 2), 10)
    rng = random.Random(4)
    made = prepare(parts, offer, PARAMETERS.tasks.max_mac_images, SECRET, rng.randbytes)
    return replace(made, terms=replace(made.terms, **terms))


def signed(world: World, message: Any) -> Signed[Transaction]:
    key: SigningKey = world.machines[PUBLISHER].setup.identity.signing_key
    state = world[PUBLISHER].chain.tree.head().state
    nonce = state.account(world.key(PUBLISHER)).nonce
    return sign(replace(message, nonce=nonce, fee=FEE), key, world.network.id)


async def publish(world: World, made: Prepared) -> None:
    """Coins in round 2, the task in round 3."""
    world.machines[PUBLISHER].shelf = MemoryShelf([OwnTask(made, SECRET)])
    await world.start()
    await world.until_round(2)
    world[PUBLISHER].submit(signed(world, Faucet(0, 0)).envelope)
    await world.until_round(3)
    await world[PUBLISHER].views.ledger.submit(signed(world, made.terms).envelope)
    await world.until_round(4)
    assert len(records(world)) == 1


async def until_paid(world: World) -> int:
    """The first round of the task, which has begun."""
    while not any(record.reserved for record in records(world)):
        await world.until_round(world[PUBLISHER].chain.tree.head().state.round + 2)
    (record,) = records(world)
    await world.until_round(record.reserved[0].round)
    return record.reserved[0].round


def records(world: World, name: str = PUBLISHER) -> list[TaskRecord]:
    return list(world[name].chain.tree.head().state.tasks.values())


def played(world: World) -> dict[int, tuple[bool, bool]]:
    """By round: whether it was paid, and whether somebody won."""
    chain = world["full1"].chain
    rounds = {}
    for entry in chain.tree.chain(chain.tree.head().id):
        if entry.block is not None:
            context = chain.tree.context_for(entry.block.parent, entry.block.round)
            won = isinstance(entry.block.header.message, Claim)
            rounds[entry.block.round] = (context.paid is not None, won)
    return rounds


@virtual_time
async def test_a_task_is_spread_mined_paid_and_done() -> None:
    world = World(seed=1, plan=PLAN)
    made = prepare_task(world)
    await publish(world, made)
    await world.until_round(10)
    (task,) = world["full1"].views.published.queue().tasks
    assert (task.used, task.won, task.winners) == (2, 1, 1)
    await world.until_round(12)
    rounds = played(world)
    paid = [number for number, (is_paid, _) in rounds.items() if is_paid]
    assert len(paid) == 2
    assert abs(paid[0] - paid[1]) == 2
    # The second winner would have to beat the first, so that round may have none.
    assert all(won for number, (_, won) in rounds.items() if number != max(paid))
    assert records(world) == []
    heads = {world[name].chain.tree.head().id for name in world.machines}
    assert len(heads) == 1
    await world.close()


@virtual_time
async def test_a_task_of_a_denied_publisher_is_not_mined() -> None:
    world = World(seed=5, plan=PLAN)
    denied = PublisherPolicy(denied=frozenset({world.key(PUBLISHER)}))
    for machine in world.machines.values():
        machine.setup = replace(machine.setup, publishers=denied)
    await publish(world, prepare_task(world, rounds=1))
    await world.until_round(11)
    assert set(played(world).values()) == {(True, False), (False, True)}
    await world.close()


@virtual_time
async def test_every_full_node_holds_and_serves_the_data() -> None:
    world = World(seed=2, plan=PLAN)
    made = prepare_task(world)
    await publish(world, made)
    await world.until_round(8)
    for name in ("full1", "full2", "full3"):
        library = world[name]._library
        assert all(library.blob(blob_hash) == blob for blob_hash, blob in made.blobs.items())
    (record,) = records(world)
    assert set(record.holders) == {world.key(f"full{number}") for number in range(4)}
    await world.close()


@virtual_time
async def test_a_withheld_key_costs_half_and_suspends_the_task() -> None:
    world = World(seed=3, plan=PLAN)
    made = prepare_task(world, holder="weak0")
    await publish(world, made)
    await world.until_round(11)
    (record,) = records(world)
    assert record.suspended
    chain = world["full1"].chain
    blocks = [entry.block for entry in chain.tree.chain(chain.tree.head().id) if entry.block]
    (blamed,) = [
        block
        for block in blocks
        if isinstance(header := block.header.message, Fallback) and header.missing
    ]
    assert blamed.header.message.missing == (made.terms.shards[0].key,)  # type: ignore[union-attr]
    assert [unit.producer for unit in blamed.body.units] == [world.key("manager0")]
    await world.close()


@virtual_time
async def test_a_key_that_does_not_open_what_was_promised_is_as_good_as_withheld() -> None:
    world = World(seed=4, plan=PLAN)
    made = prepare_task(world)
    first, *others = made.terms.shards
    wrong = (replace(first, plain=b"other images, easier ones ......"), *others)
    await publish(world, replace(made, terms=replace(made.terms, shards=wrong)))
    await world.until_round(11)
    (record,) = records(world)
    assert record.suspended
    await world.close()


@virtual_time
async def test_no_key_leaves_its_holder_without_a_quorum() -> None:
    world = World(seed=5, plan=PLAN)
    await publish(world, prepare_task(world))
    number = await until_paid(world)
    world.cut(["full0", "full1"])
    await world.until_round(number + 1)
    for name in world.machines:
        book = world[name]._rounds.known(number)
        assert book is None or not book.opened
    world.heal()
    await world.until_round(number + 6)
    await world.close()


@virtual_time
async def test_no_key_leaves_its_holder_on_a_chain_that_is_split(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(seed=5, plan=PLAN)
    await publish(world, prepare_task(world))
    number = await until_paid(world)
    monkeypatch.setattr(world[PUBLISHER].chain.tree, "is_split", lambda: True)
    with capture_logs() as logs:
        await world.until(number, Phase.CLAIM)
    assert not world["full1"]._rounds.book(number).opened
    assert [log["reason"] for log in logs if log["event"] == "not_opened"] == [SPLIT]
    await world.close()


@virtual_time
async def test_a_key_leaves_its_holder_once_a_block_is_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(seed=5, plan=PLAN)
    await publish(world, prepare_task(world))
    number = await until_paid(world)
    until_ms = deadline(world.network, number, Phase.TRAIN) + 200
    tree = world[PUBLISHER].chain.tree
    monkeypatch.setattr(tree, "is_split", lambda: world.now_ms() < until_ms)
    await world.until(number, Phase.CLAIM)
    assert world["full1"]._rounds.book(number).opened
    await world.close()


@virtual_time
async def test_a_key_leaves_its_holder_whose_clock_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(seed=5, plan=PLAN)
    await publish(world, prepare_task(world))
    number = await until_paid(world)
    monkeypatch.setattr(world[PUBLISHER].peers, "clock_offsets_ms", lambda: [51] * 4)
    await world.until(number, Phase.CLAIM)
    assert world["full1"]._rounds.book(number).opened
    await world.close()


@virtual_time
async def test_a_node_shows_the_queue_and_the_results() -> None:
    world = World(seed=6, plan=PLAN)
    await publish(world, prepare_task(world))
    ((task_id, _),) = world["full1"].chain.tree.head().state.tasks.items()
    shown = world["full1"].views.published
    (queued,) = shown.queue().tasks
    assert (queued.shards, queued.attesters, queued.escrow) == (2, 4, 2 * REWARD)
    await world.until_round(12)
    assert shown.queue().tasks == []
    first, *others = shown.results(task_id).results
    assert (first.shard, first.incumbent_correct, first.test_images) == (0, 0, 200)
    assert all(other.correct >= other.incumbent_correct > 0 for other in others)
    part = shown.model(first.model_hash, 0)
    assert len(part.data) == min(part.total, 2**20)
    block = world["full1"].views.block(first.block)
    assert block.winner is not None
    assert block.winner.test_size == 200
    paid = sum(line.amount for line in (*block.payouts, *block.attester_rewards))
    assert paid == REWARD * 8 // 10
    await world.close()


@virtual_time
async def test_a_wash_publisher_ends_poorer() -> None:
    """I12: the publisher's own miner wins both rounds, and all attesters are its own."""
    world = World(seed=7, plan=replace(PLAN, managers=0, strong=0, weak=0, mints=1))
    own = ["mint0", *(f"full{number}" for number in range(4))]

    def wealth() -> int:
        state = world["full1"].chain.tree.head().state
        held = sum(state.account(world.key(name)).balance for name in own)
        return held + sum(record.held for record in state.tasks.values()) - state.issued

    await publish(world, prepare_task(world, rounds=1))
    before = wealth()
    await world.until_round(12)
    assert records(world) == []
    assert any(is_paid and won for is_paid, won in played(world).values())
    assert wealth() <= before - REWARD // 5
    await world.close()
