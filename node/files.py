"""Writing files so that a crash or a power cut leaves the whole of them or nothing."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_new_file(path: Path, data: bytes) -> None:
    """Make a file of mode 0600 that is whole from the moment it has its name, and survives.

    Raises:
        FileExistsError: `path` exists; it was not touched.
        OSError: it can't be written.
    """
    with _written_beside(path, data) as temporary:
        # A link fails if the name is taken, where a rename would replace the file that has it.
        os.link(temporary, path)
    sync_folder(path.parent)


def replace_file(path: Path, data: bytes) -> None:
    """Put a file of mode 0600 in the place of another; a crash leaves the old or the new one.

    Raises:
        OSError: it can't be written.
    """
    with _written_beside(path, data) as temporary:
        os.replace(temporary, path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power cut; syncing a file does not save its name."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _written_beside(path: Path, data: bytes) -> Iterator[Path]:
    """A synced file of mode 0600 in the folder of `path`, to be given its name; gone afterwards."""
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.new.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
