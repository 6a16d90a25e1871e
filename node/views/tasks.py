"""Views of published tasks and their results, one class per message of query_service.proto."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class QueuedTaskView:
    id: bytes
    publisher: str
    reward: int
    shards: int
    used: int
    difficulty_ms: int
    holders: int
    attesters: int
    queued_round: int
    suspended: bool
    escrow: int
    rounds: Sequence[int]
    won: int
    winners: int


@dataclass(frozen=True)
class TaskQueueView:
    tasks: Sequence[QueuedTaskView]


@dataclass(frozen=True)
class TaskResultView:
    block: bytes
    round: int
    shard: int
    producer: str
    correct: int
    test_images: int
    incumbent_correct: int
    genotype: bytes
    model_hash: bytes
    luts: int
    images_per_s: int
    final: bool


@dataclass(frozen=True)
class TaskResultsView:
    results: Sequence[TaskResultView]


@dataclass(frozen=True)
class TaskTermsView:
    publisher: str
    terms: bytes


@dataclass(frozen=True)
class RoundTaskView:
    round: int
    dataset: str
    epochs: int
    max_mac_images: int


@dataclass(frozen=True)
class RoundTasksView:
    tasks: Sequence[RoundTaskView]
    next: int


@dataclass(frozen=True)
class ModelPartView:
    data: bytes
    total: int


class PublishedTasks(Protocol):
    """What the query service asks about published tasks; methods may raise a `QueryError`."""

    def queue(self) -> TaskQueueView:
        """The tasks of the head's state."""
        ...

    def results(self, task_id: bytes) -> TaskResultsView:
        """What was found for a task, also after it is done."""
        ...

    def terms(self, task_id: bytes) -> TaskTermsView:
        """What a task asks for, as it was published, also after it is done."""
        ...

    def of_rounds(self, since: int, below: int) -> RoundTasksView:
        """What was mined in final rounds that a model has won, from one on, newest first, below a
        height; from the final block down if that is 0."""
        ...

    def model(self, model_hash: bytes, offset: int) -> ModelPartView:
        """At most 1 MiB of a model from an offset on."""
        ...
