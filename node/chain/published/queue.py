"""Which task is mined next: the rules of the queue as pure functions (consensus C2, C8).

The shard of round r is reserved by the block of round r - 2, so that everybody can fetch its data
early, siblings at r - 1 agree on it, and no shard can come up twice: a round whose block r - 2 is
missing has the standing task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from fractions import Fraction

from node.chain.messages import Vote
from node.chain.published.difficulty import score
from node.chain.published.record import Entry, TaskRecord
from node.chain.published.rules import REWARD_IN_SUBSIDIES

LEAD_ROUNDS = 2
GRACE_ROUNDS = 20
"""Rounds in which the data of a new task have to come to a quorum, before any other may have its
place."""
PLACE_IN_LEAST_REWARDS = 5
"""One in so many base units of the least reward is burnt for a place. Whoever keeps all places with
tasks that nobody can mine pays that 32 times in `GRACE_ROUNDS`: more than who buys every round."""


def place_fee(subsidy: int) -> int:
    """Base units that are burnt for a place in the queue."""
    return REWARD_IN_SUBSIDIES * subsidy // PLACE_IN_LEAST_REWARDS


def who_yields(
    tasks: Iterable[Entry],
    newcomer: Fraction,
    round_number: int,
    is_quorum: Callable[[Iterable[bytes]], bool],
) -> bytes | None:
    """Id of the task that loses its place in a full queue to one with the score `newcomer`.

    The worst of those with nothing reserved: first of all one that can't be mined although it had
    its time, and leaves for anybody; else one of a higher score than the newcomer's.
    """
    ranked = [
        (
            _is_idle(record, round_number, is_quorum),
            score(record.difficulty_ms, record.terms.reward),
            record.queued_round,
            task_id,
        )
        for task_id, record in tasks
        if not record.reserved
    ]
    if not ranked:
        return None
    is_idle, worst, _, task_id = max(ranked)
    return task_id if is_idle or newcomer < worst else None


def choose(
    tasks: Iterable[Entry],
    round_number: int,
    subsidy: int,
    is_quorum: Callable[[Iterable[bytes]], bool],
) -> bytes | None:
    """Id of the task to reserve for a round: least work for the reward, then older, then lower id.

    Left out are tasks whose data no quorum holds, that pay less than twice the subsidy, are
    suspended or closed, or whose publisher has the round before (round robin, consensus C2).
    """
    queue = list(tasks)
    just_past = {record.publisher for _, record in queue if record.reservation(round_number - 1)}
    ranked = [
        (score(record.difficulty_ms, record.terms.reward), record.queued_round, task_id)
        for task_id, record in queue
        if record.unreserved
        and not record.suspended
        and record.publisher not in just_past
        and record.terms.reward >= REWARD_IN_SUBSIDIES * subsidy
        and is_quorum(record.holders)
    ]
    return min(ranked)[-1] if ranked else None


def note_holder(
    record: TaskRecord, vote: Vote, voter: bytes, seats: Mapping[bytes, int]
) -> TaskRecord:
    """The record after a vote on the chain, with those who hold its data and have a seat.

    A vote speaks of the places as they were two rounds before its own; older ones may mean a task
    that had the place before.
    """
    if vote.round < record.queued_round + LEAD_ROUNDS or not has_bit(vote.tasks_held, record.place):
        return record
    # Mostly nothing is new: each vote names all that its voter holds.
    if voter in record.holders and seats.keys() >= set(record.holders):
        return record
    holders = {holder for holder in (*record.holders, voter) if holder in seats}
    return replace(record, holders=tuple(sorted(holders)))


def _is_idle(
    record: TaskRecord, round_number: int, is_quorum: Callable[[Iterable[bytes]], bool]
) -> bool:
    """Whether a task holds a place in which nobody can mine it."""
    is_new = round_number < record.queued_round + GRACE_ROUNDS
    return bool(record.suspended) or not (is_new or is_quorum(record.holders))


def make_bitmap(places: Iterable[int]) -> bytes:
    """The bits of a vote for the places whose tasks the voter holds; little-endian, no spare."""
    bits = sum(1 << place for place in set(places))
    return bits.to_bytes(-(-bits.bit_length() // 8), "little")


def has_bit(bitmap: bytes, place: int) -> bool:
    """Whether a vote's bitmap names a place."""
    return bool(int.from_bytes(bitmap, "little") >> place & 1)
