"""Float weights of trained architectures on disk, bounded, for designs that differ in bits only."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import torch

from nas.data.cache import write_whole
from nas.jobs import Train
from nas.training.protocol import EDITION

LIMIT_BYTES = 2 << 30
_LENGTH_BYTES = 8


class WeightsCache:
    """A folder of entries, the least recently used of which go when they exceed `limit_bytes`.

    Several processes may share it. Entries are checked by hash, so a damaged one is trained anew.
    """

    def __init__(self, folder: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes

    def find(self, key: str) -> tuple[bytes, ...] | None:
        """The sets of weights kept under `key`, or None."""
        path = self._path(key)
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        digest, body = data[:32], data[32:]
        if hashlib.blake2b(body, digest_size=32).digest() != digest:
            return None
        found, at = [], 0
        while at < len(body):
            start = at + _LENGTH_BYTES
            at = start + int.from_bytes(body[at:start], "little")
            found.append(body[start:at])
        return tuple(found)

    def keep(self, key: str, floats: tuple[bytes, ...]) -> None:
        """Keep sets of weights; older entries make room. Too large ones are not kept."""
        body = b"".join(len(data).to_bytes(_LENGTH_BYTES, "little") + data for data in floats)
        size = len(body) + 32
        if size > self._limit_bytes:
            return
        self._make_room(size)
        write_whole(self._path(key), (hashlib.blake2b(body, digest_size=32).digest(), body))

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.weights"

    def _make_room(self, size: int) -> None:
        entries = []
        for path in self._folder.glob("*.weights"):
            try:
                status = path.stat()
            except FileNotFoundError:
                # Another process made room.
                continue
            entries.append((status.st_mtime_ns, path, status.st_size))
        total = size + sum(entry[2] for entry in entries)
        for _, path, freed in sorted(entries):
            if total <= self._limit_bytes:
                return
            path.unlink(missing_ok=True)
            total -= freed


def weights_key(job: Train, content_hash: bytes, device: str) -> str:
    """What float weights under `ptq` depend on; not the bits, and not how they are judged."""
    facts = {
        "architecture": job.genotype.architecture,
        "seed": job.seed,
        "edition": EDITION,
        "epochs": job.epochs,
        "data": content_hash.hex(),
        "device": torch.device(device).type,
        "torch": torch.__version__,
    }
    text = json.dumps(facts, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
