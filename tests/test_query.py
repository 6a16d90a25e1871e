"""The query service: views in, messages out, errors as statuses."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import Any, get_args, get_type_hints

import grpc
import pytest

from node import query
from node.net.grpc_transport import GrpcServer
from node.net.link import PeerLink
from node.query import QueryServicer, fill
from node.views import blocks, ledger, listings, proofs, status, tasks
from node.views.status import QueryError, StatusView, Views
from ponas.v1 import query_service_pb2 as pb
from ponas.v1 import types_pb2
from ponas.v1.query_service_pb2_grpc import QueryServiceStub
from tests.fixed_views import BLOCK, FALLBACK, FixedViews, hash_of

PAIRS = {
    status.StatusView: pb.GetStatusResponse,
    blocks.BlockView: pb.GetBlockResponse,
    status.RoundView: pb.GetRoundResponse,
    listings.ListsView: pb.GetListsResponse,
    status.TaskView: pb.GetTaskResponse,
    ledger.AccountView: pb.GetAccountResponse,
    ledger.BondsView: pb.ListBondsResponse,
    ledger.HistoryView: pb.GetHistoryResponse,
    ledger.SubmittedView: pb.SubmitTransactionResponse,
    tasks.TaskQueueView: pb.ListTasksResponse,
    tasks.TaskResultsView: pb.GetTaskResultsResponse,
    tasks.TaskTermsView: pb.GetTaskTermsResponse,
    tasks.RoundTasksView: pb.ListRoundTasksResponse,
    tasks.ModelPartView: pb.GetModelResponse,
    status.PoolView: pb.GetPoolResponse,
    status.MinersView: pb.ListMinersResponse,
    status.PoolEventsView: pb.ListPoolEventsResponse,
    blocks.BlockBytesView: pb.GetBlockBytesResponse,
    proofs.ReceiptsView: pb.GetReceiptsResponse,
    proofs.PayoutNoticesView: pb.GetPayoutNoticesResponse,
    proofs.SharePageView: pb.GetShareLogResponse,
    status.PeersView: pb.ListPeersResponse,
}


async def _no_peer(link: PeerLink) -> None:
    await link.close("not here")


@asynccontextmanager
async def serving(served: Views) -> AsyncIterator[Any]:
    """A stub of a real server that shows the views."""
    server = GrpcServer(QueryServicer(served), _no_peer)
    address = await server.start("127.0.0.1:0")
    async with grpc.aio.insecure_channel(address) as channel:
        yield QueryServiceStub(channel)
    await server.stop(0)


@pytest.mark.parametrize(("view", "message"), PAIRS.items(), ids=lambda kind: kind.__name__)
def test_views_mirror_the_messages(view: type, message: Any) -> None:
    def compare(view: type, descriptor: Any) -> None:
        hints = get_type_hints(view)
        assert [f.name for f in fields(view)] == [f.name for f in descriptor.fields]
        for field in descriptor.fields:
            if field.message_type and field.message_type.name != "Counter":
                nested = hints[field.name]
                part = next((arg for arg in get_args(nested) if arg is not type(None)), nested)
                compare(part, field.message_type)

    compare(view, message.DESCRIPTOR)


def test_phases_have_the_values_of_the_wire() -> None:
    wire = {name.removeprefix("PHASE_"): value for name, value in pb.Phase.items() if value}
    assert wire == {phase.name: phase.value for phase in status.ViewPhase}


def test_bytes_become_hexadecimal_and_nothing_stays_unset() -> None:
    won, void = pb.GetBlockResponse(), pb.GetBlockResponse()
    fill(won, BLOCK)
    fill(void, FALLBACK)
    assert won.id == "03" * 32
    assert won.winner.genotype == "00010203040506070809"
    assert won.winner.layers[0].num_kernels == 8
    assert [(line.address, line.amount) for line in won.payouts] == [("pn-miner", 90)]
    assert void.fallback
    assert not void.HasField("winner")


def test_counters_are_sorted_by_reason() -> None:
    status = pb.GetStatusResponse()
    fill(status, FixedViews().status())
    counters = [(counter.reason, counter.count) for counter in status.refused]
    assert counters == [("bad-signature", 2), ("replayed", 1)]


def test_requests_reach_the_views() -> None:
    async def scenario() -> None:
        async with serving(FixedViews()) as stub:
            assert (await stub.GetBlock(pb.GetBlockRequest())).height == BLOCK.height
            by_id = await stub.GetBlock(pb.GetBlockRequest(id=FALLBACK.id.hex()))
            by_height = await stub.GetBlock(pb.GetBlockRequest(height=FALLBACK.height))
            assert by_id.height == by_height.height == FALLBACK.height
            assert (await stub.GetRound(pb.GetRoundRequest())).round == 7
            assert (await stub.GetTask(pb.GetTaskRequest(round=0))).classes == 10

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("ask", "code", "sentence"),
    [
        (
            lambda stub: stub.GetBlock(pb.GetBlockRequest(id=hash_of(99).hex())),
            grpc.StatusCode.NOT_FOUND,
            "no such block",
        ),
        (
            lambda stub: stub.GetRound(pb.GetRoundRequest(round=0)),
            grpc.StatusCode.NOT_FOUND,
            "nothing of round 0",
        ),
        (
            lambda stub: stub.GetBlock(pb.GetBlockRequest(id="abc")),
            grpc.StatusCode.INVALID_ARGUMENT,
            "id takes 64 hexadecimal digits, not 'abc'",
        ),
        (
            lambda stub: stub.GetBlock(pb.GetBlockRequest(id="ab" * 31)),
            grpc.StatusCode.INVALID_ARGUMENT,
            "id takes 64 hexadecimal digits",
        ),
        (
            lambda stub: stub.GetAccount(pb.GetAccountRequest(address="pn-typo")),
            grpc.StatusCode.INVALID_ARGUMENT,
            "wrong checksum",
        ),
        (
            lambda stub: stub.GetAccount(pb.GetAccountRequest(address="pn-miner", block="ab")),
            grpc.StatusCode.INVALID_ARGUMENT,
            "block takes 64 hexadecimal digits",
        ),
        (
            lambda stub: stub.GetHistory(pb.GetHistoryRequest(address="pn-typo")),
            grpc.StatusCode.INVALID_ARGUMENT,
            "wrong checksum",
        ),
        (
            lambda stub: stub.GetPool(pb.GetPoolRequest()),
            grpc.StatusCode.FAILED_PRECONDITION,
            "runs no pool",
        ),
        (
            lambda stub: stub.ListMiners(pb.ListMinersRequest()),
            grpc.StatusCode.FAILED_PRECONDITION,
            "runs no pool",
        ),
    ],
)
def test_errors_are_statuses_with_a_sentence(
    ask: Callable[[Any], Awaitable[Any]], code: grpc.StatusCode, sentence: str
) -> None:
    async def scenario() -> None:
        async with serving(FixedViews(has_pool=False)) as stub:
            with pytest.raises(grpc.aio.AioRpcError, match=sentence) as failed:
                await ask(stub)
            assert failed.value.code() is code

    asyncio.run(scenario())


def test_a_transaction_is_taken_in_or_refused_by_a_reason() -> None:
    def envelope(kind: int, **changes: bytes) -> types_pb2.Envelope:
        parts = {"payload": b"p", "public_key": bytes(32), "signature": bytes(64)} | changes
        return types_pb2.Envelope(kind=kind, **parts)  # type: ignore[arg-type]

    async def scenario() -> None:
        async with serving(FixedViews()) as stub:
            for transaction, outcome in (
                (envelope(6), (hash_of(4).hex(), "")),
                (envelope(1), ("", "wrong-kind")),
                (envelope(6, signature=b"short"), ("", "bad-signature")),
            ):
                request = pb.SubmitTransactionRequest(transaction=transaction)
                answer = await stub.SubmitTransaction(request)
                assert (answer.id, answer.reason) == outcome

    asyncio.run(scenario())


def test_every_query_error_has_a_status() -> None:
    assert set(query.STATUS_OF) == set(QueryError.__subclasses__())


def test_fault_in_a_view_keeps_its_details_to_the_log() -> None:
    class Broken(FixedViews):
        def status(self) -> StatusView:
            raise KeyError("secret detail")

    async def scenario() -> None:
        async with serving(Broken()) as stub:
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await stub.GetStatus(pb.GetStatusRequest())
            assert failed.value.code() is grpc.StatusCode.INTERNAL
            assert "secret" not in str(failed.value.details())

    asyncio.run(scenario())
