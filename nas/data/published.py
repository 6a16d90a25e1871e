"""Data of published tasks: bytes whose lengths follow from what the task declares, and their names.

Training data are the images of training and validation, then their labels; a sealed test shard is
its images, its labels and a pad of 32 random bytes, so that few labels can't be guessed from a hash
(consensus C10, C11). Images are uint8 `[n][channels][height][width]`, decoded by the publisher and
nobody else; labels are one byte each. There is no header, so that images have only one encoding.

| name | what |
|---|---|
| `task:ID` | training and validation images of a task |
| `task:ID:HASH` | the test images of an opened shard, by the hash of its bytes |

Everything here is hostile until checked: it comes from strangers.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nas.data.cache import write_whole
from nas.data.dataset import Dataset, DatasetError, DatasetInfo, Source, Split, input_codes
from nas.data.sources import Labelled
from nas.data.stored import bytes_file, folder, source_from_json, source_to_json

PAD_BYTES = 32

NAME = "task:ID"

_NAME = re.compile("task:([0-9a-f]{64})(?::([0-9a-f]{64}))?")


def data_name(task_id: bytes, shard_hash: bytes = b"") -> str:
    """The name of a task's training data, or of the opened shard with that hash."""
    return f"task:{task_id.hex()}" + (f":{shard_hash.hex()}" if shard_hash else "")


def is_name(name: str) -> bool:
    """Whether the name is one of a published task's data."""
    return _NAME.fullmatch(name) is not None


def train_bytes(info: DatasetInfo) -> int:
    """Length of the training data of a task."""
    return (info.train + info.validation) * (_pixels(info) + 1)


def shard_bytes(info: DatasetInfo) -> int:
    """Length of an opened test shard."""
    return info.test * (_pixels(info) + 1) + PAD_BYTES


def pack_train(train: Labelled, validation: Labelled) -> bytes:
    """The one encoding of training and validation images of one shape."""
    parts = (train, validation)
    return b"".join(
        [part.images.tobytes() for part in parts]
        + [part.labels.astype(np.uint8).tobytes() for part in parts]
    )


def pack_shard(test: Labelled, pad: bytes) -> bytes:
    """The one encoding of a test shard. Raises ValueError for a pad of another length."""
    if len(pad) != PAD_BYTES:
        raise ValueError(f"a pad has {PAD_BYTES} bytes, not {len(pad)}")
    return test.images.tobytes() + test.labels.astype(np.uint8).tobytes() + pad


def keep_train(task_id: bytes, source: Source, data: bytes) -> None:
    """Keep a task's training data for this machine's workers; `source` may leave out the hash.

    Raises DatasetError for data that are not as declared, OSError from the disk.
    """
    _check(source.info, data, train_bytes(source.info), source.info.train + source.info.validation)
    source = replace(source, content_hash=_hash(data))
    write_whole(bytes_file(source), [data])
    write_whole(_description(task_id.hex()), [source_to_json(source).encode()])


def keep_shard(task_id: bytes, data: bytes) -> str:
    """Keep an opened shard for this machine's workers; the name of its data.

    Raises DatasetError for data that are not as declared or a task that was not kept before.
    """
    source = _described(task_id.hex())
    _check(source.info, data[:-PAD_BYTES], shard_bytes(source.info) - PAD_BYTES, source.info.test)
    source = replace(source, content_hash=_hash(data))
    write_whole(bytes_file(source), [data])
    return data_name(task_id, bytes.fromhex(source.content_hash))


def forget(task_id: bytes, shard_hashes: tuple[bytes, ...]) -> None:
    """Drop what was kept of a task; nothing happens if there is nothing."""
    try:
        source = _described(task_id.hex())
    except DatasetError:
        return
    _description(task_id.hex()).unlink(missing_ok=True)
    for content_hash in (source.content_hash, *(known.hex() for known in shard_hashes)):
        bytes_file(replace(source, content_hash=content_hash)).unlink(missing_ok=True)


def find(name: str) -> Source:
    """What is known of data by a name of this module. Raises DatasetError if nothing is."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise DatasetError(f"{name!r} names no data of a published task")
    source = _described(match[1])
    return replace(source, content_hash=match[2]) if match[2] else source


def read(name: str) -> Dataset:
    """The data, mapped read-only.

    Raises DatasetError when they are gone or are not the bytes with that hash.
    """
    source = find(name)
    try:
        values = np.memmap(bytes_file(source), np.uint8, "r")
    except (OSError, ValueError) as error:
        raise DatasetError(f"the data of {name} can't be read: {error}") from error
    if _hash(values.data) != source.content_hash:
        raise DatasetError(f"the bytes of {name} are not the ones that were kept")
    info = source.info
    if name.count(":") == 1:
        images, labels = _views(info, values, info.train + info.validation)
        splits = {
            "train": Split(images[: info.train], labels[: info.train]),
            "validation": Split(images[info.train :], labels[info.train :]),
        }
    else:
        splits = {"test": Split(*_views(info, values[:-PAD_BYTES], info.test))}
    return Dataset(info, input_codes(source), splits, bytes.fromhex(source.content_hash))


def _check(info: DatasetInfo, data: bytes, length: int, num_images: int) -> None:
    """Raise DatasetError for another length, or a label that is no class."""
    if len(data) != length:
        raise DatasetError(f"{len(data)} bytes of data instead of {length}")
    highest = int(np.frombuffer(data, np.uint8)[-num_images:].max())
    if highest >= info.classes:
        raise DatasetError(f"there is a label {highest}, but the classes end at {info.classes - 1}")


def _views(
    info: DatasetInfo, values: npt.NDArray[np.uint8], num_images: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    shape = info.shape
    images = values[:-num_images].reshape(-1, shape.channels, shape.height, shape.width)
    return images, values[-num_images:]


def _pixels(info: DatasetInfo) -> int:
    return info.shape.channels * info.shape.height * info.shape.width


def _described(task_id: str) -> Source:
    try:
        return source_from_json(_description(task_id).read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"the data of task {task_id} are not here") from error


def _description(task_id: str) -> Path:
    return folder() / f"task-{task_id}.json"


def _hash(data: bytes | memoryview) -> str:
    return hashlib.blake2b(data, digest_size=32).hexdigest()
