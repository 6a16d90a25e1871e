"""What a node makes of the secrets of a round, by when they came."""

from __future__ import annotations

import pytest

from node.chain.envelope import sign
from node.chain.messages import List
from node.consensus.book import RoundBook
from tests.chain_world import ATTESTERS, public
from tests.test_chain_seals import ROUND, context, sealed_world

WORLD = sealed_world()
CONTEXT = context(WORLD)
A, B, C, D = (public(key) for key in ATTESTERS)


def book_of(in_time: str, late: str = "", lists: int = 4) -> RoundBook:
    """A book that closed with the seals of some attesters; those of `late` came afterwards."""
    book, keys = RoundBook(ROUND), dict(zip("ABCD", ATTESTERS, strict=True))
    for key in ATTESTERS[:lists]:
        book.add_list(sign(List(ROUND, ()), key, WORLD.network.id))
    for names, closes in ((in_time, True), (late, False)):
        for name in names:
            attester = public(keys[name])
            book.add_secret(attester, WORLD.seal(CONTEXT, attester))
        if closes:
            book.close_secrets(CONTEXT)
    return book


def test_claims_are_open_only_if_all_seals_were_here_in_time() -> None:
    assert book_of("ABCD").opened_in_time(CONTEXT)
    assert not book_of("ABC", late="D").opened_in_time(CONTEXT)
    assert book_of("ABC", late="D").secrets(CONTEXT) == book_of("ABCD").secrets(CONTEXT)
    assert book_of("ABC").secrets(CONTEXT) is None


def test_a_seal_is_kept_once() -> None:
    again = book_of("A").opened[A]
    assert not book_of("A").add_secret(A, bytes(again))
    assert book_of("B").add_secret(A, again)


@pytest.mark.parametrize(
    ("book", "missing"),
    [
        (book_of("ABCD"), ()),
        (book_of("ABC"), (D,)),
        (book_of("AB", late="D"), (C, D)),
        (book_of("", lists=2), ()),
    ],
)
def test_who_is_missing_is_who_should_have_revealed_by_then(
    book: RoundBook, missing: tuple[bytes, ...]
) -> None:
    assert book.missing(CONTEXT) == missing
    assert not book.contradicts(CONTEXT, missing)


@pytest.mark.parametrize(
    ("book", "missing", "is_contradicted"),
    [
        pytest.param(book_of("ABCD"), (A,), True, id="blames who was in time"),
        pytest.param(book_of("ABC"), (C, D), True, id="blames one who was in time as well"),
        pytest.param(book_of("ABC"), (), True, id="spares who never came"),
        pytest.param(book_of("ABC", late="D"), (), False, id="spares who came late"),
        pytest.param(book_of("ABC", late="D"), (D,), False, id="blames who came late"),
        pytest.param(book_of("", lists=2), (A,), True, id="blames without lists to reveal on"),
    ],
)
def test_a_fallback_is_held_against_what_came(
    book: RoundBook, missing: tuple[bytes, ...], is_contradicted: bool
) -> None:
    assert book.contradicts(CONTEXT, missing) is is_contradicted
