"""The peer network's door to the chain: every message from outside comes in here."""

from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile
from typing import TypeVar

import structlog

from nas.jobs import JobFailed
from node.aside import Aside
from node.chain.block import Block, check_signatures, check_votes, read_block
from node.chain.commits import check_commit, check_unit
from node.chain.context import RoundContext
from node.chain.envelope import Signed, open_as, open_envelope
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
from node.chain.published.terms import Key
from node.chain.ranking import choose_walked
from node.chain.sealing import check_seal
from node.chain.timing import Phase, deadline, phase_at
from node.clock import Clock
from node.consensus.book import RoundBook, Rounds
from node.consensus.chain import Chain
from node.consensus.importer import Importer
from node.consensus.informer import Informer
from node.consensus.mempool import Mempool
from node.net.blobs import NotFound
from node.net.protocol import Gossip
from node.publishing.library import TaskLibrary
from node.tasks import TaskOwner
from node.wire import WireBlock

# Blocks whose states are followed before anything else gets its turn, some tens of milliseconds.
_FOLLOWED_AT_ONCE = 32
# How long a synced block's model may take to come.
_SYNC_PATIENCE_MS = 5_000

RoundMessage = Commit | List | Seal | Key | Claim | Fallback
Header = Signed[Claim | Fallback]

M = TypeVar("M", bound=Payload)

_log = structlog.get_logger("chain")


class ChainGate:
    """Implements `node.net.protocol.ChainHandler`: admits, answers, imports.

    A message is judged by its round: the clock's round and its neighbours are open, earlier and
    later ones are left aside. A block that a quorum votes for is imported at once,
    whatever this node thought of the round. `on_gap` is called when others are ahead of this node:
    it should ask peers for blocks; `on_commit` hears of each valid commit, once. While the node
    `holds_back` it takes no chain from peers.
    """

    def __init__(
        self,
        chain: Chain,
        rounds: Rounds,
        mempool: Mempool,
        importer: Importer,
        informer: Informer,
        library: TaskLibrary,
        aside: Aside,
        clock: Clock,
        tasks: TaskOwner,
        on_gap: Callable[[], None],
        on_commit: Callable[[Signed[Commit]], None],
        holds_back: Callable[[], bool],
    ) -> None:
        self._chain = chain
        self._rounds = rounds
        self._mempool = mempool
        self._importer = importer
        self._informer = informer
        self._library = library
        self._aside = aside
        self._clock = clock
        self._tasks = tasks
        self._on_gap = on_gap
        self._on_commit = on_commit
        self._holds_back = holds_back
        self._importing: set[bytes] = set()

    def head(self) -> tuple[int, bytes]:
        head = self._chain.tree.head()
        return head.state.round, head.id

    def locator(self) -> Sequence[bytes]:
        return self._chain.locator()

    def knows(self, block_id: bytes) -> bool:
        return self._chain.height(block_id) is not None

    def headers_after(
        self, locator: Sequence[bytes], limit: int
    ) -> tuple[Sequence[Envelope], Sequence[Envelope]]:
        votes = self._chain.tree.votes()
        return (
            [header for header, _ in self._chain.after(locator, limit)],
            [vote.envelope for vote in votes if vote.message.round > self._chain.tree.final.round],
        )

    def body(self, block_id: bytes) -> bytes | None:
        return self._chain.body(block_id)

    def snapshot(self, block_id: bytes) -> bytes:
        kept = (each for each in self._chain.snapshots() if each.checkpoint.id == block_id)
        return next((each.blob for each in kept), b"")

    def blob(self, blob_hash: bytes) -> bytes | None:
        for find in (self._rounds.blob, self._chain.blob, self._library.blob):
            if (blob := find(blob_hash)) is not None:
                return blob
        return None

    def on_gossip(self, envelope: Envelope) -> Gossip:
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

    async def on_blocks(
        self, blocks: Sequence[WireBlock], votes: Sequence[Envelope], *, more_follow: bool = False
    ) -> bool:
        if self._holds_back():
            return False
        network_id = self._chain.network.id
        read = await self._aside(
            lambda: [read_block(block.header, block.body, network_id) for block in blocks]
        )
        self._take_votes((open_as(Vote, vote, network_id) for vote in votes), are_in_block=False)
        # Rounds are the chain's time: nobody is ahead of the clock (consensus G4).
        last = phase_at(self._chain.network, self._clock.now_ms()).round + 1
        left = [
            block
            for block in takewhile(lambda block: block.round <= last, read)
            if self._chain.height(block.id) is None
        ]
        learnt = False
        # Blocks draw seats by which the votes in later ones can be weighed.
        while vouched := await self._vouched(left):
            await self._follow(vouched)
            followed = {block.id for block in vouched}
            left = [block for block in left if block.id not in followed]
            learnt = True
        for place, block in [] if more_follow else list(enumerate(left)):
            await self._aside(check_signatures, block, network_id)
            if not (self._is_due(left[place:]) and await self._import(block)):
                break
            learnt = True
        return learnt

    def _on_round_message(self, signed: Signed[RoundMessage]) -> Gossip:
        message, now = signed.message, phase_at(self._chain.network, self._clock.now_ms()).round
        if message.round > now + 1:
            return Gossip.DEFER
        if message.round < max(1, now - 1):
            return Gossip.DROP
        if not self._admit(self._rounds.book(message.round), signed):
            return Gossip.DROP
        if isinstance(message, Claim | Fallback):
            self._tasks.spawn(self._take_header(_narrow(signed, message)), name="take header")
            self._import_backed(signed.id)
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

    def _on_transaction(self, signed: Signed[Transaction]) -> Gossip:
        self._chain.check_transaction(signed)
        try:
            self._mempool.add(signed, self._chain.next_context(), self._chain.tree.head().state)
        except Rejected:
            # A peer on another head may well hold it good, and this node may do so later.
            return Gossip.DEFER
        return Gossip.RELAY

    def _on_vote(self, vote: Signed[Vote]) -> Gossip:
        now = phase_at(self._chain.network, self._clock.now_ms()).round
        if vote.message.round > now + 1:
            return Gossip.DEFER
        try:
            is_new = self._chain.add_vote(vote)
        except Rejected as error:
            if error.reason is Reason.STALE:
                return Gossip.DROP
            raise
        self._import_backed(vote.message.target)
        return Gossip.RELAY if is_new else Gossip.DROP

    def _take_votes(self, votes: Iterable[Signed[Vote]], *, are_in_block: bool) -> None:
        now = phase_at(self._chain.network, self._clock.now_ms()).round
        for vote in votes:
            try:
                if vote.message.round <= now + 1:
                    self._chain.add_vote(vote, is_in_block=are_in_block)
            except Rejected as error:
                if error.reason is not Reason.STALE:
                    raise

    def _import_backed(self, block_id: bytes) -> None:
        """Import a block that a quorum voted for, if its header is here."""
        is_known = block_id in self._chain.tree or block_id in self._importing
        if is_known or not self._chain.tree.is_backed(block_id):
            return
        if header := self._rounds.header(block_id):
            self._importing.add(block_id)
            self._tasks.spawn(self._import_header(header), name="import backed block")
        else:
            self._on_gap()

    async def _take_header(self, header: Header) -> None:
        """Have what a claim names at hand before it is time to judge it; adopt a fallback block.

        A claim is judged in the walk, if it comes so far. A fallback block has no more to it; votes
        decide whether it is followed.
        """
        give_up_ms = deadline(self._chain.network, header.message.round, Phase.VALIDATE)
        if header.message.parent not in self._chain.tree:
            self._on_gap()
        try:
            if not isinstance(header.message, Fallback):
                claim = _narrow(header, header.message)
                if self._may_be_walked(claim):
                    await self._importer.fetch(claim, give_up_ms)
                return
            block, state = await self._importer.open(header, give_up_ms)
            if self._importer.can_count:
                prepared = await self._importer.prepare(block, state, give_up_ms)
                await self._importer.adopt_counted(prepared)
            else:
                await self._chain.adopt(block, state)
        except (Rejected, NotFound, JobFailed) as error:
            _log.info("header_refused", block=header.id, reason=str(error))

    def _may_be_walked(self, claim: Signed[Claim]) -> bool:
        """Whether a claim is among the best so far of those on its parent. Raises Rejected."""
        message = claim.message
        context = self._chain.tree.context_for(message.parent, message.round)
        rivals = self._rounds.book(message.round).eligible_claims()
        return claim in choose_walked(context, rivals, message.parent)

    async def _import_header(self, header: Header) -> None:
        try:
            give_up_ms = deadline(self._chain.network, header.message.round + 1, Phase.TRAIN)
            await self._chain.adopt(*await self._importer.open(header, give_up_ms))
        except (Rejected, NotFound) as error:
            self._on_gap()
            _log.warning("backed_block_not_imported", block=header.id, reason=str(error))
        finally:
            self._importing.discard(header.id)

    async def _vouched(self, blocks: Sequence[Block]) -> list[Block]:
        """The highest block that a quorum votes for, after those below it that it builds on.

        Who votes holds the chain good. Votes are looked for from the top, and no further than
        needed: one quorum vouches for all below.
        """
        # By the seats of the head's era.
        self._chain.tree.head()
        for place in reversed(range(len(blocks))):
            if self._chain.tree.is_backed(blocks[place].id):
                return _branch(blocks[: place + 1])
            await self._aside(check_votes, blocks[place], self._chain.network.id)
            self._take_votes(blocks[place].votes, are_in_block=True)
        return []

    async def _follow(self, blocks: Sequence[Block]) -> None:
        """Follow blocks that are vouched for, a few at a time, so that the node keeps answering."""
        for start in range(0, len(blocks), _FOLLOWED_AT_ONCE):
            await self._chain.backlog.room()
            await self._chain.follow(blocks[start : start + _FOLLOWED_AT_ONCE], self._aside)

    def _is_due(self, branch: Sequence[Block]) -> bool:
        """Whether the first block of a branch may come into the tree with no quorum behind it.

        Nobody can fill the tree: none comes from before the final block, and of a signer's blocks
        of a round all but the first only where an attester votes for the branch. Those are needed,
        or a signer that shows each peer another block keeps them apart for good.
        """
        block = branch[0]
        if block.round <= self._chain.tree.final.round:
            return False
        has_votes = (self._chain.tree.has_votes(each.id) for each in branch)
        return not self._chain.has_rival(block) or any(has_votes)

    async def _import(self, block: Block) -> bool:
        """Take in a synced block that nobody vouches for; False if it can't be judged yet."""
        if not (block.is_fallback or self._importer.can_count):
            return False
        state = await self._importer.apply(block)
        if not self._importer.can_count:
            await self._chain.adopt(block, state)
            return True
        try:
            give_up_ms = self._clock.now_ms() + _SYNC_PATIENCE_MS
            prepared = await self._importer.prepare(block, state, give_up_ms)
            await self._importer.adopt_counted(prepared)
        except (NotFound, JobFailed) as error:
            _log.info("block_not_counted", block=block.id, reason=str(error))
            return False
        return True


def _branch(blocks: Sequence[Block]) -> list[Block]:
    """The last block and those before it on which it builds, lowest first."""
    branch = [blocks[-1]]
    for block in reversed(blocks[:-1]):
        if block.id == branch[-1].parent:
            branch.append(block)
    return branch[::-1]


def _narrow(signed: Signed[Payload], message: M) -> Signed[M]:
    """The same signed object, known to hold this message."""
    return Signed(signed.envelope, message, signed.id)
