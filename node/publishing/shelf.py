"""This machine's side of published tasks: images for its workers, and tasks of its own to offer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from nas.data import published
from nas.data.dataset import DatasetError
from nas.data.published import PublishedData
from node.chain.errors import Rejected
from node.publishing.errors import PublishingError
from node.publishing.folder import read_prepared, read_secret
from node.publishing.prepare import Prepared, check_prepared

_log = structlog.get_logger("publishing")


@dataclass(frozen=True)
class OwnTask:
    """A task that this node serves from the start, and whose shards it can open."""

    prepared: Prepared
    secret: bytes


class Shelf(Protocol):
    """Where opened images are kept, and tasks of this machine's own come from."""

    async def keep(self, data: PublishedData, content: bytes) -> None:
        """Keep bytes for the workers. Raises DatasetError unless they are the named ones."""
        ...

    def is_kept(self, data: PublishedData) -> bool:
        """Whether the bytes are here."""
        ...

    def forget(self, data: PublishedData) -> None:
        """Drop the bytes, if they are here."""
        ...

    def new_tasks(self) -> Sequence[OwnTask]:
        """Own tasks that were not told before."""
        ...


class MemoryShelf:
    """Checks bytes and keeps none: for executors that read no images."""

    def __init__(self, own: Sequence[OwnTask] = ()) -> None:
        self._kept: set[PublishedData] = set()
        self._own = own

    async def keep(self, data: PublishedData, content: bytes) -> None:
        published.check(data, content)
        self._kept.add(data)

    def is_kept(self, data: PublishedData) -> bool:
        return data in self._kept

    def forget(self, data: PublishedData) -> None:
        self._kept.discard(data)

    def new_tasks(self) -> Sequence[OwnTask]:
        told, self._own = self._own, ()
        return told


class DiskShelf:
    """The workers' cache, and a folder of prepared tasks (`node.publishing.folder`)."""

    def __init__(self, tasks: Path) -> None:
        self._tasks = tasks
        self._told: set[str] = set()

    async def keep(self, data: PublishedData, content: bytes) -> None:
        # Hashing and syncing megabytes must not hold up votes.
        await asyncio.to_thread(published.keep, data, content)

    def is_kept(self, data: PublishedData) -> bool:
        return published.is_kept(data)

    def forget(self, data: PublishedData) -> None:
        published.forget(data)

    def new_tasks(self) -> Sequence[OwnTask]:
        """Prepared tasks that are sound; of another one the log says once what is wrong with it."""
        found = []
        for folder in sorted(self._tasks.glob("*/terms")):
            if folder.parent.name not in self._told:
                self._told.add(folder.parent.name)
                try:
                    own = OwnTask(read_prepared(folder.parent), read_secret(folder.parent))
                    check_prepared(own.prepared, own.secret)
                    found.append(own)
                except (PublishingError, DatasetError, Rejected) as error:
                    _log.error("own_task_unusable", folder=str(folder.parent), reason=str(error))
        return found
