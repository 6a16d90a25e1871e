"""Where this machine keeps what can be made again: decoded data, downloads, float weights."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

Buffer = bytes | memoryview


def cache_folder() -> Path:
    """`PONAS_CACHE` if set, else `ponas` in the user's cache folder (XDG base directories)."""
    if own := os.environ.get("PONAS_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ponas"


def write_whole(path: Path, parts: Iterable[Buffer]) -> None:
    """Write a file that others see complete or not at all, even after a power cut.

    Raises OSError from the disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The `tempfile` module would keep it from other users, whatever the umask says.
    draft = path.with_name(f"{path.name}.new.{secrets.token_hex(8)}")
    try:
        with draft.open("xb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    """Syncing a file saves what it holds, but not its name."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
