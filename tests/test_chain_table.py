"""The table against a dictionary, and its proofs against liars."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.chain.codec import encode
from node.chain.state import Account
from node.chain.table import Table, TableProof, verify_proof
from node.chain.trie import EMPTY, OutOfOrder, hash_entries

KEYS = st.integers(0, 40).map(lambda number: number.to_bytes(1, "big"))
RECORDS = st.builds(Account, st.integers(0, 3), st.integers(0, 3))
ENTRIES = st.dictionaries(KEYS, RECORDS, max_size=30)
CHANGES = st.lists(st.tuples(KEYS, RECORDS | st.none()), max_size=60)


def changed(table: Table[Account], changes: list[tuple[bytes, Account | None]]) -> Table[Account]:
    for key, record in changes:
        table = table.delete(key) if record is None else table.set(key, record)
    return table


@given(CHANGES)
def test_a_table_is_a_dictionary(changes: list[tuple[bytes, Account | None]]) -> None:
    expected: dict[bytes, Account] = {}
    for key, record in changes:
        if record is None:
            expected.pop(key, None)
        else:
            expected[key] = record
    table = changed(Table(), changes)
    assert (dict(table.items()), len(table)) == (expected, len(expected))
    assert all(table.get(bytes([key])) == expected.get(bytes([key])) for key in range(41))
    # Whatever the history, the same entries have the same root.
    assert table.root == Table(sorted(expected.items())).root


@given(ENTRIES, ENTRIES)
def test_different_tables_have_different_roots(
    one: dict[bytes, Account], other: dict[bytes, Account]
) -> None:
    assert (Table(one.items()).root == Table(other.items()).root) == (one == other)


@given(ENTRIES, CHANGES)
def test_a_change_leaves_the_table_before_it(
    entries: dict[bytes, Account], changes: list[tuple[bytes, Account | None]]
) -> None:
    before = Table(entries.items())
    root = before.root
    changed(before, changes)
    assert (before.root, dict(before.items())) == (root, entries)


@given(ENTRIES, KEYS)
def test_a_proof_shows_the_record_or_that_there_is_none(
    entries: dict[bytes, Account], key: bytes
) -> None:
    table = Table(entries.items())
    proof = table.prove(key)
    record = encode(entries[key]) if key in entries else None
    assert verify_proof(table.root, key, record, proof)
    for lie in (encode(Account(9, 9)), None if key in entries else b""):
        assert not verify_proof(table.root, key, lie, proof)


@given(ENTRIES.filter(bool), KEYS, st.data())
def test_no_proof_of_another_key_serves(
    entries: dict[bytes, Account], key: bytes, data: st.DataObject
) -> None:
    table = Table(entries.items())
    present = data.draw(st.sampled_from(sorted(entries)))
    proof = table.prove(present)
    assert verify_proof(table.root, key, encode(entries[present]), proof) == (key == present)
    # Absence can't be shown by the entry itself, nor from a place the key would not be at.
    lying = replace(proof, other_key=present, other_record=encode(entries[present]))
    if key in entries:
        assert not verify_proof(table.root, key, None, lying)


@pytest.mark.parametrize(
    "proof",
    [
        TableProof((EMPTY,)),
        TableProof((EMPTY,) * 257),
        TableProof((), b"other", encode(Account(1))),
        TableProof((), b"key", encode(Account(1))),
    ],
)
def test_proofs_of_the_wrong_shape(proof: TableProof) -> None:
    table = Table([(b"key", Account(1))])
    assert not verify_proof(table.root, b"key", None, proof)
    assert not verify_proof(EMPTY, b"key", encode(Account(1)), proof)


def test_a_key_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        Table[Account]()[b"key"]
    assert len(Table[Account]().delete(b"key")) == 0


@given(ENTRIES)
def test_the_root_is_found_from_entries_in_a_row(entries: dict[bytes, Account]) -> None:
    table = Table(entries.items())
    assert hash_entries((key, encode(record)) for key, record in table.items()) == table.root


@given(ENTRIES, st.data())
def test_entries_in_another_order_have_no_root(
    entries: dict[bytes, Account], data: st.DataObject
) -> None:
    due = [(key, encode(record)) for key, record in Table(entries.items()).items()]
    shuffled = data.draw(st.permutations(due))
    if shuffled == due:
        assert hash_entries(shuffled) == Table(entries.items()).root
    else:
        with pytest.raises(OutOfOrder):
            hash_entries(shuffled)


@given(ENTRIES.filter(bool), st.data())
def test_an_entry_that_comes_twice_has_no_root(
    entries: dict[bytes, Account], data: st.DataObject
) -> None:
    due = [(key, encode(record)) for key, record in Table(entries.items()).items()]
    place = data.draw(st.integers(0, len(due) - 1))
    with pytest.raises(OutOfOrder):
        hash_entries([*due[: place + 1], *due[place:]])
