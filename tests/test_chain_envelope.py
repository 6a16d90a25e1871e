"""Signatures cover key, network, kind and exact bytes; each fault has its reason."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.chain.envelope import open_as, open_envelope, sign
from node.chain.errors import Reason, Rejected
from node.chain.hashing import blake, u64
from node.chain.messages import Commit, Envelope, Kind, Vote
from tests.chain_world import make_key, public

NETWORK = b"n" * 32
KEY = make_key(1)
SIGNED = sign(Commit(1, 0, b"c" * 32), KEY, NETWORK)


def assert_refused(envelope: Envelope, reason: Reason, network_id: bytes = NETWORK) -> None:
    with pytest.raises(Rejected) as refused:
        open_envelope(envelope, network_id)
    assert refused.value.reason is reason


def test_what_was_signed_opens() -> None:
    assert open_envelope(SIGNED.envelope, NETWORK) == SIGNED
    assert open_as(Commit, SIGNED.envelope, NETWORK) == SIGNED
    assert SIGNED.signer == public(KEY)


@pytest.mark.parametrize("kind", [0, 12, 2**32 - 1])
def test_unknown_kind(kind: int) -> None:
    assert_refused(replace(SIGNED.envelope, kind=kind), Reason.UNKNOWN_KIND)


def test_payload_not_canonical() -> None:
    payload = SIGNED.envelope.payload + b"\x20\x01"
    assert_refused(replace(SIGNED.envelope, payload=payload), Reason.NOT_CANONICAL)


@pytest.mark.parametrize(
    "public_key",
    [b"", b"k" * 31, b"\x00" * 32, b"\x01" + b"\x00" * 31, b"\xff" * 32],
    ids=["empty", "short", "small order", "neutral", "no point"],
)
def test_bad_key(public_key: bytes) -> None:
    assert_refused(replace(SIGNED.envelope, public_key=public_key), Reason.BAD_KEY)


def test_key_of_another() -> None:
    envelope = replace(SIGNED.envelope, public_key=public(make_key(2)))
    assert_refused(envelope, Reason.BAD_SIGNATURE)


def test_signature_of_another_network() -> None:
    assert_refused(SIGNED.envelope, Reason.BAD_SIGNATURE, network_id=b"m" * 32)


def test_signature_covers_network_kind_and_payload() -> None:
    digest = blake("ponas/sign", NETWORK, u64(Kind.COMMIT), SIGNED.envelope.payload)
    assert SIGNED.envelope.signature == KEY.sign(digest).signature


def test_signature_of_another_kind() -> None:
    digest = blake("ponas/sign", NETWORK, u64(Kind.VOTE), SIGNED.envelope.payload)
    envelope = replace(SIGNED.envelope, signature=KEY.sign(digest).signature)
    assert_refused(envelope, Reason.BAD_SIGNATURE)


@given(st.integers(0, 64 * 8 - 1))
def test_one_flipped_bit_of_the_signature(bit: int) -> None:
    flipped = bytearray(SIGNED.envelope.signature)
    flipped[bit // 8] ^= 1 << bit % 8
    assert_refused(replace(SIGNED.envelope, signature=bytes(flipped)), Reason.BAD_SIGNATURE)


@pytest.mark.parametrize("length", [0, 63, 65])
def test_signature_of_wrong_length(length: int) -> None:
    assert_refused(replace(SIGNED.envelope, signature=b"s" * length), Reason.BAD_SIGNATURE)


def test_wrong_kind_where_one_is_expected() -> None:
    with pytest.raises(Rejected) as refused:
        open_as(Vote, SIGNED.envelope, NETWORK)
    assert refused.value.reason is Reason.WRONG_KIND


def test_id_leaves_out_the_signature_and_covers_the_rest() -> None:
    other = sign(Commit(1, 0, b"c" * 32), make_key(2), NETWORK)
    elsewhere = sign(Commit(1, 0, b"c" * 32), KEY, b"m" * 32)
    assert len({SIGNED.id, other.id, elsewhere.id}) == 3


def test_hash_fields_cannot_be_shifted() -> None:
    assert blake("t", b"ab", b"c") != blake("t", b"a", b"bc")
    assert blake("t", b"") != blake("t")
    assert blake("ta", b"b") != blake("t", b"ab")
