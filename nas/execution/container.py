"""What memory a container leaves to this process: the limits of its control groups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def container_bytes(machine_bytes: int, root: Path) -> int:
    """The least of a machine's memory and the limits of the control groups that hold this process.

    `root` is the file system's. Both versions are read (cgroups(7)); no limit is no error.
    """
    try:
        groups = (root / "proc/self/cgroup").read_text()
    except OSError:
        return machine_bytes
    limits = map(_limit_in, _limit_files(groups, root / "sys/fs/cgroup"))
    return min([machine_bytes, *(limit for limit in limits if limit is not None)])


def _limit_files(groups: str, mounts: Path) -> Iterator[Path]:
    """Files that may hold a limit; that of a group counts for all groups within it."""
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount, name = mounts, "memory.max"
        elif "memory" in controllers.split(","):
            mount, name = mounts / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = mount / path.lstrip("/")
        # A container may see its own group as the mount itself, under whatever path.
        yield from (
            folder / name for folder in (group, *group.parents) if folder.is_relative_to(mount)
        )


def _limit_in(file: Path) -> int | None:
    """Bytes; None without a file, or for the word `max`."""
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
