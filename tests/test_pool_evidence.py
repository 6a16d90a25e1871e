"""A manager's receipts and notices: kept by the miner if they hold, the manager left if not."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from node.chain.envelope import sign
from node.chain.messages import Payload, PayoutLine, Receipt
from node.store.memory import MemoryStore
from node.wire import envelope_to_proto
from ponas.v1 import pool_service_pb2 as pb
from ponas.v1.types_pb2 import Envelope
from pool.proofs.receipts import Objection, make_notices
from pool.proofs.shelf import ReceiptShelf
from tests.hand_pool import HandPool, acknowledged, exploration, miner_of, receipt_for
from tests.pool_world import NETWORK_ID, PoolWorld, key_of, public
from tests.scripted import ScriptedExecutor
from tests.virtual_time import virtual_time


def signed(message: Payload, signer: str = "manager") -> Envelope:
    return envelope_to_proto(sign(message, key_of(signer), NETWORK_ID).envelope)


def answering(make: Callable[[Receipt], Envelope]) -> Callable[[pb.Result], pb.MineResponse]:
    """Acknowledge every result, with what `make` makes of an honest receipt."""

    def answer(result: pb.Result) -> pb.MineResponse:
        response = acknowledged(result)
        response.acknowledgement.receipt.CopyFrom(make(receipt_for(result)))
        return response

    return answer


def notice(address: str = "s", round_number: int = 1, weight: int | None = None) -> pb.MineResponse:
    """The notice of one line of two; another `weight` than the committed one has no proof."""
    lines = [PayoutLine(public(name), 500) for name in ("s", "t")]
    lines.sort(key=lambda line: line.address)
    message = make_notices(round_number, bytes(32), bytes(32), lines)[public(address)]
    if weight is not None:
        message = replace(message, weight=weight)
    return pb.MineResponse(payout_notice=signed(message))


@virtual_time
async def test_receipts_and_notices_are_kept() -> None:
    world, store = PoolWorld(), MemoryStore()
    pool = HandPool(world, "a")
    pool.orders, pool.answer = [exploration(1), notice()], answering(signed)
    miner = miner_of(world, (pool,), ScriptedExecutor(world.clock), store=store)
    world.spawn(miner.run(), "miner")
    await world.pass_ms(5_000)

    shelf = ReceiptShelf(store)
    assert len(list(shelf.receipts(1))) == len(pool.results) > 1
    assert len(list(shelf.notices(1))) == 1
    assert pool.open == 1
    await world.close()


@virtual_time
async def test_a_manager_that_accepts_without_a_receipt_is_told_and_left() -> None:
    world, store = PoolWorld(), MemoryStore()
    pool = HandPool(world, "a")
    pool.orders, pool.answer = [exploration(1)], acknowledged
    miner = miner_of(world, (pool,), ScriptedExecutor(world.clock), store=store)
    with capture_logs() as logs:
        world.spawn(miner.run(), "miner")
        await world.pass_ms(1_700)

    faults = [log["objection"] for log in logs if log["event"] == "proof_refused"]
    assert faults[0] == Objection.NO_RECEIPT
    assert f"proves nothing: {Objection.NO_RECEIPT}" in miner.status.activity
    await world.close()


@virtual_time
async def test_the_receipt_of_a_result_that_was_sent_again_is_kept() -> None:
    world, store = PoolWorld(), MemoryStore()
    pool = HandPool(world, "a")

    def here_already(result: pb.Result) -> pb.MineResponse:
        response = pool.accepted(result)
        response.acknowledgement.acceptance = pb.ACCEPTANCE_REFUSED
        response.acknowledgement.reason = "duplicate: it is here already"
        return response

    pool.orders, pool.answer = [exploration(1)], here_already
    miner = miner_of(world, (pool,), ScriptedExecutor(world.clock), store=store)
    world.spawn(miner.run(), "miner")
    await world.pass_ms(5_000)

    assert len(list(ReceiptShelf(store).receipts(1))) == len(pool.results) > 1
    assert pool.open == 1
    await world.close()


@pytest.mark.parametrize(
    ("changes", "signer", "objection"),
    [
        ({}, "somebody else", Objection.SIGNER),
        ({"round": 2}, "manager", Objection.OTHER_RESULT),
        ({"correct": 1}, "manager", Objection.OTHER_RESULT),
        ({"miner": public("t")}, "manager", Objection.OTHER_RESULT),
        ({"share": bytes(32)}, "manager", Objection.OTHER_SHARE),
        # The entry in the log is another one if the work is.
        ({"work": 1}, "manager", Objection.OTHER_SHARE),
    ],
)
def test_a_manager_whose_receipt_is_bad_is_told_and_left(
    changes: Mapping[str, Any], signer: str, objection: Objection
) -> None:
    @virtual_time
    async def run() -> None:
        world, store = PoolWorld(), MemoryStore()
        pool = HandPool(world, "a")
        pool.orders = [exploration(1)]
        pool.answer = answering(lambda receipt: signed(replace(receipt, **changes), signer))
        miner = miner_of(world, (pool,), ScriptedExecutor(world.clock), store=store)
        with capture_logs() as logs:
            world.spawn(miner.run(), "miner")
            await world.pass_ms(1_700)
        faults = [log["objection"] for log in logs if log["event"] == "proof_refused"]
        assert faults[0] == objection
        assert f"proves nothing: {objection}" in miner.status.activity
        assert list(ReceiptShelf(store).receipts(1)) == []
        await world.close()

    run()


@pytest.mark.parametrize(
    ("message", "objection"),
    [
        (notice(address="t"), Objection.OTHER_ADDRESS),
        (notice(round_number=9), Objection.OTHER_ROUND),
        (notice(weight=501), Objection.NO_PROOF),
        (pb.MineResponse(payout_notice=Envelope()), Objection.ENVELOPE),
    ],
)
def test_a_manager_whose_notice_is_bad_is_told_and_left(
    message: pb.MineResponse, objection: Objection
) -> None:
    @virtual_time
    async def run() -> None:
        world, store = PoolWorld(), MemoryStore()
        pool = HandPool(world, "a")
        pool.orders = [message]
        miner = miner_of(world, (pool,), ScriptedExecutor(world.clock), store=store)
        world.spawn(miner.run(), "miner")
        await world.pass_ms(200)
        assert f"proves nothing: {objection}" in miner.status.activity
        assert list(ReceiptShelf(store).rounds()) == []
        await world.close()

    run()
