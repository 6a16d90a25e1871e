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
    """A blob on its way: at most `max_bytes`, in order, checked against its hash at the end.

    `chunks_left` are the most that may still come, whatever was refused before.
    """

    def __init__(self, hash_: bytes, max_bytes: int) -> None:
        self.hash = hash_
        self.chunks_left = -(-max_bytes // CHUNK_BYTES)
        self._max_bytes = max_bytes
        self._data = bytearray()

    def add(self, chunk: BlobChunk) -> bytes | None:
        """Take the next chunk; returns the blob once it is complete. Raises BlobError."""
        self.chunks_left -= 1
        if chunk.total == 0:
            self.chunks_left = 0
            raise BlobError("the other side does not have it")
        if chunk.total > self._max_bytes:
            raise BlobError(f"it has {chunk.total} bytes, at most {self._max_bytes} are allowed")
        if chunk.hash != self.hash or chunk.offset != len(self._data):
            raise BlobError("a chunk came out of order")
        # Shorter ones would be as many messages as the blob has bytes.
        if len(chunk.data) != min(CHUNK_BYTES, chunk.total - chunk.offset):
            raise BlobError(f"a chunk of {len(chunk.data)} bytes is too long or too short")
        self._data += chunk.data
        if len(self._data) < chunk.total:
            return None
        self.chunks_left = 0
        data = bytes(self._data)
        if blob_hash(data) != self.hash:
            raise BlobError("its hash is another one")
        return data


class Shelf:
    """Blobs that a manager may ask for, by hash.

    Every model stays until newer ones fill `model_bytes`, because an audit may ask for any of
    them. Everything of the best few candidates stays until `clear_best`, whatever came after.
    """

    def __init__(self, best: int, model_bytes: int) -> None:
        self._capacity = best
        self._best: list[tuple[int, dict[bytes, bytes]]] = []
        self._models: dict[bytes, bytes] = {}
        self._free_bytes = model_bytes

    def put(self, correct: int, model: bytes, weights: bytes) -> None:
        """Keep a candidate's blobs; of equally good candidates the older one is the better."""
        blobs = {blob_hash(blob): blob for blob in (model, weights)}
        self._best.append((correct, blobs))
        self._best.sort(key=lambda candidate: -candidate[0])
        del self._best[self._capacity :]
        if (hash_ := next(iter(blobs))) not in self._models:
            self._models[hash_] = model
            self._free_bytes -= len(model)
        while self._free_bytes < 0:
            self._free_bytes += len(self._models.pop(next(iter(self._models))))

    def get(self, hash_: bytes) -> bytes | None:
        """The blob with this hash, if it is still here."""
        if (model := self._models.get(hash_)) is not None:
            return model
        return next((blobs[hash_] for _, blobs in self._best if hash_ in blobs), None)

    def clear_best(self) -> None:
        """Let the best of a new round be the best; models stay for late audits."""
        self._best.clear()
