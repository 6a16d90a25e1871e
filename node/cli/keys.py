"""`ponas keys`: look at the key file of a data folder, back it up, encrypt it."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
import nacl.utils

from node.config import Role
from node.errors import ExitCode, KeyFileError
from node.folder import DataFolder
from node.identity import Identity
from node.keyfile import (
    PASSPHRASE_VARIABLE,
    KeyFile,
    copy_key_file,
    load_identity,
    read_key_file,
    reseal_identity,
)

T = TypeVar("T")


class _BadKeyFile(click.ClickException):
    exit_code = ExitCode.KEY


def data_dir_option(help_text: str = "The data folder with the key.") -> click.Option:
    """`--data-dir FOLDER`, handed over as `folder`."""
    return click.Option(
        ["--data-dir", "folder"],
        default=Path("~/.ponas") / Role.MINER,
        show_default=True,
        metavar="FOLDER",
        type=click.Path(path_type=Path),
        help=help_text,
    )


def key_file_of(folder: Path) -> Path:
    """The key file of a data folder as given on the command line."""
    return DataFolder(folder.expanduser()).key_file


def read_key(folder: Path) -> KeyFile:
    """Whose key a data folder holds; a failure ends the program with one sentence."""
    return _checked(lambda: read_key_file(key_file_of(folder)))


def load_key(folder: Path) -> Identity:
    """The key of a data folder; asks for its passphrase if it is encrypted."""
    found = read_key(folder)
    passphrase = _passphrase(found) if found.encrypted else None
    return _checked(lambda: load_identity(found.path, passphrase))


@click.group(epilog=f"Exit codes: 0 done, 2 wrong use, {ExitCode.KEY:d} a bad key file.")
def keys() -> None:
    """Look after the key of a data folder, which holds its money."""


def _add(name: str, run: Callable[..., KeyFile], text: str, argument: str = "") -> None:
    def command(folder: Path, as_json: bool, file: Path | None = None) -> None:
        path = key_file_of(folder)
        _show(_checked(lambda: run(path) if file is None else run(path, file)), as_json)

    params: list[click.Parameter] = [
        data_dir_option(),
        click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object."),
    ]
    if argument:
        kind = click.Path(path_type=Path)
        params.append(click.Argument(["file"], type=kind, metavar=argument))
    keys.add_command(click.Command(name, callback=command, params=params, help=text))


def _encrypt(path: Path) -> KeyFile:
    found = read_key_file(path)
    if found.encrypted:
        raise KeyFileError(f"key file {path} is encrypted already; decrypt it first")
    new = os.environ.get(PASSPHRASE_VARIABLE) or click.prompt(
        "New passphrase", hide_input=True, confirmation_prompt=True, err=True
    )
    reseal_identity(path, None, new, nacl.utils.random)
    return read_key_file(path)


def _decrypt(path: Path) -> KeyFile:
    found = read_key_file(path)
    if not found.encrypted:
        raise KeyFileError(f"key file {path} is not encrypted")
    reseal_identity(path, _passphrase(found), None, nacl.utils.random)
    return read_key_file(path)


def _backup(path: Path, target: Path) -> KeyFile:
    copy_key_file(path, target.expanduser())
    return read_key_file(target.expanduser())


def _restore(path: Path, source: Path) -> KeyFile:
    copy_key_file(source.expanduser(), path)
    return read_key_file(path)


def _passphrase(file: KeyFile) -> str:
    asked = f"Passphrase of {file.path}"
    given = os.environ.get(PASSPHRASE_VARIABLE) or click.prompt(asked, hide_input=True, err=True)
    return str(given)


def _checked(run: Callable[[], T]) -> T:
    try:
        return run()
    except KeyFileError as error:
        raise _BadKeyFile(f"{error}.") from None


def _show(found: KeyFile, as_json: bool) -> None:
    fields = {
        "file": str(found.path),
        "address": found.address,
        "public_key": found.public_key.hex(),
        "encrypted": found.encrypted,
    }
    if as_json:
        click.echo(json.dumps(fields))
    else:
        for name, value in fields.items():
            click.echo(f"{name}: {value}")


_add("show", read_key_file, "Whose key it is.")
_add("backup", _backup, "Copy the key file to FILE, which must not exist.", "FILE")
_add("restore", _restore, "Put the backup FILE into a data folder that has no key.", "FILE")
_add("encrypt", _encrypt, "Encrypt the key under a new passphrase.")
_add("decrypt", _decrypt, "Store the key without a passphrase.")
