"""Who a node is: an ed25519 key and its address.

Address: "pn", then lower-case base32 (RFC 4648, no padding) of the 32-byte public key and a
4-byte BLAKE2b checksum of it, 60 characters in all. A mistyped address is refused.
"""

import base64
import hashlib
from dataclasses import dataclass, field

from nacl.signing import SigningKey

_PREFIX = "pn"
_KEY_BYTES = 32
_CHECKSUM_BYTES = 4
_ADDRESS_LENGTH = 60


class AddressError(ValueError):
    """A text that is no address; the message says what is wrong with it."""


def format_address(public_key: bytes) -> str:
    """The address of a 32-byte public key."""
    if len(public_key) != _KEY_BYTES:
        raise ValueError(f"a public key has {_KEY_BYTES} bytes, not {len(public_key)}")
    data = public_key + _checksum(public_key)
    return _PREFIX + base64.b32encode(data).decode().rstrip("=").lower()


def parse_address(text: str) -> bytes:
    """The 32-byte public key of an address.

    Raises:
        AddressError: wrong prefix, length, characters or checksum.
    """
    if not text.startswith(_PREFIX):
        raise AddressError(f"an address starts with {_PREFIX!r}; {text[:8]!r} does not")
    if len(text) != _ADDRESS_LENGTH:
        raise AddressError(f"an address has {_ADDRESS_LENGTH} characters, not {len(text)}")
    digits = text[len(_PREFIX) :]
    padding = "=" * (-len(digits) % 8)
    try:
        data = base64.b32decode(digits.upper() + padding)
    except ValueError as error:
        raise AddressError("an address holds a-z and 2-7 only") from error
    public_key = data[:_KEY_BYTES]
    # Comparing the text, not the checksum, also refuses capitals and unused bits that are set:
    # an account has one address.
    if format_address(public_key) != text:
        raise AddressError("the address has a wrong checksum; it may be mistyped")
    return public_key


def _checksum(public_key: bytes) -> bytes:
    return hashlib.blake2b(
        public_key, digest_size=_CHECKSUM_BYTES, person=b"ponas.address"
    ).digest()


@dataclass(frozen=True, slots=True)
class Identity:
    """A node's key pair. Its seed is in no representation that a log might print."""

    signing_key: SigningKey = field(repr=False)

    @property
    def public_key(self) -> bytes:
        """32 bytes."""
        return bytes(self.signing_key.verify_key)

    @property
    def address(self) -> str:
        return format_address(self.public_key)
