"""The data folder of a node: where its key, its store and its address lie."""

import os
from dataclasses import dataclass
from pathlib import Path

from node.errors import StoreError

_KEY_FILE = "node.key"
_STORE = "store"
_ADDRESS_FILE = "listen"
_CONTROL_SOCKET = "control"
_TASKS = "tasks"
# What an operator or the demo may lay into a folder before the node first starts.
_MAY_COME_FIRST = {
    _KEY_FILE,
    _ADDRESS_FILE,
    _CONTROL_SOCKET,
    _TASKS,
    "config.toml",
    "network.json",
    "node.log",
}


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Paths inside one node's data folder; made by `open_data_folder`."""

    path: Path

    @property
    def key_file(self) -> Path:
        """For `node.identity.open_identity`."""
        return self.path / _KEY_FILE

    @property
    def store(self) -> Path:
        """For `node.store.rocks.open_store`."""
        return self.path / _STORE

    @property
    def address_file(self) -> Path:
        """While the node listens, holds its HOST:PORT, so that scripts find a free port chosen."""
        return self.path / _ADDRESS_FILE

    @property
    def control_socket(self) -> Path:
        """For `node.control`, while a miner runs."""
        return self.path / _CONTROL_SOCKET

    @property
    def tasks(self) -> Path:
        """Prepared tasks of the operator's own, which the node offers and opens."""
        return self.path / _TASKS

    def publish_address(self, address: str) -> None:
        """Write the address file; a reader sees all of it or none."""
        new = self.address_file.with_suffix(".new")
        new.write_text(f"{address}\n")
        os.replace(new, self.address_file)

    def withdraw_address(self) -> None:
        """Remove the address file; call at the start too, since a crash may have left one."""
        self.address_file.unlink(missing_ok=True)


def open_data_folder(path: Path) -> DataFolder:
    """Make the folder, or accept one that holds a node's files and nothing foreign.

    Raises:
        StoreError: it holds a stranger's files, is no folder, or can't be made or read.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = {entry.name for entry in path.iterdir()}
    except FileExistsError as error:
        raise StoreError(f"--data-dir {path} is a file; it takes a folder") from error
    except OSError as error:
        raise StoreError(f"can't use --data-dir {path}: {error.strerror}") from error
    foreign = {name for name in names - _MAY_COME_FIRST if not name.startswith(f"{_STORE}.new.")}
    if _STORE not in names and foreign:
        raise StoreError(
            f"--data-dir {path} is not a PoNAS data folder: it holds {min(foreign)!r}; "
            "nothing was changed there"
        )
    return DataFolder(path)
