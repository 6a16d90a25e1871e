"""`ponas pool verify-payout` and `audit-manager`, against nodes that serve a pool's records."""

import json
from collections.abc import Iterator
from concurrent import futures
from typing import Any, TypeVar

import grpc
import pytest
from click.testing import CliRunner, Result
from google.protobuf.message import Message

from node.chain.codec import encode
from node.chain.envelope import sign
from node.chain.hashing import blob_hash
from node.chain.messages import Body
from node.cli.client import main
from node.inspection.proofs import ShelfProofs
from node.query import fill
from node.store.memory import MemoryStore
from node.views.status import UnknownItem
from ponas.v1 import query_service_pb2 as query
from ponas.v1.query_service_pb2_grpc import QueryServiceServicer, add_QueryServiceServicer_to_server
from pool.proofs.sharelog import page_hash
from pool.proofs.shelf import PageShelf, ReceiptShelf
from tests.pool_world import NETWORK_ID, key_of
from tests.proof_world import PoolRecords, claim

M = TypeVar("M", bound=Message)
LAST = 3
SHOWN_FEE = 10
FIRST_TOLD = 2
"""The first round whose task the node knows."""


class _Node(QueryServiceServicer):
    """Miner's node and pool in one: serves the records of a miner `a`, its pool, and the chain."""

    def __init__(self, records: PoolRecords, final_round: int = LAST) -> None:
        self._records = records
        self._final_round = final_round
        store = MemoryStore()
        shelf, pages = ReceiptShelf(store), PageShelf(store)
        for receipt in records.receipts["a"]:
            store.write(shelf.keep_receipt(sign(receipt, key_of("manager"), NETWORK_ID)))
        for notice in records.notices["a"]:
            store.write(shelf.keep_notice(sign(notice, key_of("manager"), NETWORK_ID)))
        for data in records.pages.values():
            store.write(pages.keep(1, page_hash(data), data))
        self.proofs = ShelfProofs(shelf, pages)

    def GetStatus(
        self, request: query.GetStatusRequest, context: grpc.ServicerContext
    ) -> query.GetStatusResponse:
        return query.GetStatusResponse(
            network_id=NETWORK_ID.hex(),
            public_key=bytes(key_of("manager").verify_key).hex(),
            final_height=self._final_round,
            final_round=self._final_round,
        )

    def GetBlockBytes(
        self, request: query.GetBlockBytesRequest, context: grpc.ServicerContext
    ) -> query.GetBlockBytesResponse:
        block = self._records.blocks[request.height]
        body = encode(Body(commit_ids=block.commit_ids, payouts=block.lines))
        header = claim(request.height, block.lines, body_hash=blob_hash(body))
        signed = sign(header, key_of("manager"), NETWORK_ID)
        return query.GetBlockBytesResponse(header=encode(signed.envelope).hex(), body=body.hex())

    def ListRoundTasks(
        self, request: query.ListRoundTasksRequest, context: grpc.ServicerContext
    ) -> query.ListRoundTasksResponse:
        # As if one answer told of one block.
        height = request.below - 1 if request.below else self._final_round
        if height < max(request.since, FIRST_TOLD):
            return query.ListRoundTasksResponse()
        told = query.RoundTaskView(
            round=height, dataset="digits", epochs=10, max_mac_images=1 << 48
        )
        return query.ListRoundTasksResponse(tasks=[told], next=height)

    def GetReceipts(
        self, request: query.GetReceiptsRequest, context: grpc.ServicerContext
    ) -> query.GetReceiptsResponse:
        number = request.round if request.HasField("round") else None
        return _filled(query.GetReceiptsResponse(), self.proofs.receipts(number, request.offset))

    def GetPayoutNotices(
        self, request: query.GetPayoutNoticesRequest, context: grpc.ServicerContext
    ) -> query.GetPayoutNoticesResponse:
        return _filled(query.GetPayoutNoticesResponse(), self.proofs.notices())

    def GetPool(
        self, request: query.GetPoolRequest, context: grpc.ServicerContext
    ) -> query.GetPoolResponse:
        return query.GetPoolResponse(fee_permille=SHOWN_FEE)

    def GetShareLog(
        self, request: query.GetShareLogRequest, context: grpc.ServicerContext
    ) -> query.GetShareLogResponse:
        try:
            page = self.proofs.share_page(bytes.fromhex(request.hash))
        except UnknownItem as error:
            context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        return _filled(query.GetShareLogResponse(), page)


def _filled(message: M, view: object) -> M:
    fill(message, view)
    return message


class Served:
    """Runs the commands against a node that serves some records."""

    def __init__(self) -> None:
        self._servers: list[grpc.Server] = []

    def run(self, records: PoolRecords, *words: str, final_round: int = LAST) -> Result:
        server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
        node = _Node(records, final_round)  # type: ignore[abstract]  # what is not asked is missing
        add_QueryServiceServicer_to_server(node, server)
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        self._servers.append(server)
        named = [address if word == "POOL" else word for word in words]
        return CliRunner().invoke(main, ["pool", *named, "--node", address])

    def stop(self) -> None:
        for server in self._servers:
            server.stop(grace=None).wait()


@pytest.fixture
def served() -> Iterator[Served]:
    world = Served()
    yield world
    world.stop()


@pytest.fixture
def records() -> PoolRecords:
    made = PoolRecords()
    for number in range(1, LAST + 1):
        made.play(number, {"a": [100, 50], "b": [150]})
    return made


def payments(result: Result) -> dict[int, str]:
    return {row["round"]: row["payment"] for row in json.loads(result.output)}


def test_what_was_paid_is_told_round_by_round(served: Served, records: PoolRecords) -> None:
    result = served.run(records, "verify-payout", "--json")

    assert result.exit_code == 0, result.output
    assert payments(result) == {1: "paid", 2: "paid", 3: "paid"}
    # Seven eighths less the fee, by half.
    assert json.loads(result.output)[0]["share_percent"] == pytest.approx(43.25)


def test_one_round_can_be_asked_for(served: Served, records: PoolRecords) -> None:
    assert payments(served.run(records, "verify-payout", "--json", "--round", "2")) == {2: "paid"}


def test_what_is_not_final_is_not_judged(served: Served, records: PoolRecords) -> None:
    result = served.run(records, "verify-payout", "--json", final_round=2)

    assert payments(result) == {1: "paid", 2: "paid", 3: "not-final"}
    assert result.exit_code == 0


def test_people_get_a_table(served: Served, records: PoolRecords) -> None:
    result = served.run(records, "verify-payout")

    assert "43.2500" in result.output
    assert "payment" in result.output


def test_a_broken_promise_has_an_exit_code(served: Served, records: PoolRecords) -> None:
    records.change_block(2, lines=records.blocks[2].lines[:1])

    result = served.run(records, "verify-payout", "--json")

    assert payments(result)[2] == "other-root"
    assert result.exit_code == 1


def test_a_node_without_notices_says_so(served: Served, records: PoolRecords) -> None:
    result = served.run(records, "verify-payout", "--round", "9")

    assert "no payout notices of round 9" in result.output
    assert result.exit_code == 0


def test_a_pool_that_won_and_promised_nothing_is_told_of_and_not_accused(
    served: Served, records: PoolRecords
) -> None:
    del records.notices["a"][1:]

    result = served.run(records, "verify-payout", "--json")

    assert payments(result) == {1: "paid", 2: "no-notice", 3: "no-notice"}
    assert result.exit_code == 0
    assert "taken or held back" in served.run(records, "verify-payout").output
    assert "held back" not in served.run(records, "verify-payout", "--round", "1").output
    audited = json.loads(served.run(records, "audit-manager", "POOL", "--json").output)
    assert {found["kind"] for found in audited["findings"]} == {"notice-missing"}
    assert audited["payouts"] == 1


def test_a_pool_that_holds_back_all_of_a_newcomers_work_breaks_no_promise(served: Served) -> None:
    records = PoolRecords()
    for number in range(1, LAST + 1):
        held = {"a": 1} if number == 1 else {}
        records.play(number, {"a": [100], "b": [150]}, held=held)

    result = served.run(records, "verify-payout", "--json")

    assert payments(result) == {1: "no-notice", 2: "paid", 3: "paid"}
    assert result.exit_code == 0


def test_what_was_not_checked_is_not_said_to_agree(served: Served, records: PoolRecords) -> None:
    records.notices["a"].clear()

    result = served.run(records, "audit-manager", "POOL", final_round=0)

    assert result.exit_code == 0
    assert "0 of 6 receipts" in result.output
    assert "0 payouts" in result.output
    assert "fee" not in result.output


def test_an_honest_pool_agrees_with_itself(served: Served, records: PoolRecords) -> None:
    result = served.run(records, "audit-manager", "POOL")

    assert "4 of 6 receipts" in result.output
    assert "3 payouts" in result.output
    assert "2 of 3 rounds with the price" in result.output
    assert "at most 10 thousandths" in result.output
    assert result.exit_code == 0


def test_a_log_that_holds_work_back_is_read_whole(served: Served) -> None:
    records = PoolRecords()
    for number in range(1, LAST + 1):
        records.play(number, {"a": [100], "b": [50, 150]}, held={"b": 1})

    result = served.run(records, "audit-manager", "POOL", "--json")

    assert json.loads(result.output)["findings"] == []


def test_more_work_than_a_training_takes_is_a_finding(served: Served) -> None:
    """An entry of a member that nobody knows takes nearly all of the pay."""
    records = PoolRecords()
    for number in range(1, LAST + 1):
        records.play(number, {"a": [10**8], "phantom": [10**13]})

    result = served.run(records, "audit-manager", "POOL", "--json")

    found = json.loads(result.output)["findings"]
    # The task of the first round is not known.
    dear = [("entry-too-dear", 2), ("entry-too-dear", 3)]
    assert [(each["kind"], each["round"]) for each in found] == dear
    assert result.exit_code == 1


def test_a_fee_that_the_pool_does_not_show_is_a_finding(served: Served) -> None:
    records = PoolRecords(fee_permille=SHOWN_FEE)
    for number in range(1, LAST + 1):
        records.fee_permille += number
        records.play(number, {"a": [100], "b": [150]})

    result = served.run(records, "audit-manager", "POOL", "--json")

    found = json.loads(result.output)
    assert found["fees_permille"] == {"1": 11, "2": 13, "3": 16}
    assert {each["kind"] for each in found["findings"]} == {"fee-differs"}
    assert result.exit_code == 1


def test_findings_are_listed_with_an_exit_code(served: Served, records: PoolRecords) -> None:
    first = records.notices["a"][0].share_log
    del records.pages[first]

    result = served.run(records, "audit-manager", "POOL", "--json")

    found = json.loads(result.output)
    assert {finding["kind"] for finding in found["findings"]} == {"log-missing"}
    assert found["manager"] == bytes(key_of("manager").verify_key).hex()
    assert result.exit_code == 1
    assert "log-missing" in served.run(records, "audit-manager", "POOL").output


def test_a_page_that_is_not_the_named_one_counts_as_missing(
    served: Served, records: PoolRecords
) -> None:
    newest = records.notices["a"][-1].share_log
    server_side = _Node.GetShareLog

    def lies(self: _Node, request: Any, context: Any) -> Any:
        answer = server_side(self, request, context)
        if request.hash == newest.hex():
            answer.shares[0].work += 1
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Node, "GetShareLog", lies)
        result = served.run(records, "audit-manager", "POOL", "--json")

    found = json.loads(result.output)["findings"]
    assert [(finding["kind"], finding["round"]) for finding in found] == [("log-missing", 3)]


def test_a_pool_that_signed_nothing_is_named(served: Served, records: PoolRecords) -> None:
    records.receipts["a"].clear()
    records.notices["a"].clear()

    result = served.run(records, "audit-manager", "POOL")

    assert "keeps nothing signed by the pool" in result.output
    assert result.exit_code == 1


def test_a_pool_needs_an_address(served: Served, records: PoolRecords) -> None:
    result = served.run(records, "audit-manager", "nowhere")

    assert result.exit_code == 2
    assert "POOL" in result.output
