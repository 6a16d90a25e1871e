"""The memory that control groups leave, read from a made-up file system."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.execution.container import container_bytes

MACHINE = 8 << 30
GIB = 1 << 30


def lay_out(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, MACHINE),
        ({"proc/self/cgroup": "0::/\n"}, MACHINE),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, MACHINE),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": f"{GIB}\n"}, GIB),
        # The limit of an outer group counts within it.
        (
            {
                "proc/self/cgroup": "0::/user/job\n",
                "sys/fs/cgroup/user/job/memory.max": f"{3 * GIB}\n",
                "sys/fs/cgroup/user/memory.max": f"{2 * GIB}\n",
            },
            2 * GIB,
        ),
        # Version 1, whose word for no limit is a number above any machine's.
        (
            {
                "proc/self/cgroup": "9:cpu:/a\n4:hugetlb,memory:/docker/1f\n0::/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/memory/docker/1f/memory.limit_in_bytes": f"{GIB}\n",
            },
            GIB,
        ),
        # A container of version 1 sees its own group as the mount.
        (
            {
                "proc/self/cgroup": "4:memory:/docker/1f\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{GIB}\n",
            },
            GIB,
        ),
        # The group of another controller says nothing about memory.
        (
            {"proc/self/cgroup": "4:cpu:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "1\n"},
            MACHINE,
        ),
    ],
)
def test_the_least_limit_counts(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    lay_out(tmp_path, files)
    # Beside the root, not above it.
    (tmp_path / "sys/memory.max").parent.mkdir(exist_ok=True)
    (tmp_path / "sys/memory.max").write_text("1\n")
    assert container_bytes(MACHINE, tmp_path) == expected
