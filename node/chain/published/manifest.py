"""Large data in chunks: a manifest lists the hashes of the chunks, and its hash names the whole.

A chunk is a blob like any other, so that it is fetched from several peers, checked and kept one by
one, and a download that was broken off goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterable

from node.chain.errors import Reason, Rejected
from node.chain.hashing import HASH_BYTES, blob_hash

CHUNK_BYTES = 2**20


def chunks_of(data: bytes) -> tuple[bytes, ...]:
    """The chunks of some data in their order; all but the last are of CHUNK_BYTES."""
    return tuple(data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES))


def make_manifest(chunks: Iterable[bytes]) -> bytes:
    """The hashes of the chunks, one after the other; `blob_hash` of it is the name of the data."""
    return b"".join(map(blob_hash, chunks))


def manifest_bytes(length: int) -> int:
    """Length of the manifest of so many bytes of data."""
    return -(-length // CHUNK_BYTES) * HASH_BYTES


def read_manifest(manifest: bytes, length: int) -> tuple[tuple[bytes, int], ...]:
    """Hash and length of each chunk of `length` bytes of data.

    Raises Rejected(TASK_DATA) for a manifest of another length.
    """
    if len(manifest) != manifest_bytes(length):
        raise Rejected(
            Reason.TASK_DATA, f"a manifest of {len(manifest)} bytes for {length} bytes of data"
        )
    hashes = (manifest[at : at + HASH_BYTES] for at in range(0, len(manifest), HASH_BYTES))
    return tuple(
        (chunk, min(CHUNK_BYTES, length - number * CHUNK_BYTES))
        for number, chunk in enumerate(hashes)
    )
