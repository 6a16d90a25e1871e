"""What the chain keeps of a published task from its publication to its end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated

from node.chain.codec import Bytes, Message, RepeatedBytes, RepeatedMessage, Uint
from node.chain.messages import MAX_ATTESTERS, MAX_GENOTYPE_BYTES
from node.chain.published.rules import min_correct
from node.chain.published.terms import MAX_SHARDS, Publish, SealedShard

MAX_TASKS = 32
"""Tasks in the queue, as many as a vote has bits for."""
MAX_RESERVED = 2
"""A shard is reserved two rounds ahead, and settled in its round."""


@dataclass(frozen=True)
class Reservation:
    """The shard that a round is played for."""

    round: Annotated[int, Uint(1)]
    shard: Annotated[int, Uint(2, MAX_SHARDS - 1)]


@dataclass(frozen=True)
class Incumbent:
    """The model that won the task's last won shard; it is public, so the next one must beat it."""

    genotype: Annotated[bytes, Bytes(1, 1, MAX_GENOTYPE_BYTES)]
    model_hash: Annotated[bytes, Bytes(2)]


@dataclass(frozen=True)
class TaskRecord:
    """A task in the queue, under the id of its Publish transaction.

    `place` is its bit in votes. `holders` are the attesters whose votes said that they hold its
    data. `used` counts the shards that were reserved so far. `bond` is what the publisher deposited
    after a key was withheld. A closed task was cancelled or expired; it stays for what is reserved.
    """

    publisher: Annotated[bytes, Bytes(1)]
    terms: Annotated[Publish, Message(2, Publish)]
    difficulty_ms: Annotated[int, Uint(3)]
    queued_round: Annotated[int, Uint(4)]
    place: Annotated[int, Uint(5, MAX_TASKS - 1)]
    holders: Annotated[tuple[bytes, ...], RepeatedBytes(6, most=MAX_ATTESTERS)] = ()
    used: Annotated[int, Uint(7, MAX_SHARDS)] = 0
    reserved: Annotated[tuple[Reservation, ...], RepeatedMessage(8, MAX_RESERVED, Reservation)] = ()
    incumbents: Annotated[tuple[Incumbent, ...], RepeatedMessage(9, 1, Incumbent)] = ()
    bond: Annotated[int, Uint(10)] = 0
    suspended: Annotated[int, Uint(11, 1)] = 0
    closed: Annotated[int, Uint(12, 1)] = 0

    @property
    def held(self) -> int:
        """Base units in escrow: the rewards that are not settled yet, and the bond."""
        return self.bond + (self.unreserved + len(self.reserved)) * self.terms.reward

    @property
    def unreserved(self) -> int:
        """Shards that may still be reserved."""
        return 0 if self.closed else len(self.terms.shards) - self.used

    @property
    def incumbent(self) -> Incumbent | None:
        """The last winner's model, or None before the first."""
        return self.incumbents[0] if self.incumbents else None

    def reservation(self, round_number: int) -> Reservation | None:
        """The task's reservation for a round."""
        return next((each for each in self.reserved if each.round == round_number), None)

    def reserve(self, round_number: int) -> TaskRecord:
        """The record with its next shard reserved for a round."""
        reservation = Reservation(round_number, self.used)
        return replace(self, used=self.used + 1, reserved=(*self.reserved, reservation))

    def settle(self, reservation: Reservation) -> TaskRecord:
        """The record without a reservation, whose reward was dealt with."""
        left = tuple(each for each in self.reserved if each != reservation)
        return replace(self, reserved=left)


@dataclass(frozen=True)
class PaidShard:
    """A round's published task, as far as the round is concerned."""

    task_id: bytes
    record: TaskRecord
    shard: int

    @property
    def terms(self) -> Publish:
        """The task's terms."""
        return self.record.terms

    @property
    def sealed(self) -> SealedShard:
        """The hashes of the shard that the round opens."""
        return self.terms.shards[self.shard]

    @property
    def margin(self) -> int:
        """Images by which the last winner's model is to be beaten; 0 before there was one."""
        return 0 if self.record.incumbent is None else self.terms.margin

    @property
    def min_correct(self) -> int:
        """Least count of correct test images that a claim may state."""
        return min_correct(self.terms)


Entry = tuple[bytes, TaskRecord]
"""A task by its id."""


def find_paid(tasks: Iterable[Entry], round_number: int) -> PaidShard | None:
    """The shard that is reserved for a round, or None if it has the standing task."""
    for task_id, record in tasks:
        if reservation := record.reservation(round_number):
            return PaidShard(task_id, record, reservation.shard)
    return None
