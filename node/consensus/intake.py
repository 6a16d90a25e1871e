"""Blocks of others on their way into the chain: announced, voted for, or brought by sync."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile
from typing import TypeVar

import structlog

from nas.jobs import JobFailed
from node.aside import Aside
from node.chain.block import Block, check_signatures
from node.chain.envelope import Signed, check_signature, open_as
from node.chain.errors import Reason, Rejected
from node.chain.messages import Claim, Envelope, Fallback, Vote
from node.chain.ranking import choose_walked
from node.chain.timing import Phase, deadline, phase_at
from node.clock import Clock
from node.consensus.blobs import Header
from node.consensus.book import Rounds
from node.consensus.branching import check_branch, choose_missing, is_above_final
from node.consensus.chain import Chain
from node.consensus.importer import Importer
from node.consensus.reading import BlockReader
from node.net.blobs import NotFound
from node.net.protocol import Header as PeerHeader
from node.tasks import TaskOwner
from node.wire import WireBlock

# Blocks that are followed at once, and then written with one sync.
_FOLLOWED_AT_ONCE = 32
# Signatures that are checked at once, so that other work beside the loop gets its turn.
_SIGNATURES_AT_ONCE = 256
# How long a synced block's model may take to come.
_SYNC_PATIENCE_MS = 5_000

S = TypeVar("S")

_log = structlog.get_logger("chain")


class Intake:
    """Takes in what stands. A block that a quorum votes for comes in at once, whatever this node
    thought of its round.

    `on_gap` is called when others are ahead of this node: it should ask peers for blocks.
    """

    def __init__(
        self,
        chain: Chain,
        rounds: Rounds,
        importer: Importer,
        aside: Aside,
        clock: Clock,
        tasks: TaskOwner,
        on_gap: Callable[[], None],
    ) -> None:
        self._chain = chain
        self._rounds = rounds
        self._importer = importer
        self._aside = aside
        self._clock = clock
        self._tasks = tasks
        self._on_gap = on_gap
        self._reader = BlockReader(chain.network.id, aside)
        self._importing: set[bytes] = set()

    async def missing(
        self, headers: Sequence[PeerHeader], votes: Sequence[Envelope]
    ) -> Sequence[PeerHeader]:
        """As `node.net.protocol.ChainHandler.missing`."""
        branch = choose_missing(self._chain, headers, self._last_round())
        if branch:
            if not is_above_final(self._chain.tree, branch):
                await self._hear(votes)
            check_branch(self._chain.tree, branch)
        for some in _portions(branch):
            await self._aside(_check_headers, some, self._chain.network.id)
        return branch

    async def take_chain(
        self, blocks: Sequence[WireBlock], votes: Sequence[Envelope], *, more_follow: bool
    ) -> bool:
        """As `node.net.protocol.ChainHandler.on_blocks`."""
        read = [await self._reader.read(block) for block in blocks]
        await self._hear(votes)
        last = self._last_round()
        left = [
            block
            for block in takewhile(lambda block: block.round <= last, read)
            if not self._chain.has(block.id)
        ]
        learnt = False
        # Blocks draw seats by which the votes in later ones can be weighed.
        while vouched := await self._vouched(left):
            await self._follow(vouched)
            followed = {block.id for block in vouched}
            left = [block for block in left if block.id not in followed]
            learnt = True
        for place, block in [] if more_follow else list(enumerate(left)):
            await self._aside(check_signatures, block, self._chain.network.id)
            if not (self._is_due(left[place:]) and await self._import(block)):
                break
            learnt = True
        taken = {block.id for block in read if block.id in self._chain.tree}
        self._reader.forget(self._chain.tree.final.round, taken)
        return learnt

    def import_backed(self, block_id: bytes) -> None:
        """Import a block that a quorum voted for, if its header is here."""
        is_known = block_id in self._chain.tree or block_id in self._importing
        if is_known or not self._chain.tree.is_backed(block_id):
            return
        if header := self._rounds.header(block_id):
            self._importing.add(block_id)
            self._tasks.spawn(self._import_header(header), name="import backed block")
        else:
            self._on_gap()

    async def take_header(self, header: Header) -> None:
        """Have what a claim names at hand before it is time to judge it; adopt a fallback block.

        A claim is judged in the walk, if it comes so far. A fallback block has no more to it; votes
        decide whether it is followed.
        """
        give_up_ms = deadline(self._chain.network, header.message.round, Phase.VALIDATE)
        if header.message.parent not in self._chain.tree:
            self._on_gap()
        try:
            if not isinstance(header.message, Fallback):
                claim = Signed(header.envelope, header.message, header.id)
                if self._fetches_ahead(claim):
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

    def _fetches_ahead(self, claim: Signed[Claim]) -> bool:
        """Whether a claim is among the best so far of those on its parent, V of which may be had
        before the walk, however many come in rising order. Raises Rejected."""
        message = claim.message
        context = self._chain.tree.context_for(message.parent, message.round)
        book = self._rounds.book(message.round)
        if book.fetched_ahead == context.network.parameters.max_walked:
            return False
        if claim not in choose_walked(context, book.eligible_claims(), message.parent):
            return False
        book.fetched_ahead += 1
        return True

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
        head = self._chain.tree.head()
        for place in reversed(range(len(blocks))):
            if self._chain.tree.is_backed(blocks[place].id):
                return _branch(blocks[: place + 1])
            votes = await self._reader.votes(blocks[place], head.id)
            self._take_votes(votes, are_in_block=True)
        return []

    async def _follow(self, blocks: Sequence[Block]) -> None:
        """Follow blocks that are vouched for, a few at a time, so that the node keeps answering."""
        for start in range(0, len(blocks), _FOLLOWED_AT_ONCE):
            await self._chain.backlog.room()
            await self._chain.follow(blocks[start : start + _FOLLOWED_AT_ONCE])

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

    def _last_round(self) -> int:
        """Rounds are the chain's time: nobody is ahead of the clock (consensus G4)."""
        return phase_at(self._chain.network, self._clock.now_ms()).round + 1

    async def _hear(self, votes: Sequence[Envelope]) -> None:
        """Take in votes that came beside blocks."""
        for some in _portions(votes):
            opened = await self._aside(_open_votes, some, self._chain.network.id)
            self._take_votes(opened, are_in_block=False)

    def _take_votes(self, votes: Iterable[Signed[Vote]], *, are_in_block: bool) -> None:
        now = phase_at(self._chain.network, self._clock.now_ms()).round
        for vote in votes:
            try:
                if vote.message.round <= now + 1:
                    self._chain.add_vote(vote, is_in_block=are_in_block)
            except Rejected as error:
                # Of another branch, where other keys may have seats.
                is_elsewhere = (
                    error.reason is Reason.NOT_ATTESTER
                    and vote.message.target not in self._chain.tree
                )
                if error.reason is not Reason.STALE and not is_elsewhere:
                    raise


def _portions(signed: Sequence[S]) -> Iterator[Sequence[S]]:
    return (signed[i : i + _SIGNATURES_AT_ONCE] for i in range(0, len(signed), _SIGNATURES_AT_ONCE))


def _check_headers(headers: Sequence[PeerHeader], network_id: bytes) -> None:
    for header in headers:
        check_signature(header.envelope, network_id)


def _open_votes(votes: Sequence[Envelope], network_id: bytes) -> list[Signed[Vote]]:
    return [open_as(Vote, vote, network_id) for vote in votes]


def _branch(blocks: Sequence[Block]) -> list[Block]:
    """The last block and those before it on which it builds, lowest first."""
    branch = [blocks[-1]]
    for block in reversed(blocks[:-1]):
        if block.id == branch[-1].parent:
            branch.append(block)
    return branch[::-1]
