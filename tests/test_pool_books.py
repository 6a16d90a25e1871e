"""A manager's books: exact, bounded, and the same lines as the public log gives."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from immutables import Map

from pool.proofs.recount import lines_of_log
from pool.proofs.sharelog import PAGE_SHARES, Held, Page, Share, Terms, open_page, share_hash
from pool.records import seen as seen_module
from pool.records.books import (
    Books,
    compute_lines,
    held_back,
    with_forfeited,
    with_page_closed,
    with_passed_audit,
    with_payout,
    with_proven,
    with_result,
    with_round_ended,
)
from pool.records.tables import persistent
from pool.rules.appraisal import Standing
from pool.rules.pace import Pace
from pool.rules.payout import TOTAL_WEIGHT
from pool.rules.window import LOG_ROUNDS, WINDOW_ROUNDS
from tests.pool_world import public
from tests.proof_world import MANAGER, share

miners = st.sampled_from("abc")
Step = tuple[str, str, int, bool] | tuple[str, bool] | frozenset[str]
steps = st.lists(
    st.one_of(
        st.tuples(miners, st.sampled_from("abcx"), st.integers(0, 10**15), st.booleans()),
        st.tuples(miners, st.booleans()),
        st.frozensets(miners),
    ),
    max_size=40,
)


@given(steps)
def test_lines_follow_from_the_log(played: list[Step]) -> None:
    """Results (miner, address, work, whether an audit waits), audits (a miner, whether it passed)
    and ends of rounds (miners that owe an answer), in any order."""
    books, pages, number = Books(), list[Page](), 1
    for at, step in enumerate([*played, frozenset[str]()]):
        if isinstance(step, frozenset):
            held = held_back(books, set(map(public, step)))
            lines = compute_lines(books, number, public("finder"), MANAGER, 10, held)
            terms = Terms(public("finder"), MANAGER, 10)
            hash_, data, books = with_page_closed(books, MANAGER, number, terms, held)
            pages.append(open_page(data, hash_))
            assert lines_of_log(pages) == lines
            books = with_round_ended(books, number, {})
            number += 1
        elif len(step) == 2:
            miner, passed = step
            after = with_proven(books, public(miner))
            books = after if passed else with_forfeited(books, public(miner), "count-differs")
        else:
            miner, address, work, waits = step
            entry = msgspec.structs.replace(share(miner, at, work, number), address=public(address))
            is_audited = waits or books.standing(public(miner)).unproven > 0
            books = with_result(books, entry, (share_hash(entry),), number if is_audited else None)


def booked(*entries: Share) -> Books:
    books = Books()
    for entry in entries:
        books = with_result(books, entry, (share_hash(entry),))
    return books


def test_a_paid_share_is_remembered_and_puts_something_at_stake() -> None:
    entry = share("a", work=7)

    books = booked(entry)

    assert books.seen.has_model(entry.model_hash)
    assert (books.standing(public("a")).streak, books.standing(public("a")).unpaid) == (1, 1)


def test_a_share_without_work_is_logged_and_no_more() -> None:
    entry = share("a", work=0)

    books = booked(entry)

    assert books.page.shares == (entry,)
    assert not books.seen.has_model(entry.model_hash)
    assert books.earned == Map()
    assert books.standing(public("a")).streak == 0


def test_a_forfeit_takes_all_work_and_the_streak() -> None:
    books = with_round_ended(booked(share("a"), share("b")), 1, {})
    books = with_result(books, share("a", 1, 100, 2), ())

    books = with_forfeited(books, public("a"), "count-differs")

    lines = compute_lines(books, 2, public("finder"), MANAGER, 0)
    assert {line.address for line in lines} == {public("b"), public("finder")}
    assert books.standing(public("a")).streak == 0
    assert books.standing(public("b")).streak == 1
    assert books.page.forfeits[0].reason == b"count-differs"


def test_work_held_back_is_paid_later_and_the_others_as_if_it_had_never_been_there() -> None:
    both, honest = Books(), Books()
    for number in range(1, WINDOW_ROUNDS + 3):
        of_a, of_b = share("a", number, 10**6, number), share("b", number, 7 * number, number)
        both = with_result(with_result(both, of_a, (), number), of_b, ())
        honest = with_result(honest, of_b, ())
        both, honest = with_round_ended(both, number, {}), with_round_ended(honest, number, {})

    def weights(books: Books) -> dict[bytes, int]:
        held = held_back(books, ())
        lines = compute_lines(books, WINDOW_ROUNDS + 3, public("finder"), MANAGER, 0, held)
        return {line.address: line.weight for line in lines}

    assert weights(both) == weights(honest)
    assert weights(with_proven(both, public("a")))[public("a")] > TOTAL_WEIGHT // 2


def test_a_payout_leaves_nothing_at_stake_but_the_streak() -> None:
    books = with_payout(booked(share("a"), share("a", 1)))

    assert (books.standing(public("a")).streak, books.standing(public("a")).unpaid) == (2, 0)


def test_a_round_gives_each_miner_its_pace() -> None:
    books = with_round_ended(booked(share("a", work=70)), 1, {public("a"): 5})

    assert books.standing(public("a")).pace.past == ((70, 5),)
    assert books.earned == Map()


def test_the_books_keep_so_many_rounds_as_count() -> None:
    books = Books()
    for number in range(1, LOG_ROUNDS + 4):
        books = with_result(books, share("a", 0, 10, number), ())
        books = with_round_ended(books, number, {})

    assert [round_.round for round_ in books.past] == list(range(4, LOG_ROUNDS + 4))


def test_a_round_without_work_leaves_no_trace() -> None:
    assert with_round_ended(Books(), 1, {}) == Books()


def test_passed_audits_teach_the_class() -> None:
    books = with_passed_audit(with_passed_audit(Books(), 7, 300), 7, 310)

    assert (books.classes[7].shares, books.classes[7].correct) == (2, 610)


def test_a_training_is_remembered_for_its_round_and_its_model_for_the_window() -> None:
    entry = share("a", work=7)
    books = with_result(Books(), entry, (b"training", b"weights"))

    remembered = []
    for number in range(1, WINDOW_ROUNDS + 1):
        remembered.append(
            [b"training" in books.seen.trainings, books.seen.has_model(entry.model_hash)]
        )
        books = with_round_ended(with_result(books, share("a", number), ()), number, {})

    assert remembered == [[True, True]] + [[False, True]] * (WINDOW_ROUNDS - 1)
    assert not books.seen.has_model(entry.model_hash)


def test_however_many_others_are_paid_a_training_of_the_round_is_not_paid_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(seen_module, "MAX_PAST_MODELS", 3)
    entries = [share("a", episode) for episode in range(8)]

    books = booked(*entries)

    assert all(books.seen.has_model(entry.model_hash) for entry in entries)


def test_models_of_earlier_rounds_are_bounded_and_the_oldest_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(seen_module, "MAX_PAST_MODELS", 3)
    books, entries = Books(), [share("a", number) for number in range(4)]
    for number in range(2):
        for entry in entries[2 * number : 2 * number + 2]:
            books = with_result(books, entry, ())
        books = with_round_ended(books, number + 1, {})

    assert [books.seen.has_model(entry.model_hash) for entry in entries] == [
        False,
        False,
        True,
        True,
    ]


def test_a_full_page_has_to_be_closed() -> None:
    books = booked(*(share("a", episode, 0) for episode in range(PAGE_SHARES)))
    assert books.page.is_full
    with pytest.raises(ValueError, match="closed first"):
        with_result(books, share("b"), ())

    hash_, data, books = with_page_closed(books, MANAGER, 1)

    assert books.page.is_empty
    assert books.page.before == hash_
    assert len(open_page(data, hash_).shares) == PAGE_SHARES


def test_shares_survive_a_snapshot() -> None:
    entry = share("a")

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(entry), type=Share) == entry


PACE = Pace(past=((70, 5), (60, 5)))
NEW, OLD = Standing(9, 9, PACE, 3), Standing(10, 9, PACE, 3)


@pytest.mark.parametrize(
    ("standing", "owes", "is_held"),
    [
        (NEW, False, True),
        (NEW, True, True),
        (OLD, False, False),
        (OLD, True, True),
        (msgspec.structs.replace(OLD, pace=Pace(past=((70, 5),))), False, True),
        (msgspec.structs.replace(NEW, unproven=0), True, False),
    ],
    ids=["new", "new, asked", "established", "asked", "first round", "proven"],
)
def test_who_is_new_or_was_asked_is_held_back_while_an_audit_waits(
    standing: Standing, owes: bool, is_held: bool
) -> None:
    books = Books(standings=persistent({public("a"): standing}))

    held = held_back(books, {public("a")} if owes else set())

    assert held == ((Held(public("a"), 3),) if is_held else ())


def test_a_streak_grows_by_shares_that_were_not_drawn_and_by_passed_audits() -> None:
    books = with_result(Books(), share("a", 0), ())
    for number in (1, 2):
        books = with_result(books, share("a", number, round_number=number), (), number)
    waiting = books.standing(public("a"))
    ended = with_payout(with_round_ended(books, 2, {}))
    proven = with_proven(ended, public("a")).standing(public("a"))

    assert (waiting.streak, waiting.unproven) == (1, 2)
    assert [(part.round, part.work) for part in waiting.unproven_work] == [(1, 100), (2, 100)]
    assert (proven.streak, proven.unproven) == (3, 0)
    lost = with_forfeited(ended, public("a"), "why").standing(public("a"))
    assert (lost.streak, lost.unproven) == (0, 0)
