"""What a node shows of itself: the views of the query service, read from its parts."""

from collections import Counter
from collections.abc import Callable
from importlib.metadata import version

from fpga_model.profile import profile_named
from nas.data.datasets import describe
from nas.designs.genotype import HYPERPARAMETERS
from node.chain.codec import encode
from node.chain.lists import certified
from node.chain.timing import phase_at
from node.checkpoint import format_checkpoint
from node.clock import Clock
from node.consensus.book import RoundBook, Rounds
from node.consensus.chain import Chain
from node.consensus.designs import NasDesigns
from node.consensus.validator import EQUIVOCATED
from node.identity import Identity, format_address
from node.inspection.blocks import view_block
from node.net.drift import ClockVerdict
from node.views.blocks import BlockBytesView, BlockView
from node.views.ledger import Ledger
from node.views.listings import Listings
from node.views.proofs import Proofs
from node.views.status import (
    ClaimView,
    CommitView,
    LayerRangesView,
    ListView,
    MinersView,
    NotOffered,
    PeersView,
    PoolEventsView,
    PoolView,
    RoundView,
    SealView,
    StatusView,
    TaskView,
    UnknownItem,
    ViewPhase,
    VoteView,
)
from node.views.tasks import PublishedTasks
from pool.manager.manager import Manager
from pool.records.view import event_view, miner_views, pool_view


class NodeViews:
    """Implements `node.views.status.Views`.

    `peers` and `refused` come from the peer network, `clock_verdict` says whether this node's
    clock lets it sign; `manager` is None on a node without a pool. `activity` tells
    what the node's miner does, if it has one; `proofs` are what pools have signed for it.
    """

    def __init__(
        self,
        role: str,
        identity: Identity,
        payout_address: bytes,
        chain: Chain,
        rounds: Rounds,
        designs: NasDesigns,
        clock: Clock,
        peers: Callable[[], PeersView],
        refused: Counter[str],
        clock_verdict: Callable[[], ClockVerdict],
        manager: Manager | None,
        activity: Callable[[], str],
        listings: Listings,
        proofs: Proofs,
        ledger: Ledger,
        published: PublishedTasks,
    ) -> None:
        self.listings = listings
        self.proofs = proofs
        self.ledger = ledger
        self.published = published
        self._role = role
        self._identity = identity
        self._payout_address = payout_address
        self._chain = chain
        self._rounds = rounds
        self._designs = designs
        self._clock = clock
        self._peers = peers
        self._refused = refused
        self._clock_verdict = clock_verdict
        self._manager = manager
        self._activity = activity

    def status(self) -> StatusView:
        tree, network = self._chain.tree, self._chain.network
        now, head = phase_at(network, self._clock.now_ms()), tree.head()
        clock = self._clock_verdict()
        return StatusView(
            version=version("ponas"),
            network=network.parameters.name,
            network_id=network.id,
            role=self._role,
            public_key=self._identity.public_key,
            payout_address=format_address(self._payout_address),
            round=now.round,
            phase=ViewPhase(now.phase),
            phase_remaining_ms=now.remaining_ms,
            height=head.state.height,
            head_round=head.state.round,
            head=head.id,
            justified_round=tree.justified.round,
            justified=tree.justified.id,
            final_round=tree.final.round,
            final_height=self._chain.final_height,
            final=tree.final.id,
            peers=self._peers().peers,
            refused=self._refused,
            activity=self._activity(),
            clock_offset_ms=clock.offset_ms,
            not_signing=clock.reason,
            checkpoint=self._checkpoint(),
            missing_blocks=self._chain.missing_blocks,
        )

    def _checkpoint(self) -> str:
        kept = self._chain.snapshots()
        return format_checkpoint(kept[-1].checkpoint) if kept else ""

    def block(self, which: bytes | int | None) -> BlockView:
        return view_block(self._chain, self._designs, self._block_id(which))

    def round(self, number: int | None) -> RoundView:
        now = phase_at(self._chain.network, self._clock.now_ms())
        number = now.round if number is None else number
        book = self._rounds.known(number) or RoundBook(number)
        if number > now.round or (number < now.round - 1):
            raise UnknownItem(f"this node remembers rounds {max(0, now.round - 1)} to {now.round}")
        ended = number < now.round
        return RoundView(
            round=number,
            phase=ViewPhase.CONFIRM if ended else ViewPhase(now.phase),
            commits=self._commits(book),
            lists=[ListView(listed.signer, listed.message.ids) for listed in book.lists.values()],
            claims=_claims(book),
            votes=[
                VoteView(vote.signer, vote.message.source, vote.message.target)
                for vote in self._chain.tree.votes()
                if vote.message.round == number
            ],
            seals=[
                SealView(sealer, sealer in book.opened)
                for sealer in self._chain.context(max(1, number)).sealers
            ],
        )

    def task(self, number: int | None) -> TaskView:
        now = phase_at(self._chain.network, self._clock.now_ms()).round
        number = now if number is None else number
        if not max(1, now - 1) <= number <= now + 1:
            raise UnknownItem(f"the task of round {number} can't be told in round {now}")
        context, standing = self._chain.context(number), self._chain.network.parameters.task
        task, space = self._designs.task(context), self._designs.space(context)
        profile = profile_named(task.profile)
        return TaskView(
            round=number,
            dataset=task.dataset,
            protocol=task.protocol,
            epochs=task.epochs,
            profile=task.profile,
            max_luts=profile.max_luts,
            min_images_per_s=profile.min_images_per_s,
            max_mac_images=task.max_mac_images,
            test_size=context.test_images,
            classes=describe(task.dataset).classes,
            min_correct=context.min_correct,
            insecure_standing_task=context.paid is None and standing.insecure,
            layers=[
                LayerRangesView(**dict(zip(HYPERPARAMETERS, ranges, strict=True)))
                for ranges in space.ranges
            ],
        )

    def pool(self) -> PoolView:
        manager = self._pool_of()
        key, now_ms = self._identity.public_key, self._clock.now_ms()
        return pool_view(manager.state, key, manager.fee_permille, now_ms)

    def miners(self) -> MinersView:
        return MinersView(miner_views(self._pool_of().state))

    def pool_events(self, since: int) -> PoolEventsView:
        found = [event_view(*row) for row in self._pool_of().events(max(1, since))]
        return PoolEventsView(found, found[-1].number + 1 if found else since)

    def block_bytes(self, which: bytes | int | None) -> BlockBytesView:
        block_id = self._block_id(which)
        block = self._chain.block(block_id)
        if block is None and self._chain.height(block_id) != 0:
            raise UnknownItem(f"this node has no block {block_id.hex()}")
        if block is None:
            return BlockBytesView(b"", b"")
        return BlockBytesView(encode(block.header.envelope), block.body_bytes)

    def peers(self) -> PeersView:
        return self._peers()

    def _pool_of(self) -> Manager:
        if self._manager is None:
            raise NotOffered(f"this node runs no pool; its role is {self._role}")
        return self._manager

    def _block_id(self, which: bytes | int | None) -> bytes:
        if which is None:
            return self._chain.tree.head().id
        if isinstance(which, bytes):
            return which
        block_id = self._chain.id_at(which)
        if block_id is None:
            raise UnknownItem(f"the chain has no block at height {which}")
        return block_id

    def _commits(self, book: RoundBook) -> list[CommitView]:
        quorum = certified(self._chain.context(max(1, book.round)), book.lists.values())
        return [
            CommitView(c.id, format_address(c.signer), c.message.unit, c.id in quorum)
            for c in book.commits.values()
        ]


def _claims(book: RoundBook) -> list[ClaimView]:
    return [
        ClaimView(
            claim.id,
            format_address(claim.signer),
            claim.message.correct,
            EQUIVOCATED
            if claim.signer in book.equivocators
            else book.verdicts.get(claim.id, "pending"),
        )
        for claim in book.claims.values()
    ]
