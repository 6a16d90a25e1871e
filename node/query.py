"""The query service: convert, call, convert. What there is to show is the business of `Views`."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields, is_dataclass
from inspect import isawaitable
from typing import Any, TypeVar

import grpc
import structlog
from google.protobuf.message import Message

from node.chain.errors import Rejected
from node.contents import read_contents
from node.views.ledger import AccountView, SubmittedView
from node.views.status import InvalidQuery, NotOffered, QueryError, UnknownItem, Views
from node.wire import envelope_from_proto
from ponas.v1 import query_service_pb2 as pb
from ponas.v1.query_service_pb2_grpc import QueryServiceServicer
from ponas.v1.types_pb2 import Envelope

M = TypeVar("M", bound=Message)

STATUS_OF: Mapping[type[QueryError], grpc.StatusCode] = {
    UnknownItem: grpc.StatusCode.NOT_FOUND,
    InvalidQuery: grpc.StatusCode.INVALID_ARGUMENT,
    NotOffered: grpc.StatusCode.FAILED_PRECONDITION,
}

_HASH_BYTES = 32

_log = structlog.get_logger("query")


class QueryServicer(QueryServiceServicer):
    """Answers the query service from a node's `Views`."""

    def __init__(self, views: Views) -> None:
        self._views = views

    async def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> pb.GetStatusResponse:
        return await _answer(context, pb.GetStatusResponse, self._views.status)

    async def GetBlock(self, request: pb.GetBlockRequest, context: Any) -> pb.GetBlockResponse:
        return await _answer(
            context, pb.GetBlockResponse, lambda: self._views.block(_block_asked(request))
        )

    async def GetBlockContents(
        self, request: pb.GetBlockContentsRequest, context: Any
    ) -> pb.GetBlockContentsResponse:
        def contents() -> pb.GetBlockContentsResponse:
            block = self._views.block_bytes(_block_asked(request))
            return read_contents(block, self._views.status().network_id)

        return await _answer(context, pb.GetBlockContentsResponse, contents)

    async def GetRound(self, request: pb.GetRoundRequest, context: Any) -> pb.GetRoundResponse:
        number = request.round if request.HasField("round") else None
        return await _answer(context, pb.GetRoundResponse, lambda: self._views.round(number))

    async def GetLists(self, request: pb.GetListsRequest, context: Any) -> pb.GetListsResponse:
        number = request.round if request.HasField("round") else None
        return await _answer(
            context, pb.GetListsResponse, lambda: self._views.listings.lists(number)
        )

    async def GetTask(self, request: pb.GetTaskRequest, context: Any) -> pb.GetTaskResponse:
        number = request.round if request.HasField("round") else None
        return await _answer(context, pb.GetTaskResponse, lambda: self._views.task(number))

    async def GetAccount(
        self, request: pb.GetAccountRequest, context: Any
    ) -> pb.GetAccountResponse:
        def account() -> AccountView:
            block = _parse_hash("block", request.block) if request.block else None
            return self._views.ledger.account(request.address, block)

        return await _answer(context, pb.GetAccountResponse, account)

    async def ListBonds(self, request: pb.ListBondsRequest, context: Any) -> pb.ListBondsResponse:
        return await _answer(
            context, pb.ListBondsResponse, lambda: self._views.ledger.bonds(request.address)
        )

    async def GetHistory(
        self, request: pb.GetHistoryRequest, context: Any
    ) -> pb.GetHistoryResponse:
        return await _answer(
            context,
            pb.GetHistoryResponse,
            lambda: self._views.ledger.history(request.address, request.below),
        )

    async def SubmitTransaction(
        self, request: pb.SubmitTransactionRequest, context: Any
    ) -> pb.SubmitTransactionResponse:
        return await _answer(
            context, pb.SubmitTransactionResponse, lambda: self._submitted(request.transaction)
        )

    async def _submitted(self, message: Envelope) -> SubmittedView:
        try:
            envelope = envelope_from_proto(message)
        except Rejected as refusal:
            return SubmittedView(b"", refusal.reason, refusal.detail)
        return await self._views.ledger.submit(envelope)

    async def ListTasks(self, request: pb.ListTasksRequest, context: Any) -> pb.ListTasksResponse:
        return await _answer(context, pb.ListTasksResponse, self._views.published.queue)

    async def GetTaskResults(
        self, request: pb.GetTaskResultsRequest, context: Any
    ) -> pb.GetTaskResultsResponse:
        return await _answer(
            context,
            pb.GetTaskResultsResponse,
            lambda: self._views.published.results(_parse_hash("task", request.task)),
        )

    async def GetTaskTerms(
        self, request: pb.GetTaskTermsRequest, context: Any
    ) -> pb.GetTaskTermsResponse:
        return await _answer(
            context,
            pb.GetTaskTermsResponse,
            lambda: self._views.published.terms(_parse_hash("task", request.task)),
        )

    async def ListRoundTasks(
        self, request: pb.ListRoundTasksRequest, context: Any
    ) -> pb.ListRoundTasksResponse:
        return await _answer(
            context,
            pb.ListRoundTasksResponse,
            lambda: self._views.published.of_rounds(request.since, request.below),
        )

    async def GetModel(self, request: pb.GetModelRequest, context: Any) -> pb.GetModelResponse:
        return await _answer(
            context,
            pb.GetModelResponse,
            lambda: self._views.published.model(_parse_hash("hash", request.hash), request.offset),
        )

    async def GetPool(self, request: pb.GetPoolRequest, context: Any) -> pb.GetPoolResponse:
        return await _answer(context, pb.GetPoolResponse, self._views.pool)

    async def ListMiners(
        self, request: pb.ListMinersRequest, context: Any
    ) -> pb.ListMinersResponse:
        return await _answer(context, pb.ListMinersResponse, self._views.miners)

    async def GetBlockBytes(
        self, request: pb.GetBlockBytesRequest, context: Any
    ) -> pb.GetBlockBytesResponse:
        return await _answer(
            context,
            pb.GetBlockBytesResponse,
            lambda: self._views.block_bytes(_block_asked(request)),
        )

    async def GetReceipts(
        self, request: pb.GetReceiptsRequest, context: Any
    ) -> pb.GetReceiptsResponse:
        number = request.round if request.HasField("round") else None
        return await _answer(
            context,
            pb.GetReceiptsResponse,
            lambda: self._views.proofs.receipts(number, request.offset),
        )

    async def GetPayoutNotices(
        self, request: pb.GetPayoutNoticesRequest, context: Any
    ) -> pb.GetPayoutNoticesResponse:
        return await _answer(context, pb.GetPayoutNoticesResponse, self._views.proofs.notices)

    async def ListPoolEvents(
        self, request: pb.ListPoolEventsRequest, context: Any
    ) -> pb.ListPoolEventsResponse:
        return await _answer(
            context, pb.ListPoolEventsResponse, lambda: self._views.pool_events(request.since)
        )

    async def GetShareLog(
        self, request: pb.GetShareLogRequest, context: Any
    ) -> pb.GetShareLogResponse:
        return await _answer(
            context,
            pb.GetShareLogResponse,
            lambda: self._views.proofs.share_page(_parse_hash("hash", request.hash)),
        )

    async def ListPeers(self, request: pb.ListPeersRequest, context: Any) -> pb.ListPeersResponse:
        return await _answer(context, pb.ListPeersResponse, self._views.peers)


def fill(message: Message, view: object) -> None:
    """Copy a view into the message whose fields have the same names.

    Bytes become hexadecimal, mappings become counters by reason, None stays unset.
    """
    for field in fields(view):  # type: ignore[arg-type]
        value = getattr(view, field.name)
        if isinstance(value, Mapping):
            for reason, count in sorted(value.items()):
                getattr(message, field.name).add(reason=reason, count=count)
        elif is_dataclass(value):
            part = getattr(message, field.name)
            part.SetInParent()
            fill(part, value)
        elif isinstance(value, bytes | str | int):
            setattr(message, field.name, _scalar(value))
        elif value is not None:
            _fill_repeated(getattr(message, field.name), value)


def _fill_repeated(target: Any, values: Any) -> None:
    for value in values:
        if is_dataclass(value):
            fill(target.add(), value)
        else:
            target.append(_scalar(value))


def _scalar(value: bytes | str | int) -> str | int:
    return value.hex() if isinstance(value, bytes) else value


def _block_asked(
    request: pb.GetBlockRequest | pb.GetBlockBytesRequest | pb.GetBlockContentsRequest,
) -> bytes | int | None:
    match request.WhichOneof("which"):
        case "height":
            return request.height
        case "id":
            return _parse_hash("id", request.id)
    return None


def _parse_hash(field: str, text: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != _HASH_BYTES:
        raise InvalidQuery(f"{field} takes {2 * _HASH_BYTES} hexadecimal digits, not {text[:80]!r}")
    return value


async def _answer(
    context: Any, response: type[M], ask: Callable[[], object | Awaitable[object]]
) -> M:
    """A response, filled from a view if it is none yet, or the end of the call with the status of
    the error."""
    message = response()
    try:
        view = ask()
        if isinstance(view, response):
            return view
        fill(message, await view if isawaitable(view) else view)
    except QueryError as error:
        await context.abort(STATUS_OF[type(error)], str(error))
    except Exception:
        # The details are for the operator's log, not for whoever asks.
        _log.exception("query_failed", response=response.__name__)
        await context.abort(grpc.StatusCode.INTERNAL, "internal error; the node's log has it")
    return message
