"""Safety of the vote rules: small worlds exhaustively, known attacks verbatim."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations, combinations_with_replacement, permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.chain.eras import Seat, Seats
from node.chain.finality import (
    Link,
    Tally,
    Watermark,
    advance,
    is_safe_to_sign,
    link_of,
    slashable,
)
from node.chain.messages import Vote
from node.chain.offence import Offence
from node.chain.state import Checkpoint

GENESIS = Checkpoint(0, b"G")
Tree = dict[Checkpoint, Checkpoint]
"""Parent of each block but genesis."""


def block(round_number: int, name: str) -> Checkpoint:
    return Checkpoint(round_number, name.encode())


def link(source: Checkpoint, target: Checkpoint) -> Link:
    return Link(source, target)


def voters(count: int, first: int = 0) -> list[bytes]:
    return [bytes([first + i]) for i in range(count)]


def equal(keys: Iterable[bytes]) -> Seats:
    return Seats(tuple(Seat(key, 1) for key in keys))


def count(ballots: Iterable[tuple[bytes, Link]], seats: Seats) -> Tally:
    tally = Tally([GENESIS])
    for voter, ballot in ballots:
        tally.add(voter, ballot, seats)
    return tally


# Offences.


A, B, C = block(1, "A"), block(2, "B"), block(3, "C")


@pytest.mark.parametrize(
    ("first", "second", "offence"),
    [
        (link(GENESIS, A), link(GENESIS, A), None),
        (link(GENESIS, A), link(GENESIS, block(1, "X")), Offence.DOUBLE_VOTE),
        (link(GENESIS, B), link(A, B), Offence.DOUBLE_VOTE),
        (link(GENESIS, C), link(A, B), Offence.SURROUND),
        (link(A, B), link(GENESIS, C), Offence.SURROUND),
        (link(GENESIS, A), link(A, B), None),
        (link(A, B), link(A, C), None),
        (link(GENESIS, B), link(A, C), None),
    ],
)
def test_offences(first: Link, second: Link, offence: Offence | None) -> None:
    assert slashable(first, second) is offence


ROUNDS = st.integers(0, 6)
LINKS = st.builds(
    lambda source, length, name: link(block(source, "S"), block(source + length, name)),
    ROUNDS,
    st.integers(1, 4),
    st.sampled_from("XY"),
)


@given(st.lists(LINKS, max_size=8))
def test_who_signs_only_what_is_safe_never_offends(offered: list[Link]) -> None:
    mark, signed = Watermark(), []
    for candidate in offered:
        if is_safe_to_sign(mark, candidate):
            mark = advance(mark, candidate)
            signed.append(candidate)
    assert all(slashable(a, b) is None for a, b in combinations(signed, 2))


def test_link_of_a_vote() -> None:
    vote = Vote(1, b"s", 3, b"t", b"", b"")
    assert link_of(vote) == link(block(1, "s"), block(3, "t"))


# Counting.


@pytest.mark.parametrize(("count_of_four", "is_justified"), [(2, False), (3, True), (4, True)])
def test_quorum_is_strictly_more_than_two_thirds(count_of_four: int, is_justified: bool) -> None:
    tally = count([(v, link(GENESIS, A)) for v in voters(count_of_four)], equal(voters(4)))
    assert (A in tally.justified) is is_justified
    of_three = count([(v, link(GENESIS, A)) for v in voters(2)], equal(voters(3)))
    assert A not in of_three.justified


def test_a_vote_counts_once() -> None:
    tally = count([(voters(1)[0], link(GENESIS, A))] * 3, equal(voters(4)))
    assert A not in tally.justified


def test_order_of_links_does_not_matter() -> None:
    links = [link(GENESIS, A), link(A, B), link(B, C)]
    for order in permutations(links):
        tally = count([(voters(1)[0], step) for step in order], equal(voters(1)))
        assert tally.justified == {GENESIS, A, B, C}
        assert tally.final == {GENESIS, A, B}


def test_old_links_are_forgotten() -> None:
    tally = count(
        [(voters(1)[0], step) for step in (link(GENESIS, A), link(A, B))], equal(voters(1))
    )
    tally.forget_below(1)
    assert (tally.justified, tally.final) == ({A, B}, {A})
    tally.add(voters(1)[0], link(B, C), equal(voters(1)))
    assert B in tally.final


# Known attacks (reference: consensus A1, A2).


def test_hidden_signatures_do_not_make_two_final_blocks() -> None:
    """A1: 67 honest, 33 hostile who sign both sides and hide one."""
    split_honest, rest, hostile = voters(40), voters(27, 40), voters(33, 67)
    seats = equal(voters(100))
    block_a, block_b, block_b1 = block(1, "A"), block(1, "B"), block(2, "B1")
    seen = [(v, link(GENESIS, block_b)) for v in (*rest, *hostile)]
    later = [(v, link(GENESIS, block_b1)) for v in seats.weights]
    hidden = [(v, link(GENESIS, block_a)) for v in (*split_honest, *hostile)]
    # Two thirds of plain signatures stand under both A and B1: that rule would finalise both.
    assert {block_a, block_b1} <= count(seen + later + hidden, seats).justified
    assert count(seen + later + hidden, seats).final == {GENESIS}


def test_justified_over_a_gap_is_not_final() -> None:
    """A2 verbatim: 9->10 B, 9->11 C, 10->12 on B, 11->13 on C, all by the same honest."""
    start, block_b, block_c = block(9, "S"), block(10, "B"), block(11, "C")
    schedule = [
        link(start, block_b),
        link(start, block_c),
        link(block_b, block(12, "on B")),
        link(block_c, block(13, "on C")),
    ]
    mark = Watermark()
    for step in schedule:
        assert is_safe_to_sign(mark, step)
        mark = advance(mark, step)
    assert all(slashable(a, b) is None for a, b in combinations(schedule, 2))
    everybody = equal(voters(3))
    tally = Tally([start])
    for voter, step in product(everybody.weights, schedule):
        tally.add(voter, step, everybody)
    # Both are justified with a justified block above them; neither may be final.
    assert {block_b, block_c} <= tally.justified
    assert tally.final == {start}


def test_what_a_chain_shows_as_justified_may_begin_links_that_were_counted_before() -> None:
    """A node that started at a snapshot can't have seen the votes which justified it."""
    start, shown, above, top = block(9, "S"), block(11, "J"), block(12, "A"), block(13, "T")
    everybody = equal(voters(3))
    tally = Tally([start])
    for voter, step in product(everybody.weights, [link(shown, above), link(above, top)]):
        tally.add(voter, step, everybody)
    assert tally.justified == {start}
    tally.take_justified(shown)
    assert tally.justified == {start, shown, above, top}
    assert tally.final == {start, shown, above}


# Four attesters over three rounds, exhaustively.


def all_trees() -> Iterator[Tree]:
    """Every shape with two blocks a round, up to the names of the first two."""
    first = (block(1, "A1"), block(1, "B1"))
    second = (block(2, "A2"), block(2, "B2"))
    third = (block(3, "A3"), block(3, "B3"))
    for parents in combinations_with_replacement((GENESIS, *first), 2):
        for above in combinations_with_replacement((GENESIS, *first, *second), 2):
            tree = dict.fromkeys(first, GENESIS)
            tree |= dict(zip(second, parents, strict=True))
            tree |= dict(zip(third, above, strict=True))
            yield tree


def ancestors(tree: Tree, checkpoint: Checkpoint) -> list[Checkpoint]:
    line = []
    while checkpoint in tree:
        checkpoint = tree[checkpoint]
        line.append(checkpoint)
    return line


def honest_histories(links: list[Link]) -> list[frozenset[Link]]:
    """Every set of links that an attester may sign without an offence, the empty one too."""
    by_round = [[k for k in links if k.target.round == r] for r in (1, 2, 3)]
    choices = product(*([None, *options] for options in by_round))
    histories = (frozenset(k for k in choice if k is not None) for choice in choices)
    return [h for h in histories if all(slashable(a, b) is None for a, b in combinations(h, 2))]


def conflicts(tree: Tree, strong: frozenset[Link]) -> bool:
    """Whether these quorum links finalise a block and justify another that leaves it.

    A conflicting justified block at or above a final one is the step before two
    conflicting final blocks, so ruling it out is the stronger statement.
    """
    tally = count(((b"q", k) for k in strong), equal([b"q"]))
    return any(
        other.round >= final.round and final != other and final not in ancestors(tree, other)
        for final, other in product(tally.final, tally.justified)
    )


def strong_links(tree: Tree, hostile: int) -> Iterator[frozenset[Link]]:
    """Sets of quorum links that four attesters can reach, the hostile ones signing all."""
    links = [link(source, target) for target in tree for source in ancestors(tree, target)]
    place = {k: 1 << i for i, k in enumerate(links)}
    masks = [sum(place[k] for k in history) for history in honest_histories(links)]
    if hostile == 1:  # Two of the three honest make a quorum of three of four.
        reached = {
            (a & b) | (a & c) | (b & c) for a, b, c in combinations_with_replacement(masks, 3)
        }
    else:  # One honest of two is enough beside two hostile.
        reached = {a | b for a, b in combinations_with_replacement(masks, 2)}
    return (frozenset(k for k in links if mask & place[k]) for mask in reached)


def test_one_offender_of_four_never_makes_a_conflict() -> None:
    """Hence a conflict always exposes two offenders, more than a third of the weight.

    Votes only ever add quorum links, so an offender who signs everything is the worst,
    and four attesters without an offender are among the cases.
    """
    checked = 0
    for tree in all_trees():
        for strong in strong_links(tree, hostile=1):
            assert not conflicts(tree, strong), (tree, strong)
            checked += 1
    assert checked > 5_000


def test_two_offenders_of_four_do() -> None:
    """The check above can fail: beyond a third it does."""
    conflicting = (
        tree
        for tree in all_trees()
        if any(conflicts(tree, strong) for strong in strong_links(tree, hostile=2))
    )
    assert next(conflicting, None) is not None
