"""The data of published tasks on a full node: fetched chunk by chunk, served on, opened in time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator

import structlog

from nas.data.dataset import DatasetError
from node.chain.codec import decode, encode
from node.chain.errors import Reason, Rejected
from node.chain.published.manifest import manifest_bytes, read_manifest
from node.chain.published.record import Entry, PaidShard
from node.chain.published.sealing import hash_key, open_shard, shard_key
from node.chain.published.terms import Publish
from node.net.blobs import NotFound
from node.publishing.engine import shard_data, training_data
from node.publishing.shelf import OwnTask, Shelf
from node.store.base import Change, Delete, Put, Store, Table
from node.store.writer import Writer

_log = structlog.get_logger("publishing")

Fetch = Callable[[bytes, int], Awaitable[bytes]]


class TaskLibrary:
    """Keeps what the queued tasks are made of.

    Every chunk is checked and stored by itself, so that a download goes on where it stopped, also
    after a restart. `fetch` gets a blob by its hash from peers, or raises NotFound.
    """

    def __init__(self, store: Store, writer: Writer, fetch: Fetch, shelf: Shelf) -> None:
        self._store = store
        self._writer = writer
        self._fetch = fetch
        self._shelf = shelf
        # Also those of before a restart, whose data may have to go.
        self._terms = {i: decode(Publish, data) for i, data in store.scan(Table.TASK_TERMS)}
        self._own: list[Publish] = []
        self._keys: dict[bytes, bytes] = {}
        self._held: set[bytes] = set()
        self._spoilt: set[bytes] = set()
        self._is_at_work = False

    def blob(self, blob_hash: bytes) -> bytes | None:
        """A chunk or manifest that this node serves."""
        return self._store.get(Table.TASK_DATA, blob_hash)

    def key(self, key_hash: bytes) -> bytes | None:
        """The key with this hash, if this node can make it."""
        return self._keys.get(key_hash)

    def can_train(self, terms: Publish) -> bool:
        """Whether the images to train on are here."""
        return self._shelf.is_kept(training_data(terms))

    def held_places(self, tasks: Iterable[Entry]) -> list[int]:
        """Places of the tasks of which everything is here: what a vote says."""
        return [record.place for task_id, record in tasks if task_id in self._held]

    async def follow(self, tasks: Iterable[Entry]) -> None:
        """Fetch what is missing of these tasks, and drop what belongs to none; once at a time."""
        if self._is_at_work:
            return
        self._is_at_work = True
        try:
            for own in self._shelf.new_tasks():
                await self._take_in(own)
            await self._set_tasks({task_id: record.terms for task_id, record in tasks})
            for task_id in sorted(self._terms.keys() - self._held - self._spoilt):
                await self._complete(task_id)
        finally:
            self._is_at_work = False

    async def open(self, paid: PaidShard, key: bytes) -> None:
        """Have the test images of a shard ready for counting.

        Raises Rejected(SECRETS) if the key opens no shard as declared, and NotFound.
        """
        data = shard_data(paid.terms, paid.shard)
        if self._shelf.is_kept(data):
            return
        cipher = await self._content(paid.sealed.cipher, paid.terms.cipher_bytes)
        plain = open_shard(paid.sealed, cipher, key)
        try:
            await self._shelf.keep(data, plain)
        except DatasetError as error:
            raise Rejected(Reason.SECRETS, str(error)) from error

    async def _take_in(self, own: OwnTask) -> None:
        """Serve a task of this machine's own, and be able to open its shards."""
        terms = own.prepared.terms
        self._own.append(terms)
        keys = (shard_key(own.secret, shard) for shard in range(len(terms.shards)))
        self._keys.update({hash_key(key): key for key in keys})
        blobs = own.prepared.blobs.items()
        await self._writer.write([Put(Table.TASK_DATA, name, blob) for name, blob in blobs])
        _log.info("serving_own_task", training=terms.training.hex())

    async def _set_tasks(self, tasks: dict[bytes, Publish]) -> None:
        gone = {task_id: self._terms[task_id] for task_id in self._terms.keys() - tasks.keys()}
        new = tasks.keys() - self._terms.keys()
        self._terms = tasks
        self._held &= tasks.keys()
        self._spoilt &= tasks.keys()
        changes: list[Change] = [Put(Table.TASK_TERMS, i, encode(tasks[i])) for i in sorted(new)]
        if gone:
            # Tasks may share their training data.
            kept = {name for terms in (*tasks.values(), *self._own) for name in self._names(terms)}
            for task_id, terms in sorted(gone.items()):
                self._forget(terms)
                stale = set(self._names(terms)) - kept
                changes += [Delete(Table.TASK_DATA, name) for name in sorted(stale)]
                changes.append(Delete(Table.TASK_TERMS, task_id))
        if changes:
            await self._writer.write(changes)

    async def _complete(self, task_id: bytes) -> None:
        """Get and check all of a task; what does not come is tried again in the next round."""
        terms = self._terms[task_id]
        try:
            training = await self._content(terms.training_chunks, terms.training_bytes)
            if not self._shelf.is_kept(training_data(terms)):
                await self._shelf.keep(training_data(terms), training)
            for shard in terms.shards:
                await self._content(shard.cipher, terms.cipher_bytes)
        except NotFound as error:
            _log.info("task_incomplete", task=task_id, reason=str(error))
        except (DatasetError, Rejected) as error:
            self._spoilt.add(task_id)
            _log.warning("task_spoilt", task=task_id, reason=str(error))
        else:
            self._held.add(task_id)
            _log.info("task_held", task=task_id, bytes=terms.data_bytes)

    async def _content(self, manifest_hash: bytes, length: int) -> bytes:
        """All bytes behind a manifest. Raises NotFound, and Rejected for one of another length."""
        manifest = await self._blob(manifest_hash, manifest_bytes(length))
        return b"".join(
            [await self._blob(chunk, size) for chunk, size in read_manifest(manifest, length)]
        )

    async def _blob(self, blob_hash: bytes, most_bytes: int) -> bytes:
        blob = self.blob(blob_hash)
        if blob is None:
            blob = await self._fetch(blob_hash, most_bytes)
            await self._writer.write([Put(Table.TASK_DATA, blob_hash, blob)])
        return blob

    def _names(self, terms: Publish) -> Iterator[bytes]:
        """Hashes of what is to be kept for a task, as far as its manifests are here."""
        contents = [(terms.training_chunks, terms.training_bytes)]
        contents += [(shard.cipher, terms.cipher_bytes) for shard in terms.shards]
        for manifest_hash, length in contents:
            yield manifest_hash
            manifest = self.blob(manifest_hash)
            if manifest is not None and len(manifest) == manifest_bytes(length):
                yield from (chunk for chunk, _ in read_manifest(manifest, length))

    def _forget(self, terms: Publish) -> None:
        if all(kept.training != terms.training for kept in self._terms.values()):
            self._shelf.forget(training_data(terms))
        for shard in range(len(terms.shards)):
            self._shelf.forget(shard_data(terms, shard))
