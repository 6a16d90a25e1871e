"""Blobs in pieces: cut for sending, put together and checked on arrival; and a shelf of a few."""

from __future__ import annotations

from collections.abc import Iterator

from node.chain.hashing import blob_hash
from ponas.v1.types_pb2 import BlobChunk

CHUNK_BYTES = 1 << 20
"""Most bytes in one chunk."""

# Room for the names, shapes and batch norm of a safetensors file on top of the numbers.
_WEIGHTS_OVERHEAD = 1 << 16
_WEIGHTS_FACTOR = 8


class BlobError(Exception):
    """A blob did not arrive; the message is a sentence that says why."""


def max_weights_bytes(model_bytes: int) -> int:
    """Most bytes that the float weights of a model of `model_bytes` may take.

    A code of one byte becomes a float32 of four, and batch norm adds four per channel.
    """
    return _WEIGHTS_FACTOR * model_bytes + _WEIGHTS_OVERHEAD


def chunks(hash_: bytes, data: bytes | None) -> Iterator[BlobChunk]:
    """The chunks of a blob in order; for None the one chunk that says it is not here."""
    if data is None:
        yield BlobChunk(hash=hash_)
        return
    for offset in range(0, len(data), CHUNK_BYTES):
        piece = data[offset : offset + CHUNK_BYTES]
        yield BlobChunk(hash=hash_, offset=offset, total=len(data), data=piece)


class Incoming:
    """A blob on its way: at most `max_bytes`, in order, checked against its hash at the end."""

    def __init__(self, hash_: bytes, max_bytes: int) -> None:
        self._hash = hash_
        self._max_bytes = max_bytes
        self._data = bytearray()

    def add(self, chunk: BlobChunk) -> bytes | None:
        """Take the next chunk; returns the blob once it is complete. Raises BlobError."""
        if chunk.total == 0:
            raise BlobError("the other side does not have it")
        if chunk.total > self._max_bytes:
            raise BlobError(f"it has {chunk.total} bytes, at most {self._max_bytes} are allowed")
        if chunk.hash != self._hash or chunk.offset != len(self._data) or not chunk.data:
            raise BlobError("a chunk came out of order")
        self._data += chunk.data
        if len(self._data) > chunk.total:
            raise BlobError("it is longer than announced")
        if len(self._data) < chunk.total:
            return None
        data = bytes(self._data)
        if blob_hash(data) != self._hash:
            raise BlobError("its hash is another one")
        return data


class Shelf:
    """The models and weights of the best few candidates, by hash; the worst makes room."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._candidates: list[tuple[int, dict[bytes, bytes]]] = []

    def put(self, correct: int, *blobs: bytes) -> None:
        """Keep a candidate's blobs; of equal candidates the older one stays."""
        self._candidates.append((correct, {blob_hash(blob): blob for blob in blobs}))
        self._candidates.sort(key=lambda candidate: -candidate[0])
        del self._candidates[self._capacity :]

    def get(self, hash_: bytes) -> bytes | None:
        """The blob with this hash, if it is still here."""
        return next((held[hash_] for _, held in self._candidates if hash_ in held), None)

    def clear(self) -> None:
        """Forget everything."""
        self._candidates.clear()
