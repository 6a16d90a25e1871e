"""Test shards that nobody can read before the lists are out: NaCl's SecretBox, and two hashes.

SecretBox alone would not commit to its key (consensus C11): the terms name the hash of the key and
that of the opened bytes, so that there is one key and one test set.
"""

from __future__ import annotations

from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from node.chain.errors import Reason, Rejected
from node.chain.hashing import blake, blob_hash, u64
from node.chain.published.terms import SealedShard


def shard_key(secret: bytes, shard: int) -> bytes:
    """The key of a shard, out of the 32 random bytes that publisher and key holders share.

    A released key says nothing about the others.
    """
    return blake("ponas/task/key", secret, u64(shard))


def hash_key(key: bytes) -> bytes:
    """What the terms say of a key."""
    return blake("ponas/task/key-hash", key)


def seal(plain: bytes, key: bytes, nonce: bytes) -> bytes:
    """Nonce, authenticator and sealed bytes. `nonce` are 24 bytes never used with this key."""
    return bytes(SecretBox(key).encrypt(plain, nonce))


def open_shard(shard: SealedShard, cipher: bytes, key: bytes) -> bytes:
    """The test shard in its sealed bytes.

    Raises Rejected(SECRETS) for another key, a cipher that it does not open, or other contents.
    """
    if hash_key(key) != shard.key:
        raise Rejected(Reason.SECRETS, "this is not the key that the task names")
    try:
        plain = bytes(SecretBox(key).decrypt(cipher))
    except (CryptoError, ValueError) as error:
        raise Rejected(Reason.SECRETS, "the key does not open the shard") from error
    if blob_hash(plain) != shard.plain:
        raise Rejected(Reason.SECRETS, "the shard does not hold what the task names")
    return plain
