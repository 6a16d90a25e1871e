"""What a node knows of its peers from one run to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import structlog

from node.net.addressbook import Known
from node.net.bans import Ban
from node.store.base import Put, Store, Table
from node.store.writer import Writer
from node.tasks import TaskOwner

T = TypeVar("T")

_log = structlog.get_logger("peers")


@dataclass(frozen=True)
class Remembered:
    """Addresses known, those to dial first, and bans."""

    known: tuple[Known, ...] = ()
    anchors: tuple[str, ...] = ()
    bans: tuple[Ban, ...] = ()


class PeerMemory:
    """Keeps it in the store; writes in the background."""

    def __init__(self, store: Store, writer: Writer, tasks: TaskOwner) -> None:
        self._store = store
        self._writer = writer
        self._tasks = tasks

    def load(self) -> Remembered:
        """What was kept. A record that can't be read is left out: peers will tell it again."""
        return Remembered(
            self._read("known", tuple[Known, ...]),
            self._read("anchors", tuple[str, ...]),
            self._read("bans", tuple[Ban, ...]),
        )

    def keep_known(self, known: Sequence[Known]) -> None:
        """Replace the addresses."""
        self._keep("known", known)

    def keep_anchors(self, anchors: Sequence[str]) -> None:
        """Replace the addresses to dial first."""
        self._keep("anchors", anchors)

    def keep_bans(self, bans: Sequence[Ban]) -> None:
        """Replace the bans."""
        self._keep("bans", bans)

    def _read(self, name: str, kind: type[T]) -> T:
        data = self._store.get(Table.PEERS, name.encode())
        try:
            return msgspec.json.decode(data or b"[]", type=kind)
        except msgspec.DecodeError as error:
            _log.warning("peers_forgotten", record=name, reason=str(error))
            return msgspec.json.decode(b"[]", type=kind)

    def _keep(self, name: str, records: Sequence[object]) -> None:
        change = Put(Table.PEERS, name.encode(), msgspec.json.encode(records))
        self._tasks.spawn(self._writer.write([change]), name=f"keep {name}")
