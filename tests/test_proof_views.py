"""Receipts, payout notices and the share log, as the query service shows them."""

import grpc
import pytest

from node.chain.codec import encode
from node.chain.envelope import sign
from node.chain.messages import PayoutLine
from node.identity import format_address
from node.inspection.proofs import MOST_RECEIPTS
from node.store.memory import MemoryStore
from ponas.v1 import query_service_pb2 as pb
from pool.proofs.openpage import OpenPage, close_page, with_forfeit, with_share
from pool.proofs.receipts import make_notices, make_receipt
from pool.proofs.sharelog import FIRST_PAGE, Held, Terms
from pool.proofs.shelf import PageShelf, ReceiptShelf
from pool.rules.worth import Worth
from tests.fixed_views import FixedViews
from tests.pool_world import NETWORK_ID, key_of, public
from tests.proof_world import MANAGER, share
from tests.test_query import serving


async def test_receipts_are_shown_by_round_and_in_parts() -> None:
    store = MemoryStore()
    shelf = ReceiptShelf(store)
    for episode in range(MOST_RECEIPTS + 2):
        receipt = make_receipt(2, share("a", episode), is_confirmed=False, worth=Worth.FULL)
        store.write(shelf.keep_receipt(sign(receipt, key_of("manager"), NETWORK_ID)))
    older = sign(
        make_receipt(1, share("a", 0, 70), True, Worth.FULL), key_of("manager"), NETWORK_ID
    )
    store.write(shelf.keep_receipt(older))

    async with serving(FixedViews(store=store)) as stub:
        newest = await stub.GetReceipts(pb.GetReceiptsRequest())
        rest = await stub.GetReceipts(pb.GetReceiptsRequest(offset=MOST_RECEIPTS))
        first = await stub.GetReceipts(pb.GetReceiptsRequest(round=1))
        empty = await stub.GetReceipts(pb.GetReceiptsRequest(round=3))

    assert list(newest.rounds) == [1, 2]
    assert (newest.round, len(newest.receipts), len(rest.receipts)) == (2, MOST_RECEIPTS, 2)
    (shown,) = first.receipts
    assert shown.envelope == encode(older.envelope).hex()
    assert (shown.manager, shown.miner) == (MANAGER.hex(), public("a").hex())
    assert (shown.correct, shown.size, shown.work, shown.confirmed) == (300, 360, 70, True)
    assert not empty.receipts


async def test_a_node_without_a_pool_has_no_receipts() -> None:
    async with serving(FixedViews()) as stub:
        answer = await stub.GetReceipts(pb.GetReceiptsRequest())
        notices = await stub.GetPayoutNotices(pb.GetPayoutNoticesRequest())

    assert answer == pb.GetReceiptsResponse()
    assert not notices.notices


async def test_notices_are_shown_old_to_new() -> None:
    store = MemoryStore()
    shelf = ReceiptShelf(store)
    line = PayoutLine(public("a"), 1_000)
    for number in (5, 4):
        notice = make_notices(number, bytes(32), FIRST_PAGE, [line])[line.address]
        store.write(shelf.keep_notice(sign(notice, key_of("manager"), NETWORK_ID)))

    async with serving(FixedViews(store=store)) as stub:
        answer = await stub.GetPayoutNotices(pb.GetPayoutNoticesRequest())

    assert [notice.round for notice in answer.notices] == [4, 5]
    shown = answer.notices[0]
    assert shown.address == format_address(public("a"))
    assert (shown.weight, shown.index, shown.lines) == (1_000, 0, 1)


async def test_a_page_is_shown_by_its_hash() -> None:
    store = MemoryStore()
    page = with_forfeit(with_share(OpenPage(), share("a")), public("b"), "count-differs")
    terms, held = Terms(public("a"), MANAGER, 10), (Held(public("a"), 6),)
    hash_, data, _ = close_page(page, MANAGER, 7, terms, held)
    store.write(PageShelf(store).keep(7, hash_, data))

    async with serving(FixedViews(store=store)) as stub:
        shown = await stub.GetShareLog(pb.GetShareLogRequest(hash=hash_.hex()))

    assert (shown.pool, shown.round, shown.before) == (MANAGER.hex(), 7, FIRST_PAGE.hex())
    assert shown.shares[0].address == format_address(public("a"))
    assert shown.shares[0].genotype == share("a").genotype.hex()
    assert (shown.forfeits[0].reason, shown.forfeits[0].after) == ("count-differs", 1)
    assert (shown.held[0].miner, shown.held[0].shares) == (public("a").hex(), 6)
    assert (shown.terms.manager, shown.terms.fee_permille) == (format_address(MANAGER), 10)


@pytest.mark.parametrize(
    ("hash_", "status"),
    [("00" * 32, grpc.StatusCode.NOT_FOUND), ("7", grpc.StatusCode.INVALID_ARGUMENT)],
)
async def test_pages_that_are_not_there(hash_: str, status: grpc.StatusCode) -> None:
    async with serving(FixedViews()) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub.GetShareLog(pb.GetShareLogRequest(hash=hash_))
    assert error.value.code() is status
