"""The one hash of the protocol, BLAKE2b-256, with domain tags and length prefixes."""

from __future__ import annotations

from hashlib import blake2b

HASH_BYTES = 32
MAX_INT = 2**63 - 1
"""Largest integer that any object of the protocol may hold (consensus G3)."""


def blake(tag: str, *fields: bytes) -> bytes:
    """Hash a tag and fields to 32 bytes.

    Each part is preceded by its length as eight bytes, so that no two different
    lists of fields give the same input.
    """
    state = blake2b(digest_size=HASH_BYTES)
    for part in (tag.encode("ascii"), *fields):
        state.update(u64(len(part)))
        state.update(part)
    return state.digest()


def blob_hash(data: bytes) -> bytes:
    """Address of a blob (model, body, weights): plain BLAKE2b-256 of its bytes."""
    return blake2b(data, digest_size=HASH_BYTES).digest()


def u64(value: int) -> bytes:
    """Encode an integer field of a hash as eight big-endian bytes.

    Raises OverflowError outside [0, 2**64).
    """
    return value.to_bytes(8, "big")
