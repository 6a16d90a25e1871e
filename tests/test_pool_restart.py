"""A manager that is killed: what it has acknowledged is there when it is back."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from node.chain.codec import encode
from node.chain.envelope import open_as
from node.chain.hashing import blob_hash
from node.chain.messages import Claim, Receipt
from node.errors import StoreError
from node.store.base import Change
from node.wire import envelope_from_proto
from ponas.v1 import pool_service_pb2 as pb
from pool.manager.journal import KEPT_EVENTS
from pool.records import events
from pool.records.codec import encode_state
from pool.records.state import PoolState
from pool.records.strengths import Strength
from pool.records.transition import apply_all
from tests import pool_world
from tests.pool_states import round_of
from tests.pool_world import (
    NETWORK_ID,
    PHASE_MS,
    SPACE,
    TASK,
    MortalWriter,
    PoolWorld,
    public,
)
from tests.test_pool_manager import RawMiner, trained
from tests.virtual_time import virtual_time


def replayed(world: PoolWorld) -> PoolState:
    """The state that follows from all events in the journal."""
    return apply_all(PoolState(), world.history())


@virtual_time
async def test_what_was_acknowledged_is_there_after_a_crash() -> None:
    world = PoolWorld(seed=2)
    world.writer.sync_ms = 7
    world.start_round()
    world.add_miner("s", Strength.STRONG)
    world.add_miner("w", Strength.WEAK)
    await world.pass_ms(9_003)
    before = world.manager.state
    model = world.manager.best()
    await world.crash_manager()
    world.start_manager()

    after = world.manager.state
    assert round_of(after).searches[0].rewards == round_of(before).searches[0].rewards
    assert (after.books.earned, after.books.page) == (before.books.earned, before.books.page)
    assert world.manager.best() == model
    assert model is not None
    assert not any(miner.connected for miner in after.miners.values())
    await world.close()


@virtual_time
async def test_a_crash_loses_nothing_but_what_nobody_was_told() -> None:
    world = PoolWorld()
    world.start_round()
    miner = await RawMiner(world, "s").connect()
    assignment = await miner.expect("assignment")
    first, model = trained(assignment, 300)
    await miner.send(first)
    await miner.serve_blob(model)
    await miner.expect("acknowledgement")
    world.writer.sync_ms = 200
    second, _ = trained(assignment, 290, episode=1)
    await miner.send(second)
    # Journalled in memory, but not yet on disk: so it must not be acknowledged either.
    await world.pass_ms(100)
    assert len(round_of(world.manager.state).searches[0].rewards) == 2
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await miner.expect("acknowledgement")
    await world.crash_manager()
    world.start_manager()

    assert len(round_of(world.manager.state).searches[0].rewards) == 1
    await world.close()


@virtual_time
async def test_miners_get_their_leases_back_and_go_on_with_the_next_episode() -> None:
    world = PoolWorld(seed=2)
    world.start_round()
    for name in "st":
        world.add_miner(name, Strength.STRONG)
    await world.pass_ms(8_000)
    owners = {n: search.owner for n, search in round_of(world.manager.state).searches.items()}
    done = len(round_of(world.manager.state).searches[0].rewards)
    await world.crash_manager()
    world.start_manager()
    world.start_round()
    await world.pass_ms(12_000)

    round_ = round_of(world.manager.state)
    assert {number: search.owner for number, search in round_.searches.items()} == owners
    assert all(search.holder == search.owner for search in round_.searches.values())
    assert len(round_.searches[0].rewards) > done
    refused = [dict(miner.refused) for miner in world.manager.state.miners.values()]
    assert refused == [{}, {}], "results that were sent again are no fault"
    await world.close()


@virtual_time
async def test_who_does_not_come_back_after_a_restart_loses_its_search() -> None:
    world = PoolWorld(seed=2)
    world.start_round()
    world.add_miner("s", Strength.STRONG)
    await world.pass_ms(6_000)
    await world.crash_manager()
    await world.kill("s")
    world.start_manager()
    world.start_round()
    assert not round_of(world.manager.state).free
    await world.pass_ms(8_000)

    assert set(round_of(world.manager.state).free) == {0}
    await world.close()


@virtual_time
async def test_the_state_is_the_fold_of_its_events() -> None:
    world = PoolWorld(seed=4)
    world.start_round()
    for name, strength in (("s", Strength.STRONG), ("t", Strength.STRONG), ("w", Strength.WEAK)):
        world.add_miner(name, strength)
    await world.pass_ms(PHASE_MS)
    world.manager.close_round()
    world.start_round(2)
    await world.pass_ms(3_000)

    assert replayed(world) == world.manager.state
    await world.crash_manager()
    world.start_manager()
    await world.pass_ms(1)
    assert replayed(world) == world.manager.state
    assert sum(map(len, encode_state(world.manager.state))) < 200_000
    await world.close()


@virtual_time
async def test_old_events_are_forgotten_and_new_ones_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert KEPT_EVENTS > 100_000
    monkeypatch.setattr("pool.manager.journal.KEPT_EVENTS", 5)
    world = PoolWorld()
    for number in range(1, 9):
        world.start_round(number)
        await world.pass_ms(100)
    numbers = [number for number, _ in world.manager.events(1)]

    assert numbers[0] > 1
    assert numbers[-1] - numbers[0] + 1 == len(numbers) <= 8
    assert round_of(world.manager.state).task.round == 8
    await world.close()


@virtual_time
async def test_a_promise_is_kept_on_disk_before_it_is_made() -> None:
    world = PoolWorld(seed=2)
    world.start_round()
    world.add_miner("s", Strength.STRONG)
    await world.pass_ms(8_000)
    world.manager.close_round()
    best = world.manager.best()
    assert best is not None
    claim = Claim(
        round=1,
        parent=bytes(32),
        unit=0,
        genotype=best.genotype.to_bytes(),
        model_hash=blob_hash(best.model),
        payout_root=bytes(32),
        salt=b"s" * 32,
        correct=0,
        secrets=(),
        body_hash=bytes(32),
        state_root=bytes(32),
    )
    await world.manager.promise(claim, best, b"c" * 32)
    world.start_round(2)
    await world.crash_manager()
    world.start_manager()

    promised = world.manager.promised()
    assert promised is not None
    assert encode(promised.claim) == encode(claim)
    assert (promised.model, promised.lines) == (best.model, best.lines)
    await world.close()


@virtual_time
async def test_an_acknowledgement_carries_the_managers_receipt() -> None:
    world = PoolWorld()
    world.start_round()
    miner = await RawMiner(world, "s").connect()
    report = await miner.deliver(await miner.expect("assignment"), 300)
    answer = await miner.expect("acknowledgement")

    receipt = open_as(Receipt, envelope_from_proto(answer.receipt), NETWORK_ID)
    assert receipt.signer == public("manager")
    assert (receipt.message.round, receipt.message.miner) == (1, public("s"))
    assert receipt.message.model_hash == report.model_hash
    assert (receipt.message.correct, receipt.message.confirmed) == (300, 1)
    assert receipt.message.work > 0
    assert receipt.message.worth == b"full"
    await world.close()


@virtual_time
async def test_a_manager_that_stops_asks_its_miners_to_come_back() -> None:
    world = PoolWorld()
    miner = await RawMiner(world, "s").connect()
    await world.manager.close("an upgrade")

    drain = await miner.expect("drain")
    assert (drain.reason, drain.wait_ms) == ("an upgrade", 2_000)
    await world.close()


@virtual_time
async def test_the_next_round_is_sent_ahead_and_says_when_it_starts() -> None:
    world = PoolWorld()
    world.start_round()
    miner = await RawMiner(world, "s").connect()
    await miner.expect("assignment")
    world.manager.close_round()
    now_ms = world.clock.now_ms()
    task = round_of(world.manager.state).task
    ahead = task.but(round=2, start_ms=now_ms + 5_000, train_end_ms=now_ms + 20_000)
    world.manager.start_round(ahead)
    assignment: pb.Assignment = await miner.expect("assignment")

    assert assignment.round == 2
    assert 4_900 < assignment.starts_in_ms <= 5_000
    # Another context comes to light: the round begins anew.
    other = replace(TASK, epochs=9)
    world.manager.start_round(ahead.but(task=other, space=SPACE))
    assert (await miner.expect("assignment")).epochs == 9
    opened = [e for e in world.history() if isinstance(e, events.RoundOpened)]
    assert [event.task.round for event in opened] == [1, 2, 2]
    await world.close()


@virtual_time
async def test_a_weak_miner_that_is_back_first_does_not_explore_while_a_strong_one_is_awaited() -> (
    None
):
    world = PoolWorld(seed=2)
    world.start_round()
    strong = await RawMiner(world, "s").connect()
    await RawMiner(world, "w").connect(Strength.WEAK)
    await strong.expect("assignment")
    await world.crash_manager()
    world.start_manager()
    world.start_round()
    weak = await RawMiner(world, "w").connect(Strength.WEAK)

    async with asyncio.timeout(1):
        assert "waits for the first confirmed best" in (await weak.expect("idle")).reason
    assert world.manager.state.awaited == 1
    # But not for ever.
    async with asyncio.timeout(PHASE_MS / 1_000):
        assert (await weak.expect("assignment")).HasField("exploration")
    assert world.manager.state.awaited == 0
    await world.close()


@virtual_time
async def test_who_is_back_is_awaited_no_longer() -> None:
    world = PoolWorld(seed=2)
    world.start_round()
    await RawMiner(world, "s").connect()
    await world.crash_manager()
    world.start_manager()
    assert world.manager.state.awaited == 1
    await RawMiner(world, "s").connect()

    assert (world.manager.state.awaited, world.manager.state.strong) == (0, 1)
    await world.close()


@pytest.mark.parametrize("is_restarted", [False, True])
def test_who_sends_a_result_again_gets_its_receipt_again(is_restarted: bool) -> None:
    @virtual_time
    async def run() -> None:
        world = PoolWorld()
        world.start_round()
        miner = await RawMiner(world, "s").connect()
        report = await miner.deliver(await miner.expect("assignment"), 300)
        first = (await miner.expect("acknowledgement")).receipt
        if is_restarted:
            await world.crash_manager()
            world.start_manager()
        again = await RawMiner(world, "s").connect()
        await again.send(report)
        answer = await again.expect("acknowledgement")

        assert answer.acceptance == pb.ACCEPTANCE_REFUSED
        assert answer.receipt == first
        await world.close()

    run()


class FullDisk(MortalWriter):
    """Has no room for anything."""

    async def write(self, changes: Sequence[Change]) -> None:
        raise StoreError("the disk is full")


@virtual_time
async def test_a_manager_whose_store_fails_ends_and_can_still_be_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_world, "MortalWriter", FullDisk)
    world = PoolWorld()
    world.start_round()
    await world.pass_ms(100)

    assert not world.is_manager_running
    with pytest.raises(StoreError, match="the disk is full"):
        await world.manager.run()
    await world.close()
