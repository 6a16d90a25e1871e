"""The one hash of the protocol, BLAKE2b-256, with domain tags and length prefixes."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

HASH_BYTES = 32
MAX_INT = 2**63 - 1
"""Largest integer that any object of the protocol may hold (consensus G3)."""


def blake(tag: str, *fields: bytes) -> bytes:
    """Hash a tag and fields to 32 bytes.

    Each part is preceded by its length as eight bytes, so that no two different
    lists of fields give the same input.
    """
    hasher = _tagged(tag).copy()
    for field in fields:
        hasher.update(len(field).to_bytes(8, "big") + field)
    return hasher.digest()


def blob_hash(data: bytes) -> bytes:
    """Address of a blob (model, body, weights): plain BLAKE2b-256 of its bytes."""
    return blake2b(data, digest_size=HASH_BYTES).digest()


def u64(value: int) -> bytes:
    """Encode an integer field of a hash as eight big-endian bytes.

    Raises OverflowError outside [0, 2**64).
    """
    return value.to_bytes(8, "big")


@lru_cache(maxsize=256)
def _tagged(tag: str) -> blake2b:
    name = tag.encode("ascii")
    return blake2b(u64(len(name)) + name, digest_size=HASH_BYTES)
