"""A small published task whose every rule holds, to break on purpose."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from node.chain.published.limits import TaskLimits
from node.chain.published.record import TaskRecord
from node.chain.published.sealing import hash_key, shard_key
from node.chain.published.terms import Channel, Publish, SealedShard, ValueRange

LIMITS = TaskLimits(
    max_data_bytes=100_000,
    max_mac_images=10**9,
    min_test_images=20,
    publish_fee_per_kib=7,
    lifetime_rounds=50,
    download_bytes_per_s=1_000_000,
    evaluation_macs_per_s=10**9,
    training_macs_per_s=10**9,
    min_difficulty_ms=100,
)
SUBSIDY = 1_000
SECRET = b"secret of the publisher ........"
RANGES = ((1, 3), (1, 3), (2, 4), (1, 2), (1,), (2,), (1,), (2,), (1,), (3,))
WITNESS = bytes((3, 1, 2, 1, 1, 2, 1, 2, 1, 3)) * 2


def some_hash(name: str) -> bytes:
    return name.encode().ljust(32, b".")


def make_shards(count: int) -> tuple[SealedShard, ...]:
    return tuple(
        SealedShard(
            some_hash(f"cipher {n}"), some_hash(f"plain {n}"), hash_key(shard_key(SECRET, n))
        )
        for n in range(count)
    )


def make_terms(**changes: Any) -> Publish:
    """Terms that the chain takes, with some fields changed."""
    terms = Publish(
        nonce=0,
        fee=0,
        height=4,
        width=6,
        channels=(Channel(5_000, 2_500),) * 2,
        classes=4,
        train_images=60,
        validation_images=10,
        test_images=20,
        training_chunks=some_hash("training chunks"),
        training=some_hash("training data"),
        shards=make_shards(3),
        layers=2,
        ranges=tuple(ValueRange(bytes(values)) for values in RANGES),
        profile=b"paper",
        protocol=b"qat",
        epochs=2,
        witness=WITNESS,
        reward=2 * SUBSIDY,
        target=16,
        margin=1,
        key_holders=(some_hash("holder"),),
    )
    return replace(terms, **changes)


def make_record(publisher: str = "publisher", **changes: Any) -> TaskRecord:
    """A queued task, with some fields of the record changed."""
    terms = changes.pop("terms", None) or make_terms()
    record = TaskRecord(some_hash(publisher), terms, difficulty_ms=1_000, queued_round=1, place=0)
    return replace(record, **changes)
