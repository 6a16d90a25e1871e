"""Files that are there as a whole or not at all, and stay."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from nas.data.cache import write_whole


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_whole(path, [b"old"])
    write_whole(path, [b"a", memoryview(b"b")])
    assert path.read_bytes() == b"ab"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_keeps_the_file_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, [b"old"])
    with pytest.raises(TypeError):
        write_whole(path, [b"new", "text"])  # type: ignore[list-item]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_whoever_the_umask_admits_can_read_it(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "file", [b"data"])
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_the_data_are_on_the_disk_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    synced: list[tuple[bool, bool]] = []

    def fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        synced.append((is_folder, path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(path, [b"data"])
    assert synced == [(False, False), (True, True)]
