"""What a miner's node keeps, a pool hands out and the chain holds, all checked on arrival.

Envelopes carry signatures, blocks and pages are checked by hash; only which chain is final is the
miner's own node believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from node.chain.block import open_block
from node.chain.codec import decode
from node.chain.envelope import Signed
from node.chain.errors import NotCanonical, Rejected
from node.chain.messages import Envelope, PayoutNotice, Receipt
from node.identity import AddressError, parse_address
from ponas.v1 import query_service_pb2 as query
from pool.proofs.logaudit import Log, read_log
from pool.proofs.receipts import ProofError, check_notice, open_receipt
from pool.proofs.sharelog import Forfeited, Held, Page, Share, Terms, pack_page
from pool.proofs.verification import WonBlock, won_block

if TYPE_CHECKING:
    from pool.proofs.pricing import Training

Ask = Callable[[str, Message], Any]
"""Calls a method of the query service; ends the program if there is no answer."""

TryAsk = Callable[[str, Message], Any | None]
"""The same, but None for an item that the node does not have."""


class EvidenceError(Exception):
    """A node answered with something that proves nothing; one sentence."""


@dataclass(frozen=True)
class Chain:
    """The final part of the chain that a node follows: won blocks by round."""

    network_id: bytes
    final_round: int
    blocks: dict[int, WonBlock]


def read_chain(ask: Ask, oldest_round: int) -> Chain:
    """Final blocks from a round on. Raises EvidenceError for bytes that are no block."""
    status = ask("GetStatus", query.GetStatusRequest())
    network_id = bytes.fromhex(status.network_id)
    blocks = {}
    for height in range(status.final_height, 0, -1):
        answer = ask("GetBlockBytes", query.GetBlockBytesRequest(height=height))
        try:
            header = decode(Envelope, bytes.fromhex(answer.header))
            block = open_block(header, bytes.fromhex(answer.body), network_id)
        except (Rejected, ValueError) as error:
            raise EvidenceError(f"the node's block at height {height} is none: {error}") from error
        if block.round < oldest_round:
            break
        if (won := won_block(block)) is not None:
            blocks[block.round] = won
    return Chain(network_id, status.final_round, blocks)


def read_trainings(ask: Ask, oldest_round: int) -> dict[int, Training]:
    """What was trained for in final rounds that a model has won, from a round on."""
    # The engine takes its time to load.
    from nas.data.datasets import describe
    from pool.proofs.pricing import Training

    trainings, below = dict[int, Training](), 0
    while True:
        request = query.ListRoundTasksRequest(since=oldest_round, below=below)
        answer = ask("ListRoundTasks", request)
        for task in answer.tasks:
            dataset = describe(task.dataset)
            trainings[task.round] = Training(dataset, task.epochs, task.max_mac_images)
        if not (below := answer.next):
            return trainings


def read_notices(ask: Ask, network_id: bytes) -> list[Signed[PayoutNotice]]:
    """All notices that the node keeps, signature and proof checked. Raises EvidenceError."""
    answer = ask("GetPayoutNotices", query.GetPayoutNoticesRequest())
    notices = []
    for shown in answer.notices:
        envelope = _envelope(shown.envelope)
        try:
            address = parse_address(shown.address)
            signed = check_notice(
                envelope, network_id, envelope.public_key, address, (shown.round,)
            )
        except (AddressError, ProofError) as error:
            raise EvidenceError(f"a notice of round {shown.round}: {error}") from error
        notices.append(signed)
    return notices


def read_receipts(ask: Ask, network_id: bytes) -> list[Signed[Receipt]]:
    """All receipts that the node keeps, signatures checked. Raises EvidenceError."""
    receipts = []
    for number in ask("GetReceipts", query.GetReceiptsRequest()).rounds:
        for shown in _receipts_of(ask, number):
            envelope = _envelope(shown.envelope)
            try:
                receipts.append(open_receipt(envelope, network_id, envelope.public_key))
            except ProofError as error:
                raise EvidenceError(f"a receipt of round {number}: {error}") from error
    return receipts


class LogReader:
    """Reads share logs from a pool's node, each page once."""

    def __init__(self, ask: TryAsk) -> None:
        self._ask = ask
        self._pages: dict[bytes, Page | None] = {}

    def read(self, notice: PayoutNotice) -> Log:
        """The log of a notice; a page whose hash is another counts as not handed out."""
        return read_log(notice.share_log, self._page)

    def _page(self, hash_: bytes) -> Page | None:
        if hash_ not in self._pages:
            answer = self._ask("GetShareLog", query.GetShareLogRequest(hash=hash_.hex()))
            self._pages[hash_] = None if answer is None else _page_of(answer, hash_)
        return self._pages[hash_]


def _receipts_of(ask: Ask, number: int) -> Iterator[query.ReceiptView]:
    offset = 0
    while found := ask(
        "GetReceipts", query.GetReceiptsRequest(round=number, offset=offset)
    ).receipts:
        yield from found
        offset += len(found)


def _envelope(text: str) -> Envelope:
    try:
        return decode(Envelope, bytes.fromhex(text))
    except (NotCanonical, ValueError) as error:
        raise EvidenceError(f"the node shows an envelope that is none: {error}") from error


def _page_of(shown: query.GetShareLogResponse, hash_: bytes) -> Page | None:
    """The page that was shown, if it is the one with this hash."""
    try:
        page = Page(
            pool=bytes.fromhex(shown.pool),
            round=shown.round,
            before=bytes.fromhex(shown.before),
            shares=tuple(_share_of(share) for share in shown.shares),
            forfeits=tuple(
                Forfeited(bytes.fromhex(forfeit.miner), forfeit.reason.encode(), forfeit.after)
                for forfeit in shown.forfeits
            ),
            terms=(_terms_of(shown.terms),) if shown.HasField("terms") else (),
            held=tuple(Held(bytes.fromhex(entry.miner), entry.shares) for entry in shown.held),
        )
        found, _ = pack_page(page)
    except (NotCanonical, ValueError):
        return None
    return page if found == hash_ else None


def _share_of(shown: query.ShareView) -> Share:
    return Share(
        miner=bytes.fromhex(shown.miner),
        address=parse_address(shown.address),
        assignment=shown.assignment,
        episode=shown.episode,
        genotype=bytes.fromhex(shown.genotype),
        training_seed=shown.training_seed,
        epochs=shown.epochs,
        correct=shown.correct,
        size=shown.size,
        model_hash=bytes.fromhex(shown.model_hash),
        work=shown.work,
    )


def _terms_of(shown: query.TermsView) -> Terms:
    return Terms(parse_address(shown.finder), parse_address(shown.manager), shown.fee_permille)
