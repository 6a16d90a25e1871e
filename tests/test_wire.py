"""Between gRPC messages and chain types: nothing lost, impossible sizes refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.chain.errors import Reason, Rejected
from node.chain.messages import MAX_BODY_BYTES, MAX_PAYLOAD_BYTES, Envelope
from node.wire import (
    WireBlock,
    block_from_proto,
    block_to_proto,
    envelope_from_proto,
    envelope_to_proto,
)
from ponas.v1 import types_pb2 as pb

ENVELOPES = st.builds(
    Envelope,
    kind=st.integers(0, 2**31 - 1),
    payload=st.binary(max_size=100),
    public_key=st.binary(min_size=32, max_size=32),
    signature=st.binary(min_size=64, max_size=64),
)


@given(ENVELOPES, st.binary(max_size=200))
def test_blocks_survive_the_wire(header: Envelope, body: bytes) -> None:
    block = WireBlock(header, body)
    data = block_to_proto(block).SerializeToString()
    assert block_from_proto(pb.Block.FromString(data)) == block


@pytest.mark.parametrize(
    ("part", "value", "reason"),
    [
        ("kind", -1, Reason.UNKNOWN_KIND),
        ("payload", bytes(MAX_PAYLOAD_BYTES + 1), Reason.NOT_CANONICAL),
        ("public_key", bytes(31), Reason.BAD_KEY),
        ("public_key", bytes(33), Reason.BAD_KEY),
        ("signature", bytes(63), Reason.BAD_SIGNATURE),
        ("signature", bytes(65), Reason.BAD_SIGNATURE),
    ],
)
def test_impossible_envelope(part: str, value: bytes | int, reason: Reason) -> None:
    message = envelope_to_proto(Envelope(1, b"payload", bytes(32), bytes(64)))
    setattr(message, part, value)
    with pytest.raises(Rejected) as refused:
        envelope_from_proto(message)
    assert refused.value.reason is reason


def test_body_too_large() -> None:
    header = Envelope(3, b"payload", bytes(32), bytes(64))
    message = block_to_proto(WireBlock(header, bytes(MAX_BODY_BYTES + 1)))
    with pytest.raises(Rejected) as refused:
        block_from_proto(message)
    assert refused.value.reason is Reason.BODY_TOO_LARGE
