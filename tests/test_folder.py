from pathlib import Path

import pytest

from node.errors import ExitCode, StoreError
from node.folder import open_data_folder


def _refusal(path: Path) -> str:
    with pytest.raises(StoreError) as caught:
        open_data_folder(path)
    assert caught.value.exit_code == ExitCode.STORE
    return str(caught.value)


def test_a_new_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    folder = open_data_folder(tmp_path / "a" / "b")
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert folder.key_file.parent == folder.store.parent == folder.path


@pytest.mark.parametrize("names", [(), ("node.key",), ("node.key", "listen", "store.new.x1y2")])
def test_what_a_node_or_its_operator_left_there_is_accepted(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert open_data_folder(tmp_path).path == tmp_path


def test_beside_a_store_anything_may_lie(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "notes.txt").touch()
    assert open_data_folder(tmp_path).path == tmp_path


def test_a_strangers_folder_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    assert f"{tmp_path} is not a PoNAS data folder: it holds 'holiday.jpg'" in _refusal(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["holiday.jpg"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("kept")
    assert _refusal(path) == f"--data-dir {path} is a file; it takes a folder"
    assert path.read_text() == "kept"


def test_a_folder_below_a_file_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert _refusal(tmp_path / "file" / "data").endswith("data: Not a directory")


def test_the_address_file_comes_and_goes(tmp_path: Path) -> None:
    folder = open_data_folder(tmp_path)
    folder.withdraw_address()
    folder.publish_address("127.0.0.1:40000")
    folder.publish_address("127.0.0.1:40001")
    assert folder.address_file.read_text() == "127.0.0.1:40001\n"
    folder.withdraw_address()
    assert list(tmp_path.iterdir()) == []
