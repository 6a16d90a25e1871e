"""`ponas keys`: what it shows, and what becomes of the file."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from node.cli.client import main
from node.keyfile import create_identity, load_identity

SEED = bytes(range(32))
PASSPHRASE = "correct horse"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_identity(tmp_path / "node.key", None, lambda _: SEED)
    return tmp_path


def keys(folder: Path, *words: str, answer: str = "", passphrase: str | None = None) -> Result:
    return CliRunner().invoke(
        main,
        ["keys", *words, "--data-dir", str(folder)],
        input=answer,
        env={"PONAS_KEY_PASSPHRASE": passphrase},
    )


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_show_names_the_account_without_the_seed(folder: Path) -> None:
    identity = load_identity(folder / "node.key", None)
    shown = told(keys(folder, "show", "--json"))
    assert shown["address"] == identity.address
    assert (shown["public_key"], shown["encrypted"]) == (identity.public_key.hex(), False)
    plain = keys(folder, "show").output
    assert f"address: {identity.address}" in plain
    assert SEED.hex() not in plain


def test_encrypted_and_decrypted_it_is_the_same_key(folder: Path) -> None:
    file = folder / "node.key"
    answer = f"{PASSPHRASE}\n{PASSPHRASE}\n"
    assert told(keys(folder, "encrypt", "--json", answer=answer))["encrypted"]
    assert SEED.hex() not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert bytes(load_identity(file, PASSPHRASE).signing_key) == SEED
    # What the environment has is not asked for.
    assert not told(keys(folder, "decrypt", "--json", passphrase=PASSPHRASE))["encrypted"]
    assert bytes(load_identity(file, None).signing_key) == SEED
    assert [path.name for path in folder.iterdir()] == ["node.key"]


def test_a_wrong_passphrase_changes_nothing(folder: Path) -> None:
    keys(folder, "encrypt", passphrase=PASSPHRASE)
    before = (folder / "node.key").read_bytes()
    result = keys(folder, "decrypt", answer="battery\n")
    assert result.exit_code == 5
    assert "is wrong, or the file is damaged" in result.output
    assert (folder / "node.key").read_bytes() == before


def test_a_backup_restores_the_key_in_another_folder(folder: Path, tmp_path: Path) -> None:
    keys(folder, "encrypt", passphrase=PASSPHRASE)
    copy, other = tmp_path / "copy.key", tmp_path / "other"
    assert told(keys(folder, "backup", str(copy), "--json"))["file"] == str(copy)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert keys(other, "restore", str(copy)).exit_code == 0
    assert bytes(load_identity(other / "node.key", PASSPHRASE).signing_key) == SEED


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("backup", "there.key"), "exists; it is never overwritten"),
        (("restore", "there.key"), "exists; it is never overwritten"),
        (("restore", "none.key"), "can't read key file"),
        (("restore", "bad.key"), "has version None"),
        (("decrypt",), "is not encrypted"),
    ],
)
def test_no_key_is_ever_lost(folder: Path, words: tuple[str, ...], sentence: str) -> None:
    create_identity(folder / "there.key", None, lambda n: bytes(n))
    (folder / "bad.key").write_text("{}")
    (folder / "bad.key").chmod(0o600)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    command, *files = words
    result = keys(folder, command, *(str(folder / name) for name in files))
    assert result.exit_code == 5
    assert sentence in result.output
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_an_encrypted_key_is_not_encrypted_again(folder: Path) -> None:
    keys(folder, "encrypt", passphrase=PASSPHRASE)
    result = keys(folder, "encrypt", passphrase=PASSPHRASE)
    assert (result.exit_code, "is encrypted already" in result.output) == (5, True)


def test_an_address_that_was_changed_is_noticed(folder: Path) -> None:
    keys(folder, "encrypt", passphrase=PASSPHRASE)
    file = folder / "node.key"
    document = json.loads(file.read_text())
    file.write_text(json.dumps(document | {"public_key": "00" * 32}))
    result = keys(folder, "show")
    assert (result.exit_code, "not that of its public key" in result.output) == (5, True)
