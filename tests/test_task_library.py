"""The data of published tasks on a node: checked piece by piece, resumed, served, dropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from node.chain.errors import Reason, Rejected
from node.chain.published.record import PaidShard, TaskRecord
from node.chain.published.sealing import hash_key, shard_key
from node.net.blobs import NotFound
from node.publishing.engine import shard_data, training_data
from node.publishing.folder import write_prepared
from node.publishing.library import TaskLibrary
from node.publishing.prepare import Prepared
from node.publishing.shelf import DiskShelf, MemoryShelf, OwnTask
from node.store.base import Table
from node.store.memory import MemoryStore
from node.store.writer import InlineWriter
from tests.task_world import SECRET, make_record, some_hash
from tests.test_publishing import make

MADE = make()
TASK = some_hash("task")


class Peers:
    """Serves some blobs; tells who was asked for what."""

    def __init__(self, blobs: Mapping[bytes, bytes]) -> None:
        self.blobs = dict(blobs)
        self.asked: list[bytes] = []

    async def fetch(self, wanted: bytes, max_bytes: int) -> bytes:
        self.asked.append(wanted)
        if wanted not in self.blobs:
            raise NotFound("nobody has it")
        assert len(self.blobs[wanted]) <= max_bytes
        return self.blobs[wanted]


class Bench:
    """A library with its store, shelf and peers; `restart` leaves store and shelf."""

    def __init__(self, peers: Mapping[bytes, bytes], own: tuple[OwnTask, ...] = ()) -> None:
        self.peers, self.store, self.shelf = Peers(peers), MemoryStore(), MemoryShelf(own)
        self.restart()

    def restart(self) -> None:
        writer = InlineWriter(self.store)
        self.library = TaskLibrary(self.store, writer, self.peers.fetch, self.shelf)

    async def follow(self, *made: Prepared) -> None:
        await self.library.follow([(TASK, record(made[0]))] if made else [])

    def holds(self) -> bool:
        return self.library.held_places([(TASK, record(MADE))]) == [0]

    def rows(self) -> int:
        return len(list(self.store.scan(Table.TASK_DATA)))


def record(made: Prepared) -> TaskRecord:
    return make_record(terms=made.terms)


def paid(made: Prepared = MADE, shard: int = 0) -> PaidShard:
    return PaidShard(TASK, record(made), shard)


async def test_a_task_is_fetched_checked_kept_and_served() -> None:
    bench = Bench(MADE.blobs)
    await bench.follow(MADE)
    assert bench.holds()
    assert bench.library.can_train(MADE.terms)
    assert all(bench.library.blob(name) == blob for name, blob in MADE.blobs.items())


async def test_a_download_goes_on_where_it_stopped_also_after_a_restart() -> None:
    last = MADE.terms.shards[1].cipher
    bench = Bench({name: blob for name, blob in MADE.blobs.items() if name != last})
    await bench.follow(MADE)
    assert not bench.holds()
    bench.peers.blobs[last] = MADE.blobs[last]
    bench.peers.asked.clear()
    bench.restart()
    await bench.follow(MADE)
    assert bench.holds()
    # The manifest that was missing, and the one chunk that it names.
    assert len(bench.peers.asked) == 2
    assert bench.peers.asked[0] == last


async def test_a_task_of_ones_own_needs_no_peer_and_opens() -> None:
    bench = Bench({}, own=(OwnTask(MADE, SECRET),))
    await bench.follow()
    assert all(bench.library.blob(name) == blob for name, blob in MADE.blobs.items())
    await bench.follow(MADE)
    assert bench.holds()
    key = shard_key(SECRET, 1)
    assert bench.library.key(hash_key(key)) == key
    assert bench.library.key(b"k" * 32) is None


async def test_data_that_are_not_as_promised_are_never_said_to_be_held() -> None:
    wrong = replace(MADE, terms=replace(MADE.terms, training=some_hash("other")))
    bench = Bench(MADE.blobs)
    await bench.follow(wrong)
    assert not bench.holds()
    assert not bench.library.can_train(wrong.terms)
    bench.peers.asked.clear()
    await bench.follow(wrong)
    assert bench.peers.asked == []


async def test_a_manifest_of_another_length_is_refused() -> None:
    # As long as a manifest of one chunk, where the declared images need three.
    terms = replace(MADE.terms, train_images=40_000)
    bench = Bench(MADE.blobs)
    await bench.follow(replace(MADE, terms=terms))
    assert not bench.holds()
    assert bench.peers.asked == [terms.training_chunks]


async def test_a_key_opens_a_shard_for_the_workers() -> None:
    bench = Bench(MADE.blobs)
    await bench.library.open(paid(), shard_key(SECRET, 0))
    assert bench.shelf.is_kept(shard_data(MADE.terms, 0))
    assert not bench.shelf.is_kept(shard_data(MADE.terms, 1))


@pytest.mark.parametrize("key", [b"", shard_key(SECRET, 1)])
async def test_a_key_that_opens_nothing_is_told(key: bytes) -> None:
    with pytest.raises(Rejected) as refused:
        await Bench(MADE.blobs).library.open(paid(), key)
    assert refused.value.reason is Reason.SECRETS


async def test_a_shard_whose_bytes_nobody_has_stays_closed() -> None:
    with pytest.raises(NotFound):
        await Bench({}).library.open(paid(), shard_key(SECRET, 0))


@pytest.mark.parametrize("restarts", [False, True])
async def test_what_belongs_to_no_task_is_dropped(restarts: bool) -> None:
    bench = Bench(MADE.blobs)
    await bench.follow(MADE)
    await bench.library.open(paid(), shard_key(SECRET, 0))
    if restarts:
        bench.restart()
    await bench.follow()
    assert bench.rows() == 0
    assert list(bench.store.scan(Table.TASK_TERMS)) == []
    assert not bench.shelf.is_kept(training_data(MADE.terms))
    assert not bench.shelf.is_kept(shard_data(MADE.terms, 0))


async def test_ones_own_data_stay_when_the_task_is_done() -> None:
    bench = Bench({}, own=(OwnTask(MADE, SECRET),))
    await bench.follow(MADE)
    await bench.follow()
    assert bench.rows() == len(MADE.blobs)


def test_prepared_folders_are_told_once_and_only_sound_ones(tmp_path: Path) -> None:
    shelf = DiskShelf(tmp_path)
    assert shelf.new_tasks() == []
    write_prepared(tmp_path / "sound", MADE, SECRET)
    write_prepared(tmp_path / "spoilt", MADE, b"another secret, which opens none")
    assert shelf.new_tasks() == [OwnTask(MADE, SECRET)]
    assert shelf.new_tasks() == []


async def test_the_disk_keeps_what_workers_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PONAS_CACHE", str(tmp_path))
    shelf, data = DiskShelf(tmp_path / "tasks"), training_data(MADE.terms)
    await shelf.keep(data, MADE.training)
    assert shelf.is_kept(data)
    shelf.forget(data)
    assert not shelf.is_kept(data)
