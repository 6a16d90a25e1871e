"""Writing files so that a crash or a power cut leaves the whole of them or nothing."""

import os
import tempfile
from pathlib import Path


def write_new_file(path: Path, data: bytes) -> None:
    """Make a file of mode 0600 that is whole from the moment it has its name, and survives.

    Raises:
        FileExistsError: `path` exists; it was not touched.
        OSError: it can't be written.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f"{path.name}.new.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # A link fails if the name is taken, where a rename would replace the file that has it.
        os.link(temporary, path)
    finally:
        os.unlink(temporary)
    sync_folder(path.parent)


def replace_file(path: Path, data: bytes) -> None:
    """Put a file of mode 0600 in the place of another; a crash leaves the old or the new one.

    Raises:
        OSError: it can't be written.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f"{path.name}.new.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power cut; syncing a file does not save its name."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
