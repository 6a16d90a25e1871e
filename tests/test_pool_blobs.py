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
        (BlobChunk(hash=HASH, total=4, data=b"longer"), "a chunk of 6 bytes is too long"),
        (BlobChunk(hash=HASH, total=4, data=b"abc"), "a chunk of 3 bytes is too long or too short"),
        (BlobChunk(hash=HASH, total=4, offset=1, data=b"abc"), "out of order"),
        (BlobChunk(hash=b"other", total=4, data=b"abcd"), "out of order"),
        (BlobChunk(hash=HASH, total=4), "a chunk of 0 bytes"),
        (BlobChunk(hash=HASH, total=4, data=b"abcd"), "its hash is another one"),
    ],
)
def test_wrong_chunks_are_refused(chunk: BlobChunk, reason: str) -> None:
    with pytest.raises(BlobError, match=reason):
        Incoming(HASH, 10).add(chunk)


def held(shelf: Shelf, *blobs: bytes) -> list[bytes]:
    """Those of the blobs that the shelf gives out under their hashes."""
    return [blob for blob in blobs if shelf.get(blob_hash(blob)) == blob]


def test_the_shelf_keeps_the_weights_of_the_best_candidates() -> None:
    shelf = Shelf(best=2, model_bytes=1_000)
    shelf.put(5, b"model 5", b"weights 5")
    shelf.put(9, b"model 9", b"weights 9")
    shelf.put(7, b"model 7", b"weights 7")
    shelf.put(7, b"model later 7", b"weights later 7")

    weights = (b"weights 5", b"weights 9", b"weights 7", b"weights later 7")
    assert held(shelf, *weights) == [b"weights 9", b"weights 7"]

    shelf.clear_best()
    assert held(shelf, *weights) == []


def test_the_shelf_keeps_the_newest_models_and_the_best() -> None:
    shelf = Shelf(best=1, model_bytes=20)
    shelf.put(9, b"model a", b"weights")
    for name in (b"model b", b"model c", b"model c", b"model d"):
        shelf.put(1, name, b"weights")

    # a is the best; c and d fit into 20 bytes, b does not beside them.
    assert held(shelf, b"model a", b"model b", b"model c", b"model d") == [
        b"model a",
        b"model c",
        b"model d",
    ]


def test_weights_may_be_larger_than_the_model_by_a_bounded_factor() -> None:
    assert max_weights_bytes(1_000) == 8_000 + 65_536
