"""The file that holds a node's key.

Versioned JSON of mode 0600, made once; a node never overwrites it, only `ponas keys` does, to
encrypt its seed or not. With the environment variable PONAS_KEY_PASSPHRASE set, the seed in it is
encrypted (argon2id, then XSalsa20-Poly1305). A copy of the file is a backup; copied back, it
restores the node's identity.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id
from nacl.secret import SecretBox
from nacl.signing import SigningKey

from node.errors import KeyFileError
from node.files import replace_file, write_new_file
from node.identity import Identity, format_address

PASSPHRASE_VARIABLE = "PONAS_KEY_PASSPHRASE"

_SEED_BYTES = 32
_VERSION = 1
_LARGEST_KEY_FILE_BYTES = 4_096


@dataclass(frozen=True)
class KeyFile:
    """Whose key a file holds, and whether its seed is encrypted."""

    path: Path
    public_key: bytes
    address: str
    encrypted: bool


def open_identity(
    path: Path, passphrase: str | None, random_bytes: Callable[[int], bytes]
) -> Identity:
    """Load the key file, or make one with a fresh key if there is none.

    Raises:
        KeyFileError: as `load_identity` and `create_identity`.
    """
    if not path.exists():
        return create_identity(path, passphrase, random_bytes)
    return load_identity(path, passphrase)


def create_identity(
    path: Path, passphrase: str | None, random_bytes: Callable[[int], bytes]
) -> Identity:
    """Make a key and its file; an existing file is never replaced.

    `random_bytes(n)` must be fit for secrets; a node passes `nacl.utils.random`.

    Raises:
        KeyFileError: the file exists, or can't be written.
    """
    identity = Identity(SigningKey(random_bytes(_SEED_BYTES)))
    _write(path, _seal(identity, passphrase, random_bytes))
    return identity


def reseal_identity(
    path: Path, passphrase: str | None, new: str | None, random_bytes: Callable[[int], bytes]
) -> Identity:
    """Encrypt the seed in a key file under another passphrase, or under none.

    Raises:
        KeyFileError: as `load_identity`, or the file can't be replaced; then it is as before.
    """
    identity = load_identity(path, passphrase)
    try:
        replace_file(path, _seal(identity, new, random_bytes))
    except OSError as error:
        raise KeyFileError(f"can't replace key file {path}: {error.strerror}") from error
    return identity


def copy_key_file(source: Path, target: Path) -> KeyFile:
    """Make a copy for the owner alone; an existing file is never replaced.

    Raises:
        KeyFileError: the source is no key file, or the target exists or can't be written.
    """
    found = read_key_file(source)
    _write(target, _read_private(source))
    return found


def read_key_file(path: Path) -> KeyFile:
    """What a key file tells without its passphrase.

    Raises:
        KeyFileError: it can't be read, others can read it, it is damaged or of a newer version.
    """
    document = _parse(path, _read_private(path))
    if "seed" in document:
        load_identity(path, None)
    public_key = _unhex(path, document, "public_key", _SEED_BYTES)
    if document["address"] != format_address(public_key):
        raise _damaged(path, "its address is not that of its public key")
    return KeyFile(path, public_key, document["address"], "seed" not in document)


def load_identity(path: Path, passphrase: str | None) -> Identity:
    """Read a key file.

    Raises:
        KeyFileError: it can't be read, others can read it, it is damaged or of a newer version,
            or the passphrase does not fit.
    """
    document = _parse(path, _read_private(path))
    seed = _open_seed(path, document, passphrase)
    identity = Identity(SigningKey(seed))
    if document["public_key"] != identity.public_key.hex():
        raise _damaged(path, "its public key is not that of its seed")
    if document["address"] != identity.address:
        raise _damaged(path, "its address is not that of its public key")
    return identity


def _seal(
    identity: Identity, passphrase: str | None, random_bytes: Callable[[int], bytes]
) -> bytes:
    """The content of a key file."""
    seed = bytes(identity.signing_key)
    document: dict[str, Any] = {
        "version": _VERSION,
        "public_key": identity.public_key.hex(),
        "address": identity.address,
    }
    if passphrase is None:
        document["seed"] = seed.hex()
    else:
        salt = random_bytes(argon2id.SALTBYTES)
        box = _secret_box(passphrase, salt)
        document["salt"] = salt.hex()
        document["encrypted_seed"] = bytes(
            box.encrypt(seed, random_bytes(SecretBox.NONCE_SIZE))
        ).hex()
    return json.dumps(document, indent=2).encode() + b"\n"


def _secret_box(passphrase: str, salt: bytes) -> SecretBox:
    # The limits belong to version 1 of the file. "Interactive" takes 64 MiB for a moment;
    # libsodium's next level takes 256 MiB, more than a whole node may.
    key = argon2id.kdf(
        SecretBox.KEY_SIZE,
        passphrase.encode(),
        salt,
        opslimit=argon2id.OPSLIMIT_INTERACTIVE,
        memlimit=argon2id.MEMLIMIT_INTERACTIVE,
    )
    return SecretBox(key)


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise KeyFileError(f"can't make the folder {path.parent}: {error.strerror}") from error
    try:
        write_new_file(path, data)
    except FileExistsError as error:
        raise KeyFileError(f"key file {path} exists; it is never overwritten") from error
    except OSError as error:
        raise KeyFileError(f"can't write key file {path}: {error.strerror}") from error


def _read_private(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            data = file.read(_LARGEST_KEY_FILE_BYTES + 1)
    except OSError as error:
        raise KeyFileError(f"can't read key file {path}: {error.strerror}") from error
    if mode & 0o077:
        raise KeyFileError(
            f"key file {path} is open to other users (mode {mode:04o}); run: chmod 600 {path}"
        )
    return data


def _parse(path: Path, data: bytes) -> dict[str, str]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "it is not JSON") from error
    if not isinstance(document, dict):
        raise _damaged(path, "it is not a JSON object")
    version = document.pop("version", None)
    if version != _VERSION:
        raise KeyFileError(
            f"key file {path} has version {version!r}; this program knows {_VERSION}"
        )
    if set(document) not in (
        {"public_key", "address", "seed"},
        {"public_key", "address", "salt", "encrypted_seed"},
    ):
        raise _damaged(path, "its fields are not those of a key file")
    if not all(isinstance(value, str) for value in document.values()):
        raise _damaged(path, "its fields are not text")
    return document


def _open_seed(path: Path, document: dict[str, str], passphrase: str | None) -> bytes:
    if "seed" in document:
        if passphrase is not None:
            raise KeyFileError(
                f"{PASSPHRASE_VARIABLE} is set, but key file {path} is not encrypted; unset it, "
                "or start from an empty data folder"
            )
        return _unhex(path, document, "seed", _SEED_BYTES)
    if passphrase is None:
        raise KeyFileError(f"key file {path} is encrypted; set {PASSPHRASE_VARIABLE}")
    salt = _unhex(path, document, "salt", argon2id.SALTBYTES)
    sealed_bytes = SecretBox.NONCE_SIZE + _SEED_BYTES + SecretBox.MACBYTES
    sealed = _unhex(path, document, "encrypted_seed", sealed_bytes)
    try:
        return _secret_box(passphrase, salt).decrypt(sealed)
    except CryptoError as error:
        raise KeyFileError(
            f"can't decrypt key file {path}: {PASSPHRASE_VARIABLE} is wrong, or the file is damaged"
        ) from error


def _unhex(path: Path, document: dict[str, str], name: str, length_bytes: int) -> bytes:
    try:
        value = bytes.fromhex(document[name])
    except ValueError as error:
        raise _damaged(path, f"its {name} is not hexadecimal") from error
    if len(value) != length_bytes:
        raise _damaged(path, f"its {name} has {len(value)} bytes, not {length_bytes}")
    return value


def _damaged(path: Path, fault: str) -> KeyFileError:
    return KeyFileError(f"key file {path} is damaged: {fault}; restore it from a backup")
