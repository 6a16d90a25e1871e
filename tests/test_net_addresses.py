"""Addresses that peers may tell, and the book that keeps them."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.net.addressbook import MAX_ADDRESSES, AddressBook, Known
from node.net.addresses import (
    Reach,
    checked_address,
    group_of,
    host_of,
    may_hear_of,
    reach_of,
    subscriber_of,
    with_port,
)


@pytest.mark.parametrize(
    "text",
    ["", "node.example.org:7700", "8.8.8.8", "8.8.8.8:0", "8.8.8.8:65536", "0.0.0.0:1",
     "224.0.0.1:7700", "[::]:7700", "[ff02::1]:7700", "a:1", "8.8.8.8:7700 ", "240.0.0.1:1"],
)  # fmt: skip
def test_no_address_to_dial(text: str) -> None:
    with pytest.raises(ValueError, match=r"no IP:PORT|can't be dialled"):
        checked_address(text)


@given(st.text(max_size=40) | st.binary(max_size=40).map(lambda data: data.decode("latin-1")))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        address = checked_address(text)
    except ValueError:
        return
    assert checked_address(address) == address


def test_addresses_have_one_spelling() -> None:
    assert checked_address("[2001:0DB8:0::1]:07700") == "[2001:db8::1]:7700"


@pytest.mark.parametrize(
    ("remote", "host", "reach", "group"),
    [
        ("8.8.4.4:7700", "8.8.4.4", Reach.WORLD, "8.8.0.0/16"),
        ("[2a00:1450:4001::5]:1", "2a00:1450:4001::5", Reach.WORLD, "2a00:1450::/32"),
        ("10.1.2.3:9", "10.1.2.3", Reach.SITE, "10.1.2.3:9"),
        ("127.0.0.1:9", "127.0.0.1", Reach.MACHINE, "127.0.0.1:9"),
        ("[::1]:9", "::1", Reach.MACHINE, "[::1]:9"),
        ("localhost:9", "localhost", Reach.MACHINE, "localhost:9"),
        ("full0", "full0", Reach.SITE, "full0"),
    ],
)
def test_host_reach_and_group(remote: str, host: str, reach: Reach, group: str) -> None:
    assert host_of(remote) == host
    assert reach_of(remote) is reach
    assert group_of(remote) == group


def test_strangers_are_neither_told_of_near_addresses_nor_believed() -> None:
    world, site, machine = "8.8.4.4:1", "10.0.0.1:1", "127.0.0.1:1"
    told = {
        listener: [address for address in (world, site, machine) if may_hear_of(listener, address)]
        for listener in (world, site, machine)
    }
    assert told == {world: [world], site: [world, site], machine: [world, site, machine]}


@pytest.mark.parametrize(
    ("remote", "port", "address"),
    [
        ("8.8.4.4:50123", 7_700, "8.8.4.4:7700"),
        ("[2a00::5]:50123", 7_700, "[2a00::5]:7700"),
        ("8.8.4.4:50123", 0, None),
        ("full0", 7_700, None),
    ],
)
def test_announced_port_joins_the_host_that_is_seen(
    remote: str, port: int, address: str | None
) -> None:
    assert with_port(remote, port) == address


def _book(*known: Known) -> AddressBook:
    return AddressBook(random.Random(1), known)


def _world(group: int, number: int) -> str:
    return f"{20 + group // 256}.{group % 256}.{number // 256}.{number % 256}:7700"


def test_address_is_new_then_tried_and_survives_a_restart() -> None:
    book = _book()
    assert book.add(_world(0, 1), "8.8.8.8:1")
    assert not book.add(_world(0, 1), "9.9.9.9:1")
    assert book.sample("8.8.8.8:1", 9) == []
    book.met(_world(0, 1))
    assert book.sample("8.8.8.8:1", 9) == [_world(0, 1)]
    again = AddressBook(random.Random(2), book.known())
    assert again.known() == (Known(_world(0, 1), "8.8.0.0/16", is_tried=True),)


def test_a_source_fills_a_small_part_of_the_book() -> None:
    book = _book()
    for number in range(20_000):
        book.add(_world(number % 2_000, number // 2_000), "8.8.8.8:1")
    assert len(book) <= 8 * 16
    assert book.add("99.1.2.3:7700", "77.1.1.1:1")


def test_a_network_that_is_met_holds_a_small_part_of_the_tried() -> None:
    book = _book()
    for number in range(1, 2_000):
        book.met(_world(0, number))
    tried = [known for known in book.known() if known.is_tried]
    assert len(tried) <= 2 * 16
    assert len(book) <= MAX_ADDRESSES


def test_who_answers_keeps_its_place() -> None:
    book = _book()
    for number in range(20_000):
        book.add(_world(number % 2_000, number // 2_000), "8.8.8.8:1")
    before = set(book.known())
    for number in range(20_000, 30_000):
        book.add(_world(number % 2_000, number // 2_000), "8.8.8.8:1")
    assert set(book.known()) == before


@pytest.mark.parametrize(("is_tried", "patience"), [(False, 3), (True, 10)])
def test_address_is_forgotten_after_failures_in_a_row(is_tried: bool, patience: int) -> None:
    book, address = _book(Known(_world(0, 1), "8.8.0.0/16", is_tried)), _world(0, 1)
    for _ in range(patience - 1):
        book.failed(address)
    assert address in book
    book.failed(address)
    assert address not in book
    book.failed(address)


def test_choice_is_even_between_new_and_tried_and_keeps_to_the_rule() -> None:
    new = [Known(_world(group, 1), "8.8.0.0/16") for group in range(40)]
    book = _book(*new, Known(_world(99, 1), "8.8.0.0/16", is_tried=True))
    chosen = Counter(book.choose(lambda _: True) == _world(99, 1) for _ in range(1_000))
    assert 400 < chosen[True] < 600
    assert book.choose(lambda address: address == _world(99, 1)) == _world(99, 1)
    assert book.choose(lambda address: address == _world(99, 1), only_new=True) is None
    assert book.choose(lambda _: False) is None


@pytest.mark.parametrize(
    ("remote", "subscriber"),
    [
        ("8.8.8.8:7700", "8.8.8.8"),
        ("[2001:db8:1:2:3::4]:7700", "2001:db8:1::/48"),
        ("node.example:7700", "node.example"),
    ],
)
def test_what_one_subscriber_holds(remote: str, subscriber: str) -> None:
    assert subscriber_of(remote) == subscriber
