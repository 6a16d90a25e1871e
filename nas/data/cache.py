"""Where this machine keeps what can be made again: decoded data, downloads, float weights."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

Buffer = bytes | memoryview


def cache_folder() -> Path:
    """`PONAS_CACHE` if set, else `ponas` in the user's cache folder (XDG base directories)."""
    if own := os.environ.get("PONAS_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ponas"


def write_whole(path: Path, parts: Iterable[Buffer]) -> None:
    """Write a file that others see complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(parts)
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
