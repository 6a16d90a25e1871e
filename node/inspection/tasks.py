"""What a node shows of published tasks."""

from collections.abc import Iterator
from itertools import islice

from nas.designs.genotype import Genotype
from node.chain.block import Block
from node.chain.codec import encode
from node.chain.messages import Claim
from node.consensus.chain import Chain
from node.consensus.designs import NasDesigns
from node.consensus.records import TaskWin
from node.identity import format_address
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
"""Rounds in one answer, some 300 bytes each."""


class ChainTasks:
    """Implements `node.views.tasks.PublishedTasks` over a node's chain."""

    def __init__(self, chain: Chain, designs: NasDesigns) -> None:
        self._chain = chain
        self._designs = designs

    def queue(self) -> TaskQueueView:
        state, seats = self._chain.tree.head().state, self._chain.next_context().weights
        winners: dict[bytes, list[bytes]] = {}
        for block, win in self._followed_wins():
            winners.setdefault(win.publisher, []).append(block.header.signer)
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
                return TaskTermsView(format_address(win.publisher), encode(win.terms))
        raise UnknownItem(f"this node knows no task {task_id.hex()}")

    def of_rounds(self, since: int) -> RoundTasksView:
        return RoundTasksView(list(islice(self._won_tasks(since), MOST_ROUNDS)))

    def model(self, model_hash: bytes, offset: int) -> ModelPartView:
        part = self._chain.blob_part(model_hash, offset)
        if part is None:
            raise UnknownItem(f"this node has no model {model_hash.hex()}")
        return ModelPartView(part.data, part.total)

    def _results(self, task_id: bytes) -> Iterator[TaskResultView]:
        for block, win in self._followed_wins():
            claim = block.header.message
            if win.task_id == task_id and isinstance(claim, Claim):
                design = self._designs.price(win.terms, Genotype.from_bytes(claim.genotype))
                height = self._chain.height(block.id)
                yield TaskResultView(
                    block=block.id,
                    round=block.round,
                    shard=win.shard,
                    producer=format_address(block.header.signer),
                    correct=claim.correct,
                    test_images=win.terms.test_images,
                    incumbent_correct=claim.incumbent_correct,
                    genotype=claim.genotype,
                    model_hash=claim.model_hash,
                    luts=design.luts,
                    images_per_s=design.images_per_s,
                    final=height is not None and height <= self._chain.final_height,
                )

    def _won_tasks(self, since: int) -> Iterator[RoundTaskView]:
        wins = dict(self._chain.wins())
        for height in range(self._chain.final_height, 0, -1):
            block_id = self._chain.id_at(height)
            block = None if block_id is None else self._chain.block(block_id)
            if block is None or block.round < since:
                return
            if isinstance(block.header.message, Claim):
                win = wins.get(block.id)
                task = self._designs.task_for(None if win is None else win.terms)
                yield RoundTaskView(block.round, task.dataset, task.epochs, task.max_mac_images)

    def _followed_wins(self) -> Iterator[tuple[Block, TaskWin]]:
        """Wins of the chain that this node follows."""
        for block_id, win in self._chain.wins():
            block, height = self._chain.block(block_id), self._chain.height(block_id)
            if block is not None and height is not None and self._chain.id_at(height) == block_id:
                yield block, win
