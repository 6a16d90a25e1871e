"""The queue: which task a round is played for, and whose word on data counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.chain.codec import decode, encode
from node.chain.messages import Vote
from node.chain.published.escrow import BURNT_ATTESTERS_LINES
from node.chain.published.queue import (
    GRACE_ROUNDS,
    choose,
    has_bit,
    make_bitmap,
    note_holder,
    place_fee,
    who_yields,
)
from node.chain.published.record import (
    MAX_TASKS,
    Entry,
    Incumbent,
    Reservation,
    TaskRecord,
    find_paid,
)
from node.chain.published.rules import REWARD_IN_SUBSIDIES
from node.chain.rewards import split
from tests.task_world import SUBSIDY, make_record, make_terms, some_hash

A, B, C = (some_hash(name) for name in "abc")
SEATS = {some_hash(f"attester {n}"): 1 for n in range(4)}
ROUND = 10


def all_hold(holders: Iterable[bytes]) -> bool:
    return len(set(holders)) == len(SEATS)


def held(publisher: str = "publisher", **changes: object) -> TaskRecord:
    return make_record(publisher, holders=tuple(sorted(SEATS)), **changes)


def pick(*tasks: Entry) -> bytes | None:
    return choose(tasks, ROUND, SUBSIDY, all_hold)


def test_the_least_work_for_the_reward_comes_first() -> None:
    cheap = held(terms=make_terms(reward=4_000), difficulty_ms=1_999)
    assert pick((A, held(difficulty_ms=1_000)), (B, cheap)) == B
    assert pick((A, held(difficulty_ms=999)), (B, cheap)) == A


def test_equal_scores_go_to_the_older_then_to_the_lower_id() -> None:
    assert pick((A, held(queued_round=2)), (B, held())) == B
    assert pick((B, held()), (A, held())) == A


@pytest.mark.parametrize(
    "record",
    [
        make_record(holders=tuple(sorted(SEATS))[:3]),
        held(terms=make_terms(reward=2 * SUBSIDY - 1)),
        held(suspended=1),
        held(closed=1),
        held(used=3),
        held(reserved=(Reservation(ROUND - 1, 0),), used=1),
    ],
    ids=["not held", "reward", "suspended", "closed", "used up", "just past"],
)
def test_a_task_that_may_not_be_mined_is_left_out(record: TaskRecord) -> None:
    assert pick((A, record)) is None
    assert pick((A, record), (B, held("other", difficulty_ms=10**6))) == B


def test_the_next_round_goes_to_another_publisher() -> None:
    used = held(reserved=(Reservation(ROUND - 1, 0),), used=1)
    assert pick((A, used), (B, held(difficulty_ms=1))) is None
    assert pick((A, used), (C, held("other"))) == C


def test_a_reserved_shard_is_found_by_its_round_alone() -> None:
    record = held().reserve(ROUND)
    paid = find_paid([(B, held("other")), (A, record)], ROUND)
    assert paid is not None
    assert (paid.task_id, paid.shard, paid.sealed) == (A, 0, record.terms.shards[0])
    assert find_paid([(A, record)], ROUND + 1) is None


def test_each_shard_is_reserved_once() -> None:
    record, seen = held(), []
    while record.unreserved:
        record = record.reserve(ROUND)
        reservation = record.reservation(ROUND)
        assert reservation is not None
        seen.append(reservation.shard)
        record = record.settle(reservation)
    assert seen == [0, 1, 2]
    assert record.held == 0


def test_escrow_is_what_is_not_settled_and_the_bond() -> None:
    record = make_record(bond=5)
    assert record.held == record.terms.escrow + 5
    reserved = record.reserve(ROUND)
    assert reserved.held == record.held
    assert replace(reserved, closed=1).held == record.terms.reward + 5


def vote(round_number: int, *places: int) -> Vote:
    return Vote(0, bytes(32), round_number, bytes(32), b"", make_bitmap(places))


def test_votes_say_who_holds_the_data_of_a_place() -> None:
    first, second, *_ = sorted(SEATS)
    record = make_record(place=3, queued_round=5)
    record = note_holder(record, vote(7, 3), second, SEATS)
    record = note_holder(record, vote(8, 2, 3), first, SEATS)
    assert record.holders == (first, second)


def test_a_vote_for_another_place_says_nothing() -> None:
    record = make_record(place=3)
    assert note_holder(record, vote(7, 2, 4), min(SEATS), SEATS) == record


def test_a_vote_from_before_the_task_means_the_one_that_had_its_place() -> None:
    record = make_record(place=3, queued_round=6)
    assert note_holder(record, vote(7, 3), min(SEATS), SEATS) == record
    assert note_holder(record, vote(8, 3), min(SEATS), SEATS) != record


def test_holders_that_have_lost_their_seats_are_dropped() -> None:
    gone = some_hash("gone")
    record = note_holder(make_record(holders=(gone,)), vote(7, 0), min(SEATS), SEATS)
    assert record.holders == (min(SEATS),)


@given(st.sets(st.integers(0, MAX_TASKS - 1)))
def test_a_bitmap_names_its_places_in_four_bytes(places: set[int]) -> None:
    bitmap = make_bitmap(places)
    assert {place for place in range(MAX_TASKS) if has_bit(bitmap, place)} == places
    assert len(bitmap) <= 4


def yields(*tasks: Entry, newcomer: int = 0) -> bytes | None:
    """Who makes room for a task of so many ms for a base unit, which beats all by default."""
    return who_yields(tasks, Fraction(newcomer), ROUND + GRACE_ROUNDS, all_hold)


def test_the_worst_task_makes_room_for_a_better_one_alone() -> None:
    good, bad = (A, held(difficulty_ms=2_000)), (B, held("other", difficulty_ms=4_000))
    reward = make_terms().reward
    assert yields(good, bad) == B
    assert yields(good, bad, newcomer=4_000 // reward) is None
    assert who_yields([good, bad], Fraction(3_999, reward), ROUND, all_hold) == B


def test_of_equal_tasks_the_newest_then_the_higher_id_makes_room() -> None:
    assert yields((A, held(queued_round=2)), (B, held("other"))) == A
    assert yields((A, held()), (B, held("other"))) == B


@pytest.mark.parametrize("idle", [make_record(), held(suspended=1)], ids=["not held", "suspended"])
def test_a_task_that_nobody_can_mine_makes_room_for_any(idle: TaskRecord) -> None:
    assert yields((A, idle), (B, held("other", difficulty_ms=10**6)), newcomer=10**9) == A


def test_a_new_task_has_time_to_spread_its_data() -> None:
    fresh = make_record(queued_round=ROUND + 1)
    assert yields((A, fresh), newcomer=10**9) is None
    assert yields((A, replace(fresh, queued_round=ROUND)), newcomer=10**9) == A


def test_a_task_with_a_round_ahead_keeps_its_place() -> None:
    assert yields((A, held().reserve(ROUND))) is None


def test_keeping_all_places_costs_more_than_buying_every_round() -> None:
    least_reward = REWARD_IN_SUBSIDIES * SUBSIDY
    burnt, for_attesters, _ = split(least_reward, BURNT_ATTESTERS_LINES)
    assert MAX_TASKS * place_fee(SUBSIDY) > GRACE_ROUNDS * (burnt + for_attesters)


def test_a_record_has_one_encoding() -> None:
    record = replace(held(), incumbents=(Incumbent(b"g", A),), bond=1).reserve(ROUND)
    assert decode(TaskRecord, encode(record)) == record
