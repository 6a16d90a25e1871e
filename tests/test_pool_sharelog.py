"""The share log: canonical, chained, bounded, and enough to compute the payout again."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.chain.codec import encode
from node.chain.errors import NotCanonical
from node.chain.messages import MAX_GENOTYPE_BYTES, PayoutLine
from ponas.v1 import pool_service_pb2 as pb
from pool.proofs.openpage import OpenPage, close_page, with_forfeit, with_share
from pool.proofs.recount import held_of_log, lines_of_log, work_of_log
from pool.proofs.sharelog import (
    FIRST_PAGE,
    MAX_FORFEITS,
    MAX_HELD,
    MAX_PAGE_BYTES,
    MAX_REASON_BYTES,
    PAGE_SHARES,
    Forfeited,
    Held,
    Page,
    Share,
    ShareLogError,
    Terms,
    check_chain,
    open_page,
    pack_page,
    page_hash,
    share_hash,
)
from tests.pool_world import public
from tests.proof_world import MANAGER, PoolRecords, share


def a_page(**changes: object) -> Page:
    page = Page(MANAGER, 1, FIRST_PAGE, (share("a"), share("b")))
    return replace(page, **changes)  # type: ignore[arg-type]


def test_a_page_comes_back_as_it_was() -> None:
    forfeits = (Forfeited(public("a"), b"count-differs", 2),)
    page = a_page(forfeits=forfeits, held=(Held(public("b"), 1),))
    hash_, data = pack_page(page)

    assert open_page(data, hash_) == page


def test_protobuf_reads_a_page_and_writes_the_same_bytes() -> None:
    forfeits = (Forfeited(public("a"), b"count-differs", 2),)
    terms, held = (Terms(public("a"), MANAGER, 10),), (Held(public("b"), 7),)
    _, data = pack_page(a_page(forfeits=forfeits, terms=terms, held=held))

    message = pb.SharePage.FromString(data)

    assert message.SerializeToString(deterministic=True) == data
    assert message.shares[1].work == share("b").work
    assert message.terms[0].fee_permille == 10
    assert (message.held[0].miner, message.held[0].shares) == (public("b"), 7)


def test_the_bytes_are_those_of_the_protocol() -> None:
    """Other hashes mean another protocol: old logs could not be read any more."""
    entry = Share(b"\x01" * 32, b"\x02" * 32, 3, 4, b"\x05" * 30, 6, 7, 8, 9, b"\x0a" * 32, 11)

    assert (
        share_hash(entry).hex()
        == "d48431af57feb625fd385734a9727e376f5dd2fe86609c173be4f72e7bae6b85"
    )
    assert (
        pack_page(Page(b"\x0c" * 32, 13, FIRST_PAGE, (entry,)))[0].hex()
        == "9abce4a7ff569ec665c46ce0a7da4043227896440d10b2884b16b487a77366a6"
    )


def test_a_page_is_named_by_its_bytes() -> None:
    hash_, data = pack_page(a_page())

    with pytest.raises(ShareLogError, match="not the page that was asked for"):
        open_page(data, pack_page(a_page(round=2))[0])
    with pytest.raises(ShareLogError, match="not the page that was asked for"):
        open_page(data + b"\x00", hash_)


def test_the_longest_page_is_within_the_bound() -> None:
    number = 2**63 - 1
    entry = Share(
        b"\xff" * 32,
        b"\xff" * 32,
        number,
        2**32 - 1,
        b"\xff" * MAX_GENOTYPE_BYTES,
        number,
        2**32 - 1,
        2**32 - 1,
        2**32 - 1,
        b"\xff" * 32,
        number,
    )
    forfeits = (Forfeited(b"\xff" * 32, b"x" * MAX_REASON_BYTES, PAGE_SHARES),) * MAX_FORFEITS
    held = (Held(b"\xff" * 32, 2**32 - 1),) * MAX_HELD
    page = Page(MANAGER, number, FIRST_PAGE, (entry,) * PAGE_SHARES, forfeits, held=held)

    assert len(encode(page)) <= MAX_PAGE_BYTES


def test_longer_bytes_are_not_even_hashed() -> None:
    data = bytes(MAX_PAGE_BYTES + 1)

    with pytest.raises(ShareLogError, match="at most"):
        open_page(data, page_hash(data))


@given(st.binary(max_size=300))
def test_any_other_bytes_are_no_page(data: bytes) -> None:
    with pytest.raises(ShareLogError, match="no page"):
        open_page(data, page_hash(data))


@pytest.mark.parametrize("places", [(2, 1), (3,)], ids=["out of order", "beyond the shares"])
def test_forfeits_stand_at_their_places(places: tuple[int, ...]) -> None:
    forfeits = tuple(Forfeited(public("a"), b"why", place) for place in places)
    hash_, data = pack_page(a_page(forfeits=forfeits))

    with pytest.raises(ShareLogError, match="order of their places"):
        open_page(data, hash_)


def test_out_of_bounds_is_never_written() -> None:
    with pytest.raises(NotCanonical):
        share_hash(msgspec.structs.replace(share("a"), work=-1))


@pytest.mark.parametrize("field", ["miner", "episode", "correct", "work", "model_hash"])
def test_every_field_is_in_the_hash_of_a_share(field: str) -> None:
    entry = share("a")
    value = getattr(entry, field)
    changed = value + 1 if isinstance(value, int) else bytes(32)

    other = msgspec.structs.replace(entry, **{field: changed})
    assert share_hash(other) != share_hash(entry)


def test_pages_follow_on_each_other() -> None:
    first, data, following = close_page(with_share(OpenPage(), share("a")), MANAGER, 1)
    second, more, _ = close_page(with_share(following, share("b")), MANAGER, 2)
    pages = [open_page(data, first), open_page(more, second)]

    check_chain(pages, [first, second])
    with pytest.raises(ShareLogError, match="does not follow"):
        check_chain([pages[0], replace(pages[1], before=bytes(32))], [first, second])
    with pytest.raises(ShareLogError, match="another pool or an earlier round"):
        check_chain([pages[0], replace(pages[1], pool=public("other"))], [first, second])
    with pytest.raises(ShareLogError, match="another pool or an earlier round"):
        check_chain([pages[0], replace(pages[1], round=0)], [first, second])


def test_a_full_page_takes_no_more() -> None:
    page = OpenPage()
    for number in range(PAGE_SHARES):
        assert not page.is_full
        page = with_share(page, share("a", episode=number))

    assert page.is_full
    assert [share.episode for share in page.shares] == list(range(PAGE_SHARES))
    with pytest.raises(ValueError, match="closed first"):
        with_share(page, share("b"))
    with pytest.raises(ValueError, match="closed first"):
        with_forfeit(page, public("b"), "why")


amounts = st.lists(st.integers(0, 10**15), max_size=4)
some_rounds = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from("abcd"), amounts, max_size=4),
        st.sets(st.sampled_from("abcd"), max_size=1),
    ),
    min_size=1,
    max_size=6,
)


@given(some_rounds)
def test_the_log_gives_the_payout_lines(
    played: list[tuple[dict[str, list[int]], set[str]]],
) -> None:
    records = PoolRecords()
    for number, (work, caught) in enumerate(played, start=1):
        lines = records.play(number, work, tuple(caught))

    share_log = records.open.before
    pages = records.log(share_log).pages
    assert lines_of_log(pages) == lines
    sums = {r.round: r.total for r in work_of_log(pages) if r.total}
    assert sums == {r.round: r.total for r in records.rounds if r.total}


def test_a_forfeit_takes_what_came_before_and_no_more() -> None:
    page = with_share(OpenPage(), share("a", 0, 5))
    page = with_forfeit(with_share(page, share("b", 0, 7)), public("a"), "count-differs")
    page = with_share(page, share("a", 1, 11))
    hash_, data, _ = close_page(page, MANAGER, 1)

    (of_round,) = work_of_log([open_page(data, hash_)])

    assert dict(of_round.work) == {public("b") * 2: 7, public("a") * 2: 11}


def test_work_is_held_back_by_the_pages_since_the_terms_before() -> None:
    terms = (Terms(public("finder"), MANAGER, 0),)
    first, second, third = (Held(public(name), 1) for name in "abc")
    log = [
        a_page(held=(first,), terms=terms),
        a_page(held=(second,)),
        a_page(held=(third,), terms=terms),
    ]

    assert held_of_log(log[:1]) == (first,)
    assert held_of_log(log) == (second, third)
    assert held_of_log([]) == ()


def test_work_held_back_is_not_in_the_lines() -> None:
    entries = [share("a", 0, 5), share("a", 1, 3), share("b", 0, 7), share("a", 2, 0)]
    terms = (Terms(public("finder"), MANAGER, 0),)

    def lines(*entries: Share, held: tuple[Held, ...] = ()) -> tuple[PayoutLine, ...]:
        return lines_of_log([a_page(shares=entries, terms=terms, held=held)])

    newest, both = Held(public("a"), 1), Held(public("a"), 2)
    assert lines(*entries, held=(newest,)) == lines(entries[0], entries[2])
    assert lines(*entries, held=(both,)) == lines(entries[2])
    assert work_of_log([a_page(shares=tuple(entries), held=(both,))])[0].total == 15


def test_a_log_without_terms_gives_no_lines() -> None:
    with pytest.raises(ShareLogError, match="without the terms"):
        lines_of_log([a_page()])
    with pytest.raises(ShareLogError, match="without the terms"):
        lines_of_log([])


def test_a_fee_beyond_the_rules_gives_no_lines() -> None:
    records = PoolRecords()
    records.play(1, {"a": [5]})
    (page,) = records.log(records.open.before).pages
    terms = replace(page.terms[0], fee_permille=876)

    with pytest.raises(ShareLogError, match="outside 0 to 875"):
        lines_of_log([replace(page, terms=(terms,))])
