"""Signing objects and opening what others signed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar, cast

from nacl.bindings import crypto_core_ed25519_is_valid_point
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from node.chain.codec import decode, encode
from node.chain.errors import Reason, Rejected
from node.chain.hashing import HASH_BYTES, blake, u64
from node.chain.messages import (
    KINDS,
    PAYLOADS,
    TRANSACTIONS,
    Envelope,
    Kind,
    Payload,
    Transaction,
)

M_co = TypeVar("M_co", bound=Payload, covariant=True)
M = TypeVar("M", bound=Payload)


@dataclass(frozen=True)
class Signed(Generic[M_co]):
    """An envelope whose payload and signature were checked, with what follows from it."""

    envelope: Envelope
    message: M_co
    id: bytes

    @property
    def signer(self) -> bytes:
        """Public key of the signer, 32 bytes."""
        return self.envelope.public_key


def sign(message: M, key: SigningKey, network_id: bytes) -> Signed[M]:
    """Wrap and sign a message. Raises NotCanonical if a field is out of bounds."""
    kind, payload, public_key = KINDS[type(message)], encode(message), bytes(key.verify_key)
    signature = key.sign(_signed_bytes(network_id, kind, payload)).signature
    envelope = Envelope(kind, payload, public_key, signature)
    return Signed(envelope, message, object_id(network_id, kind, public_key, payload))


def open_envelope(envelope: Envelope, network_id: bytes) -> Signed[Payload]:
    """Check an envelope of any kind. Raises Rejected with the rule that it breaks."""
    signed = read_envelope(envelope, network_id)
    check_signature(envelope, network_id)
    return signed


def read_envelope(envelope: Envelope, network_id: bytes) -> Signed[Payload]:
    """The message of an envelope; its signature is left to `check_signature`. Raises Rejected."""
    # 1. The kind is one of this protocol's.
    if envelope.kind not in PAYLOADS:
        raise Rejected(Reason.UNKNOWN_KIND, f"there is no object of kind {envelope.kind}")
    kind = Kind(envelope.kind)
    # 2. The payload is the one encoding of a message of that kind.
    message = decode(PAYLOADS[kind], envelope.payload)
    return Signed(
        envelope, message, object_id(network_id, kind, envelope.public_key, envelope.payload)
    )


def check_signature(envelope: Envelope, network_id: bytes) -> None:
    """Whether the holder of the key signed a known kind's payload. Raises Rejected."""
    # 1. The key is a point of the curve that can sign.
    if not _can_sign(envelope.public_key):
        raise Rejected(Reason.BAD_KEY, "the public key is not an ed25519 key")
    # 2. The signature is the key's, for this network and kind.
    signed_bytes = _signed_bytes(network_id, Kind(envelope.kind), envelope.payload)
    if not _has_signed(envelope.public_key, signed_bytes, envelope.signature):
        raise Rejected(Reason.BAD_SIGNATURE, "the signature does not fit")


def open_as(cls: type[M], envelope: Envelope, network_id: bytes) -> Signed[M]:
    """Check an envelope that has to carry a message of class `cls`. Raises Rejected."""
    signed = read_as(cls, envelope, network_id)
    check_signature(envelope, network_id)
    return signed


def read_as(cls: type[M], envelope: Envelope, network_id: bytes) -> Signed[M]:
    """Like `read_envelope`, for a message of class `cls`."""
    if envelope.kind != KINDS[cls]:
        raise Rejected(Reason.WRONG_KIND, f"expected a {cls.__name__}")
    return cast(Signed[M], read_envelope(envelope, network_id))


def open_transaction(envelope: Envelope, network_id: bytes) -> Signed[Transaction]:
    """Check an envelope that has to carry a transaction. Raises Rejected."""
    signed = read_transaction(envelope, network_id)
    check_signature(envelope, network_id)
    return signed


def read_transaction(envelope: Envelope, network_id: bytes) -> Signed[Transaction]:
    """Like `read_envelope`, for a transaction."""
    if envelope.kind not in TRANSACTIONS:
        raise Rejected(Reason.WRONG_KIND, "expected a transaction")
    return cast(Signed[Transaction], read_envelope(envelope, network_id))


def forget_signatures() -> None:
    """Forget which signatures were found good, as a process does that starts: for measurements."""
    _has_signed.cache_clear()


def object_id(network_id: bytes, kind: Kind, public_key: bytes, payload: bytes) -> bytes:
    """Id of a signed object; leaves out the signature, which a signer can vary at will."""
    return blake("ponas/id", network_id, u64(kind), public_key, payload)


@lru_cache(maxsize=16_384)
def _can_sign(public_key: bytes) -> bool:
    """Whether a key is a point of the prime-order subgroup.

    Remembered, since the same few keys sign most of what comes and the check takes most of the
    time of a signature's.
    """
    return len(public_key) == HASH_BYTES and bool(crypto_core_ed25519_is_valid_point(public_key))


@lru_cache(maxsize=16_384)
def _has_signed(public_key: bytes, signed_bytes: bytes, signature: bytes) -> bool:
    """Whether a signature is the key's.

    Remembered, since lists and votes come once by gossip and once more in a body.
    """
    try:
        VerifyKey(public_key).verify(signed_bytes, signature)
    except (BadSignatureError, ValueError):
        return False
    return True


def _signed_bytes(network_id: bytes, kind: Kind, payload: bytes) -> bytes:
    return blake("ponas/sign", network_id, u64(kind), payload)
