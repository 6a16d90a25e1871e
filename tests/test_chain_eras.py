"""Seats of an era: drawn an era ahead, the same for every round of it on a chain."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from node.chain.eras import (
    MAX_ABSENT_ERAS,
    NOBODY,
    Candidate,
    Eras,
    Seat,
    Seats,
    draw_seats,
)
from node.chain.messages import MAX_ATTESTERS

ERA_ROUNDS = 4


def name(number: int) -> bytes:
    return number.to_bytes(32, "big")


def bonded(*amounts: int) -> list[Candidate]:
    return [Candidate(name(number), amount, 0) for number, amount in enumerate(amounts)]


def seats(*rows: tuple[int, int]) -> Seats:
    return Seats(tuple(Seat(name(number), weight) for number, weight in rows))


def begin(candidates: list[Candidate]) -> Eras:
    first = draw_seats(candidates, 10)
    return Eras(ERA_ROUNDS, 0, first, first, 0, first)


def test_the_weight_of_a_seat_is_bounded() -> None:
    assert draw_seats(bonded(3, 10, 11), max_weight=10) == seats((0, 3), (1, 10), (2, 10))


def test_seats_go_to_the_largest_bonds_and_of_equal_ones_to_lower_keys() -> None:
    crowd = bonded(*[5] * MAX_ATTESTERS, 4, 6, 5)
    drawn = {seat.attester for seat in draw_seats(crowd, 10).rows}
    assert len(drawn) == MAX_ATTESTERS
    assert name(MAX_ATTESTERS + 1) in drawn
    assert not drawn & {name(MAX_ATTESTERS - 1), name(MAX_ATTESTERS), name(MAX_ATTESTERS + 2)}


@given(st.permutations(bonded(*range(1, 9), 3, 3)))
def test_seats_do_not_depend_on_the_order_of_bonds(candidates: list[Candidate]) -> None:
    assert draw_seats(candidates, 5) == draw_seats(sorted(candidates), 5)


def test_an_empty_bond_has_no_seat() -> None:
    assert draw_seats(bonded(0, 1), 10) == seats((1, 1))


def test_a_seat_is_lost_after_three_eras_without_a_vote() -> None:
    late = Candidate(name(0), 5, MAX_ABSENT_ERAS - 1)
    gone = Candidate(name(1), 5, MAX_ABSENT_ERAS)
    here = Candidate(name(2), 5, 0)
    assert draw_seats([late, gone, here], 10) == seats((0, 5), (2, 5))


def test_seats_stay_if_everybody_was_absent() -> None:
    gone = [Candidate(name(number), 5, MAX_ABSENT_ERAS) for number in range(2)]
    assert draw_seats(gone, 10) == seats((0, 5), (1, 5))


def test_votes_are_noted_by_the_place_of_the_seat() -> None:
    eras = begin(bonded(1, 1, 1)).note_vote(name(2)).note_vote(name(9))
    assert eras.current.marked(eras.seen) == [eras.current.rows[2].attester]
    assert eras.absentees() == [name(0), name(1)]
    assert eras.enter(ERA_ROUNDS - 1) is eras
    assert eras.enter(ERA_ROUNDS).seen == NOBODY


def test_a_state_knows_the_seats_of_three_eras() -> None:
    eras = Eras(ERA_ROUNDS, 7, seats((1, 1)), seats((2, 1)), 5, seats((3, 1)))
    known = {era: eras.seats_at(era * ERA_ROUNDS) for era in range(4, 10)}
    assert known == {
        4: Seats(),
        5: seats((3, 1)),
        6: Seats(),
        7: seats((1, 1)),
        8: seats((2, 1)),
        9: seats((2, 1)),
    }
    # An era without a block in between leaves the seats that were drawn last.
    later = Eras(ERA_ROUNDS, 9, seats((2, 1)), seats((2, 1)), 7, seats((1, 1)))
    assert eras.enter(9 * ERA_ROUNDS + 3) == later
    assert [era for era in range(4, 10) if eras.knows(era * ERA_ROUNDS)] == [5, 7, 8]
    assert eras.knows(9 * ERA_ROUNDS - 1)


@given(st.sets(st.integers(1, 40), min_size=1))
def test_every_round_of_an_era_is_played_with_the_same_seats(rounds: set[int]) -> None:
    """Whatever rounds have blocks: the ancestor at round <= r - 2 gives what block r states."""
    history = {0: begin(bonded(1))}
    for number in sorted(rounds):
        before = history[max(history)]
        after = before.enter(number)
        if after.era != before.era and after.draws(number):
            # Seats that name the block which drew them.
            after = replace(after, next=seats((number, 1)))
        history[number] = after
    for number in rounds:
        ancestor = history[max(r for r in history if r <= max(0, number - 2))]
        assert ancestor.seats_at(number) == history[number].current
