"""Canonical bytes: equal to protobuf's, and the only ones that decode."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from node.chain.codec import decode, encode
from node.chain.errors import NotCanonical, Reason
from node.chain.hashing import MAX_INT
from node.chain.messages import (
    PAYLOADS,
    AddBond,
    Body,
    CertifiedUnit,
    Claim,
    Commit,
    Envelope,
    Evidence,
    Fallback,
    Faucet,
    List,
    ListProof,
    PayoutLine,
    PoolRegistration,
    Transfer,
    Unbond,
    Vote,
)
from node.chain.published.record import TaskRecord
from node.chain.published.terms import MAX_EPOCHS, Cancel, Channel, Key, Publish, Rebond
from ponas.v1 import pool_service_pb2, types_pb2
from tests.task_world import make_record, make_terms

HASHES = st.binary(min_size=32, max_size=32)
UINT64 = st.integers(0, MAX_INT)
UINT32 = st.integers(0, 2**32 - 1)
SIGNATURES = st.binary(min_size=64, max_size=64)


def tuples(item: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(item, max_size=most).map(tuple)


ENUMS = st.integers(0, 2**31 - 1)
ENVELOPES = st.builds(Envelope, ENUMS, st.binary(min_size=1, max_size=300), HASHES, SIGNATURES)
PROOFS = st.builds(ListProof, HASHES, st.binary(max_size=20), SIGNATURES)
LINES = st.builds(PayoutLine, HASHES, UINT64)
UNITS = st.builds(CertifiedUnit, HASHES, UINT32, HASHES)
CHANNELS = st.builds(Channel, st.integers(0, 10_000), st.integers(0, 10_000))


def publish(channels: tuple[Channel, ...], epochs: int, reward: int) -> Publish:
    return make_terms(channels=channels, epochs=epochs, reward=reward)


MESSAGES: st.SearchStrategy[Any] = st.one_of(
    st.builds(Commit, UINT64, UINT32, HASHES),
    st.builds(List, UINT64, tuples(HASHES)),
    st.builds(
        Claim,
        UINT64,
        HASHES,
        UINT32,
        st.binary(min_size=1, max_size=60),
        HASHES,
        HASHES,
        HASHES,
        UINT32,
        tuples(HASHES),
        HASHES,
        HASHES,
        UINT32,
    ),
    st.builds(Fallback, UINT64, HASHES, UINT32, tuples(HASHES), HASHES, HASHES),
    st.builds(Vote, UINT64, HASHES, UINT64, HASHES, st.just(b"") | HASHES, st.binary(max_size=4)),
    st.builds(Faucet, UINT64, UINT64),
    st.builds(Transfer, HASHES, UINT64, UINT64, UINT64),
    st.builds(publish, tuples(CHANNELS), st.integers(0, MAX_EPOCHS), UINT64),
    st.builds(Cancel, UINT64, UINT64, HASHES),
    st.builds(Rebond, UINT64, UINT64, HASHES),
    st.builds(Key, UINT64, HASHES, st.integers(0, 31), HASHES),
    st.builds(AddBond, UINT32, HASHES, UINT64, UINT64, UINT64),
    st.builds(Unbond, UINT32, HASHES, UINT64, UINT64, UINT64),
    st.builds(Evidence, tuples(ENVELOPES, 3), UINT64, UINT64),
    # An enumeration in protobuf, which has no more than 31 bits there.
    st.builds(PoolRegistration, HASHES, HASHES, st.integers(0, 2**31 - 1), HASHES),
    ENVELOPES,
    st.builds(
        Body,
        tuples(HASHES),
        tuples(PROOFS),
        tuples(ENVELOPES),
        tuples(LINES),
        tuples(ENVELOPES),
        st.just(b"") | HASHES,
        tuples(UNITS),
    ),
)
COMMIT = Commit(round=300, unit=1, commitment=b"c" * 32)
COMMIT_BYTES = b"\x08\xac\x02\x10\x01\x1a\x20" + b"c" * 32


def to_protobuf(message: Any) -> Any:
    """The same values in the generated class of the same name."""
    name = type(message).__name__
    cls: Any = getattr(types_pb2, name, None) or getattr(pool_service_pb2, name)
    values = {}
    for field, value in vars(message).items():
        items = value if isinstance(value, tuple) else ()
        is_nested = any(not isinstance(item, bytes) for item in items)
        values[field] = [to_protobuf(item) for item in items] if is_nested else value
    return cls(**values)


@given(MESSAGES)
def test_bytes_equal_protobufs(message: Any) -> None:
    expected = to_protobuf(message).SerializeToString(deterministic=True)
    assert encode(message) == expected


@given(MESSAGES)
def test_decode_inverts_encode(message: Any) -> None:
    assert decode(type(message), encode(message)) == message


def test_a_message_inside_another_is_always_there() -> None:
    record = make_record()
    assert decode(TaskRecord, encode(record)) == record
    with pytest.raises(NotCanonical, match="field terms is missing"):
        decode(TaskRecord, encode(record)[:34])


@given(MESSAGES, st.data())
def test_changed_bytes_are_refused_or_encode_to_themselves(message: Any, data: Any) -> None:
    changed = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(changed)))
        changed[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    try:
        decoded = decode(type(message), bytes(changed))
    except NotCanonical:
        return
    assert encode(decoded) == changed


@given(st.binary(max_size=200), st.sampled_from([*PAYLOADS.values(), Body, Envelope]))
@example(COMMIT_BYTES, Commit)
def test_arbitrary_bytes_are_refused_or_encode_to_themselves(data: bytes, cls: type) -> None:
    try:
        decoded: object = decode(cls, data)
    except NotCanonical:
        return
    assert encode(decoded) == data


def test_known_bytes() -> None:
    assert encode(COMMIT) == COMMIT_BYTES


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"\x10\x01\x08\xac\x02\x1a\x20" + b"c" * 32, "field commitment is out of bounds"),
        (b"\x08\x01\x1a\x20" + b"c" * 32 + b"\x10\x01", "misplaced"),
        (COMMIT_BYTES + b"\x1a\x20" + b"c" * 32, "repeated"),
        (COMMIT_BYTES + b"\x20\x01", "unknown"),
        (b"\x08\xac\x82\x00" + COMMIT_BYTES[3:], "longer than it needs"),
        (b"\x08\x00" + COMMIT_BYTES[3:], "field round is written although"),
        (b"\x08" + b"\xff" * 8 + b"\x80\x01" + COMMIT_BYTES[3:], "2**63 or more"),
        (b"\x08\xac\x02\x10" + b"\x80\x80\x80\x80\x10" + COMMIT_BYTES[5:], "unit is out of bounds"),
        (b"\x0d\x01\x00\x00\x00" + COMMIT_BYTES[5:], "out of bounds"),
        (COMMIT_BYTES[:-1], "cut off"),
        (b"\x08\xac", "a varint is cut off"),
        (COMMIT_BYTES[:6] + b"\x1f" + b"c" * 31, "commitment is out of bounds"),
        (b"", "commitment is out of bounds"),
    ],
)
def test_each_liberty_of_protobuf_is_refused(data: bytes, detail: str) -> None:
    with pytest.raises(NotCanonical, match=detail.replace("*", r"\*")) as refused:
        decode(Commit, data)
    assert refused.value.reason is Reason.NOT_CANONICAL


@pytest.mark.parametrize(
    "message",
    [
        Commit(-1, 0, b"c" * 32),
        Commit(MAX_INT + 1, 0, b"c" * 32),
        Commit(1, 2**32, b"c" * 32),
        Commit(1, 0, b"c" * 31),
        List(1, (b"i" * 32,) * 65),
        List(1, (b"i" * 31,)),
        Body(payouts=(PayoutLine(b"a" * 32, 1),) * 1025),
    ],
)
def test_values_out_of_bounds_are_not_encoded(message: Any) -> None:
    with pytest.raises(NotCanonical, match="out of bounds"):
        encode(message)


def test_one_entry_too_many_is_refused() -> None:
    data = b"\x08\x01" + (b"\x12\x20" + b"i" * 32) * 65
    assert len(decode(List, data[:-34]).ids) == 64
    with pytest.raises(NotCanonical):
        decode(List, data)
