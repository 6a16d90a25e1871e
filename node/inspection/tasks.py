"""What a node shows of published tasks."""

from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile

from nas.designs.genotype import Genotype
from node.chain.block import read_header
from node.chain.codec import encode
from node.chain.messages import Claim
from node.consensus.chain import Chain
from node.consensus.designs import NasDesigns
from node.consensus.records import TaskWin
from node.identity import format_address
from node.net.protocol import Header
from node.views.status import UnknownItem
from node.views.tasks import (
    ModelPartView,
    QueuedTaskView,
    RoundTasksView,
    RoundTaskView,
    TaskQueueView,
    TaskResultsView,
    TaskResultView,
    TaskTermsView,
)

MOST_ROUNDS = 1_000
"""Blocks looked at for one answer, won or not."""


class ChainTasks:
    """Implements `node.views.tasks.PublishedTasks` over a node's chain."""

    def __init__(self, chain: Chain, designs: NasDesigns) -> None:
        self._chain = chain
        self._designs = designs

    def queue(self) -> TaskQueueView:
        state, seats = self._chain.tree.head().state, self._chain.next_context().weights
        winners: dict[bytes, list[bytes]] = {}
        publishers = {record.publisher for record in state.tasks.values()}
        for header, win in self._followed_wins(lambda win: win.publisher in publishers):
            winners.setdefault(win.publisher, []).append(header.signer)
        return TaskQueueView(
            [
                QueuedTaskView(
                    id=task_id,
                    publisher=format_address(record.publisher),
                    reward=record.terms.reward,
                    shards=len(record.terms.shards),
                    used=record.used,
                    difficulty_ms=record.difficulty_ms,
                    holders=len(seats.keys() & set(record.holders)),
                    attesters=len(seats),
                    queued_round=record.queued_round,
                    suspended=bool(record.suspended),
                    escrow=record.held,
                    rounds=[reservation.round for reservation in record.reserved],
                    won=len(winners.get(record.publisher, ())),
                    winners=len(set(winners.get(record.publisher, ()))),
                )
                for task_id, record in sorted(state.tasks.items())
            ]
        )

    def results(self, task_id: bytes) -> TaskResultsView:
        found = sorted(self._results(task_id), key=lambda result: result.round)
        if not found and task_id not in self._chain.tree.head().state.tasks:
            raise UnknownItem(f"this node knows no task {task_id.hex()}")
        return TaskResultsView(found)

    def terms(self, task_id: bytes) -> TaskTermsView:
        queued = self._chain.tree.head().state.tasks.get(task_id)
        if queued is not None:
            return TaskTermsView(format_address(queued.publisher), encode(queued.terms))
        for _, win in self._chain.wins():
            if win.task_id == task_id:
                return TaskTermsView(format_address(win.publisher), win.terms_bytes)
        raise UnknownItem(f"this node knows no task {task_id.hex()}")

    def of_rounds(self, since: int, below: int) -> RoundTasksView:
        final = self._chain.final_height
        top = min(below - 1, final) if below else final
        # A round has one block at most.
        limit = min(MOST_ROUNDS, self._chain.tree.final.round - since + 1)
        headers = self._headers_down(self._chain.id_at(top) or b"", limit)
        looked_at = list(takewhile(lambda each: each.message.round >= since, headers))
        lowest = top - len(looked_at) + 1
        is_cut = len(looked_at) == MOST_ROUNDS and lowest > 1
        return RoundTasksView(list(self._won_tasks(looked_at)), lowest if is_cut else 0)

    def model(self, model_hash: bytes, offset: int) -> ModelPartView:
        part = self._chain.blob_part(model_hash, offset)
        if part is None:
            raise UnknownItem(f"this node has no model {model_hash.hex()}")
        return ModelPartView(part.data, part.total)

    def _results(self, task_id: bytes) -> Iterator[TaskResultView]:
        for header, win in self._followed_wins(lambda win: win.task_id == task_id):
            claim = header.message
            if isinstance(claim, Claim):
                terms = win.terms
                design = self._designs.price(terms, Genotype.from_bytes(claim.genotype))
                height = self._chain.height(header.id)
                yield TaskResultView(
                    block=header.id,
                    round=claim.round,
                    shard=win.shard,
                    producer=format_address(header.signer),
                    correct=claim.correct,
                    test_images=terms.test_images,
                    incumbent_correct=claim.incumbent_correct,
                    genotype=claim.genotype,
                    model_hash=claim.model_hash,
                    luts=design.luts,
                    images_per_s=design.images_per_s,
                    final=height is not None and height <= self._chain.final_height,
                )

    def _won_tasks(self, headers: Sequence[Header]) -> Iterator[RoundTaskView]:
        for header in headers:
            if isinstance(header.message, Claim):
                win = self._chain.win(header.id)
                task = self._designs.task_for(None if win is None else win.terms)
                yield RoundTaskView(
                    header.message.round, task.dataset, task.epochs, task.max_mac_images
                )

    def _followed_wins(
        self, is_wanted: Callable[[TaskWin], bool]
    ) -> Iterator[tuple[Header, TaskWin]]:
        """Wins of the chain that this node follows, with the headers of the blocks."""
        for block_id, win in self._chain.wins():
            if is_wanted(win):
                for header in self._headers_down(block_id, limit=1):
                    yield header, win

    def _headers_down(self, block_id: bytes, limit: int) -> Iterator[Header]:
        """Headers of a block of the followed chain and those below it."""
        for envelope in self._chain.down_from(block_id, limit):
            yield read_header(envelope, self._chain.network.id)
