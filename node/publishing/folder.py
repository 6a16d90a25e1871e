"""A prepared task on disk: `terms`, `training.bin`, `shard-00.sealed` and so on, and `secret`.

Everything but `secret` is or becomes public. Who has the secret can open every shard: it stays with
the publisher and the key holders.
"""

from __future__ import annotations

from pathlib import Path

from nas.data.cache import write_whole
from node.chain.codec import decode, encode
from node.chain.messages import MAX_PAYLOAD_BYTES
from node.chain.published.terms import Publish
from node.files import write_new_file
from node.publishing.errors import PublishingError
from node.publishing.prepare import Prepared

TERMS, TRAINING, SECRET = "terms", "training.bin", "secret"
SECRET_BYTES = 32


def write_prepared(folder: Path, prepared: Prepared, secret: bytes) -> None:
    """Make the folder. Raises PublishingError if it exists or the disk refuses."""
    try:
        folder.mkdir(parents=True)
        write_new_file(folder / SECRET, secret.hex().encode())
        write_whole(folder / TRAINING, [prepared.training])
        for number, cipher in enumerate(prepared.ciphers):
            write_whole(folder / _sealed(number), [cipher])
        # Last, because it says that all the rest is there.
        write_whole(folder / TERMS, [encode(prepared.terms)])
    except FileExistsError as error:
        raise PublishingError(f"{folder} exists; a prepared task is never overwritten") from error
    except OSError as error:
        raise PublishingError(f"{folder} can't be written: {error}") from error


def read_prepared(folder: Path) -> Prepared:
    """Read a task back. Raises PublishingError or Rejected; it is not checked further."""
    terms = decode(Publish, _read(folder / TERMS, MAX_PAYLOAD_BYTES))
    training = _read(folder / TRAINING, terms.training_bytes)
    sealed = (folder / _sealed(number) for number in range(len(terms.shards)))
    return Prepared(terms, training, tuple(_read(file, terms.cipher_bytes) for file in sealed))


def read_secret(folder: Path) -> bytes:
    """The secret that opens the shards. Raises PublishingError."""
    text = _read(folder / SECRET, 2 * SECRET_BYTES + 1)
    try:
        secret = bytes.fromhex(text.decode("ascii").strip())
    except ValueError as error:
        raise PublishingError(f"{folder / SECRET} holds no hexadecimal digits") from error
    if len(secret) != SECRET_BYTES:
        raise PublishingError(f"{folder / SECRET} holds {len(secret)} bytes, not {SECRET_BYTES}")
    return secret


def _sealed(number: int) -> str:
    return f"shard-{number:02}.sealed"


def _read(file: Path, most_bytes: int) -> bytes:
    try:
        with file.open("rb") as opened:
            content = opened.read(most_bytes + 1)
    except OSError as error:
        raise PublishingError(f"{file} can't be read: {error.strerror}") from error
    if len(content) > most_bytes:
        raise PublishingError(f"{file} is longer than {most_bytes} bytes")
    return content
