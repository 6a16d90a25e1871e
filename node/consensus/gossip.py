"""The peer network's door to the chain: every message from outside comes in here."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from node.chain.commits import check_commit, check_unit
from node.chain.context import RoundContext
from node.chain.envelope import Signed, open_envelope
from node.chain.errors import Reason, Rejected
from node.chain.lists import check_list
from node.chain.messages import (
    Claim,
    Commit,
    Envelope,
    Fallback,
    List,
    Payload,
    Seal,
    Transaction,
    Vote,
)
from node.chain.published.play import check_key
from node.chain.published.record import PaidShard
from node.chain.published.sealing import hash_key
from node.chain.published.terms import Key, Publish
from node.chain.sealing import check_seal
from node.chain.timing import phase_at
from node.clock import Clock
from node.consensus.book import RoundBook, Rounds
from node.consensus.chain import Chain
from node.consensus.dissent import Dissent
from node.consensus.informer import Informer
from node.consensus.intake import Intake
from node.consensus.mempool import Mempool
from node.consensus.searchable import SearchableCheck
from node.net.blobs import NotFound
from node.net.protocol import Gossip, Header
from node.publishing.library import TaskLibrary
from node.store.blobs import Part, part_of
from node.tasks import TaskOwner
from node.wire import WireBlock

RoundMessage = Commit | List | Seal | Key | Claim | Fallback

M = TypeVar("M", bound=Payload)

_log = structlog.get_logger("chain")


class ChainGate:
    """Implements `node.net.protocol.ChainHandler`: admits messages, and answers.

    A message is judged by its round: the clock's round and its neighbours are open, earlier and
    later ones are left aside. `on_commit` hears of each valid commit, once. While the node
    `holds_back` it takes no chain from peers.
    """

    def __init__(
        self,
        chain: Chain,
        rounds: Rounds,
        mempool: Mempool,
        searchable: SearchableCheck,
        intake: Intake,
        informer: Informer,
        dissent: Dissent,
        library: TaskLibrary,
        clock: Clock,
        tasks: TaskOwner,
        on_commit: Callable[[Signed[Commit]], None],
        holds_back: Callable[[], bool],
    ) -> None:
        self._chain = chain
        self._rounds = rounds
        self._mempool = mempool
        self._searchable = searchable
        self._intake = intake
        self._informer = informer
        self._dissent = dissent
        self._library = library
        self._clock = clock
        self._tasks = tasks
        self._on_commit = on_commit
        self._holds_back = holds_back

    def head(self) -> tuple[int, bytes]:
        head = self._chain.tree.head()
        return head.state.round, head.id

    def locator(self) -> Sequence[bytes]:
        return self._chain.locator()

    def knows(self, block_id: bytes) -> bool:
        return self._chain.has(block_id)

    def headers_after(
        self, locator: Sequence[bytes], limit: int
    ) -> tuple[Sequence[Envelope], Sequence[Envelope]]:
        votes = self._chain.tree.votes()
        return (
            self._chain.after(locator, limit),
            [vote.envelope for vote in votes if vote.message.round > self._chain.tree.final.round],
        )

    def headers_down(self, block_id: bytes, limit: int) -> Sequence[Envelope]:
        return self._chain.down_from(block_id, limit)

    def body(self, block_id: bytes) -> bytes | None:
        return self._chain.body(block_id)

    def snapshot(self, block_id: bytes) -> bytes:
        kept = (each for each in self._chain.snapshots() if each.checkpoint.id == block_id)
        return next((each.blob for each in kept), b"")

    def blob_part(self, blob_hash: bytes, offset: int) -> Part | None:
        if (blob := self._rounds.blob(blob_hash)) is not None:
            return part_of(blob, offset)
        if (part := self._chain.blob_part(blob_hash, offset)) is not None:
            return part
        # Of these none is longer than a part.
        blob = self._library.blob(blob_hash)
        return None if blob is None else part_of(blob, offset)

    def on_gossip(self, envelope: Envelope) -> Gossip | Awaitable[Gossip]:
        signed = open_envelope(envelope, self._chain.network.id)
        self._informer.hear(signed)
        if isinstance(signed.message, Transaction):
            return self._on_transaction(_narrow(signed, signed.message))
        match signed.message:
            case Vote() as vote:
                return self._on_vote(_narrow(signed, vote))
            case Commit() | List() | Seal() | Key() | Claim() | Fallback() as message:
                return self._on_round_message(_narrow(signed, message))
            case _:
                raise Rejected(Reason.WRONG_KIND, "this kind is not for the peer network")

    async def missing(
        self, headers: Sequence[Header], votes: Sequence[Envelope]
    ) -> Sequence[Header]:
        return [] if self._holds_back() else await self._intake.missing(headers, votes)

    async def on_blocks(
        self, blocks: Sequence[WireBlock], votes: Sequence[Envelope], *, more_follow: bool = False
    ) -> bool:
        if self._holds_back():
            return False
        return await self._intake.take_chain(blocks, votes, more_follow=more_follow)

    def _on_round_message(self, signed: Signed[RoundMessage]) -> Gossip:
        message, now = signed.message, phase_at(self._chain.network, self._clock.now_ms()).round
        if message.round > now + 1:
            return Gossip.DEFER
        if message.round < max(1, now - 1):
            return Gossip.DROP
        if not self._admit(self._rounds.book(message.round), signed):
            return Gossip.DROP
        if isinstance(message, Claim | Fallback):
            self._tasks.spawn(self._intake.take_header(_narrow(signed, message)), name="header")
            self._intake.import_backed(signed.id)
        return Gossip.RELAY

    def _admit(self, book: RoundBook, signed: Signed[RoundMessage]) -> bool:
        context = self._chain.context(book.round)
        match signed.message:
            case Commit() as commit:
                check_commit(context, _narrow(signed, commit))
                is_new = book.add_commit(_narrow(signed, commit))
                if is_new:
                    self._on_commit(_narrow(signed, commit))
                return is_new
            case List() as listed:
                check_list(context, _narrow(signed, listed))
                return book.add_list(_narrow(signed, listed))
            case Seal() as seal:
                check_seal(context, _narrow(signed, seal))
                return book.add_secret(signed.signer, seal.preimage)
            case Key() as key:
                check_key(context, _narrow(signed, key))
                return self._add_key(context, book, key.key)
            case Claim() as claim:
                check_unit(context, signed.signer, claim.unit)
                return book.add_claim(_narrow(signed, claim))
            case Fallback() as fallback:
                if signed.signer not in context.weights:
                    raise Rejected(Reason.NOT_ATTESTER, "only attesters propose fallback blocks")
                return book.add_fallback(_narrow(signed, fallback))

    def _add_key(self, context: RoundContext, book: RoundBook, key: bytes) -> bool:
        is_new = book.add_secret(hash_key(key), key)
        if is_new and context.paid is not None:
            self._tasks.spawn(self._open_shard(context.paid, book, key), name="open a shard")
        return is_new

    async def _open_shard(self, paid: PaidShard, book: RoundBook, key: bytes) -> None:
        try:
            await self._library.open(paid, key)
        except Rejected as error:
            book.spoil(paid.sealed.key)
            _log.warning("shard_spoilt", task=paid.task_id, reason=str(error))
        except NotFound as error:
            _log.warning("shard_not_here", task=paid.task_id, reason=str(error))

    def _on_transaction(self, signed: Signed[Transaction]) -> Gossip | Awaitable[Gossip]:
        context, head = self._chain.next_context(), self._chain.tree.head().state
        try:
            if isinstance(signed.message, Publish):
                self._mempool.check(signed, context, head)
                return self._on_task(signed)
            self._mempool.add(signed, context, head)
        except Rejected:
            # A peer on another head may well hold it good, and this node may do so later.
            return Gossip.DEFER
        return Gossip.RELAY

    async def _on_task(self, signed: Signed[Transaction]) -> Gossip:
        """Judge a task that could be queued by all rules but whether it can be searched."""
        if not self._searchable.has_room:
            return Gossip.DEFER
        await self._searchable.check(signed)
        try:
            self._mempool.add(signed, self._chain.next_context(), self._chain.tree.head().state)
        except Rejected:
            return Gossip.DEFER
        return Gossip.RELAY

    def _on_vote(self, vote: Signed[Vote]) -> Gossip:
        now = phase_at(self._chain.network, self._clock.now_ms()).round
        if vote.message.round > now + 1:
            return Gossip.DEFER
        is_noted = self._dissent.hear(vote)
        try:
            is_new = self._chain.add_vote(vote)
        except Rejected as error:
            # Who lacks the target, or follows another branch, can't tell that a vote is wrong, and
            # passes it on. To blame it for that would let keys with bonds alone part honest nodes.
            _log.debug("vote_refused", reason=str(error))
            return Gossip.DROP
        self._intake.import_backed(vote.message.target)
        return Gossip.RELAY if is_new or is_noted else Gossip.DROP


def _narrow(signed: Signed[Payload], message: M) -> Signed[M]:
    """The same signed object, known to hold this message."""
    return Signed(signed.envelope, message, signed.id)
