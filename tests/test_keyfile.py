import hashlib
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.errors import ExitCode, KeyFileError
from node.keyfile import create_identity, load_identity, open_identity


def _bytes_from(seed: str) -> Callable[[int], bytes]:
    """Repeatable "random" bytes, another stream for each seed."""
    draws = iter(range(1_000))
    return lambda n: hashlib.shake_128(f"{seed}{next(draws)}".encode()).digest(n)


def _refusal(path: Path, passphrase: str | None = None) -> str:
    with pytest.raises(KeyFileError) as caught:
        load_identity(path, passphrase)
    assert caught.value.exit_code == ExitCode.KEY
    assert "\n" not in str(caught.value)
    return str(caught.value)


def _edit(path: Path, **fields: Any) -> None:
    document = json.loads(path.read_text())
    document.update(fields)
    path.write_text(json.dumps(document))


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "node.key"
    create_identity(path, None, _bytes_from("plain"))
    return path


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encrypted") / "node.key"
    create_identity(path, "correct horse", _bytes_from("encrypted"))
    return path


def test_a_key_is_made_once_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "node.key"
    made = open_identity(path, None, _bytes_from("first"))
    found = open_identity(path, None, _bytes_from("second"))
    assert found.public_key == made.public_key
    assert [file.name for file in path.parent.iterdir()] == ["node.key"]


def test_only_the_owner_may_read_the_file(key_file: Path) -> None:
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600


def test_the_file_names_key_and_address(key_file: Path) -> None:
    document = json.loads(key_file.read_text())
    identity = load_identity(key_file, None)
    assert document["version"] == 1
    assert document["public_key"] == identity.public_key.hex()
    assert document["address"] == identity.address


def test_an_existing_file_is_never_overwritten(key_file: Path) -> None:
    before = key_file.read_bytes()
    with pytest.raises(KeyFileError, match="exists; it is never overwritten"):
        create_identity(key_file, None, _bytes_from("other"))
    assert key_file.read_bytes() == before
    assert [file.name for file in key_file.parent.iterdir()] == ["node.key"]


def test_an_encrypted_file_holds_no_seed_and_opens_with_its_passphrase(encrypted: Path) -> None:
    seed = _bytes_from("encrypted")(32)
    assert seed.hex() not in encrypted.read_text()
    assert bytes(load_identity(encrypted, "correct horse").signing_key) == seed


def test_a_wrong_passphrase_is_refused(encrypted: Path) -> None:
    assert "PONAS_KEY_PASSPHRASE is wrong, or the file is damaged" in _refusal(encrypted, "battery")


def test_a_missing_passphrase_is_named(encrypted: Path) -> None:
    assert _refusal(encrypted).endswith("is encrypted; set PONAS_KEY_PASSPHRASE")


def test_a_passphrase_for_a_plain_file_is_refused(key_file: Path) -> None:
    assert "PONAS_KEY_PASSPHRASE is set, but" in _refusal(key_file, "correct horse")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o666])
def test_a_file_open_to_others_is_refused(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    sentence = _refusal(key_file)
    assert f"is open to other users (mode {mode:04o}); run: chmod 600 {key_file}" in sentence


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"version": 2}, "has version 2; this program knows 1"),
        ({"seed": "zz" * 32}, "its seed is not hexadecimal"),
        ({"seed": "00" * 31}, "its seed has 31 bytes, not 32"),
        ({"seed": "11" * 32}, "its public key is not that of its seed"),
        ({"address": "pn"}, "its address is not that of its public key"),
        ({"seed": 7}, "its fields are not text"),
        ({"note": "mine"}, "its fields are not those of a key file"),
        ({"encrypted_seed": "00"}, "its fields are not those of a key file"),
    ],
)
def test_each_fault_of_a_file_is_named(key_file: Path, fields: dict[str, Any], fault: str) -> None:
    _edit(key_file, **fields)
    assert fault in _refusal(key_file)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"salt": "00"}, "its salt has 1 bytes, not 16"),
        ({"encrypted_seed": "00" * 71}, "its encrypted_seed has 71 bytes, not 72"),
        ({"encrypted_seed": "00" * 72}, "is wrong, or the file is damaged"),
    ],
)
def test_each_fault_of_an_encrypted_file_is_named(
    encrypted: Path, tmp_path: Path, fields: dict[str, Any], fault: str
) -> None:
    path = tmp_path / "node.key"
    path.touch(mode=0o600)
    path.write_bytes(encrypted.read_bytes())
    _edit(path, **fields)
    assert fault in _refusal(path, "correct horse")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "it is not JSON"),
        (b"[" * 4_000, "it is not JSON"),
        (b"\xff\xfe", "it is not JSON"),
        (b"[1]", "it is not a JSON object"),
    ],
)
def test_a_file_of_something_else_is_refused_and_kept(
    key_file: Path, content: bytes, fault: str
) -> None:
    key_file.write_bytes(content)
    with pytest.raises(KeyFileError, match=fault):
        open_identity(key_file, None, _bytes_from("other"))
    assert key_file.read_bytes() == content


def test_an_unreadable_path_is_a_clear_error(tmp_path: Path) -> None:
    assert _refusal(tmp_path).endswith(f"can't read key file {tmp_path}: Is a directory")


def test_a_folder_that_can_not_hold_the_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyFileError) as caught:
        create_identity(tmp_path / "file" / "node.key", None, _bytes_from("any"))
    assert str(caught.value) == f"can't make the folder {tmp_path / 'file'}: File exists"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_damaged_byte_is_noticed_or_harmless(key_file: Path, data: st.DataObject) -> None:
    whole = key_file.read_bytes()
    position = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[position] ^= data.draw(st.integers(1, 255))
    expected = load_identity(key_file, None).public_key
    path = key_file.with_name("damaged.key")
    path.touch(mode=0o600)
    path.write_bytes(damaged)
    try:
        found = load_identity(path, None)
    except KeyFileError:
        return
    finally:
        os.unlink(path)
    assert found.public_key == expected
