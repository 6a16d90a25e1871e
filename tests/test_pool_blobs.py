"""Blobs in chunks: whatever is wrong with one is said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.chain.hashing import blob_hash
from ponas.v1.types_pb2 import BlobChunk
from pool.link.blobs import CHUNK_BYTES, BlobError, Incoming, Shelf, chunks, max_weights_bytes

BLOB = bytes(range(256)) * 5_000
HASH = blob_hash(BLOB)


def test_a_blob_of_several_chunks_arrives() -> None:
    pieces = list(chunks(HASH, BLOB))
    incoming = Incoming(HASH, len(BLOB))

    assert [len(piece.data) for piece in pieces] == [CHUNK_BYTES, len(BLOB) - CHUNK_BYTES]
    assert [incoming.add(piece) for piece in pieces] == [None, BLOB]


@given(st.binary(min_size=1, max_size=100))
def test_small_blobs_arrive_whole(data: bytes) -> None:
    (piece,) = chunks(blob_hash(data), data)

    assert Incoming(blob_hash(data), 100).add(piece) == data


def test_a_missing_blob_is_said_to_be_missing() -> None:
    (piece,) = chunks(HASH, None)

    with pytest.raises(BlobError, match="does not have it"):
        Incoming(HASH, 10).add(piece)


@pytest.mark.parametrize(
    ("chunk", "reason"),
    [
        (BlobChunk(hash=HASH, total=11, data=b"x" * 11), "at most 10 are allowed"),
        (BlobChunk(hash=HASH, total=4, data=b"longer"), "longer than announced"),
        (BlobChunk(hash=HASH, total=4, offset=1, data=b"abc"), "out of order"),
        (BlobChunk(hash=b"other", total=4, data=b"abcd"), "out of order"),
        (BlobChunk(hash=HASH, total=4), "out of order"),
        (BlobChunk(hash=HASH, total=4, data=b"abcd"), "its hash is another one"),
    ],
)
def test_wrong_chunks_are_refused(chunk: BlobChunk, reason: str) -> None:
    with pytest.raises(BlobError, match=reason):
        Incoming(HASH, 10).add(chunk)


def test_the_shelf_keeps_the_best_candidates() -> None:
    shelf = Shelf(2)
    shelf.put(5, b"model five", b"weights five")
    shelf.put(9, b"model nine")
    shelf.put(7, b"model seven")
    shelf.put(7, b"model later seven")

    kept = [b"model five", b"weights five", b"model nine", b"model seven", b"model later seven"]
    found = [shelf.get(blob_hash(blob)) is not None for blob in kept]
    assert found == [False, False, True, True, False]
    assert shelf.get(blob_hash(b"model nine")) == b"model nine"

    shelf.clear()
    assert shelf.get(blob_hash(b"model nine")) is None


def test_weights_may_be_larger_than_the_model_by_a_bounded_factor() -> None:
    assert max_weights_bytes(1_000) == 8_000 + 65_536
