"""From images and wishes to a task: split, sealed, and with terms that the chain takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nas.data.published import PAD_BYTES, PublishedData, check, pack_shard, pack_training
from nas.data.sources import Labelled, Parts
from nas.data.stored import normalisation, stratified_split
from nas.designs.genotype import Genotype
from nas.designs.shapes import InputShape
from nas.designs.space import Space
from nas.task import Task
from node.chain.hashing import blake, blob_hash, u64
from node.chain.published.manifest import chunks_of, make_manifest
from node.chain.published.sealing import hash_key, open_shard, seal, shard_key
from node.chain.published.terms import SCALE, SEAL_BYTES, Channel, Publish, SealedShard, ValueRange
from node.publishing.engine import TRIES, draw_designs, shard_data, training_data
from node.publishing.errors import PublishingError

_NONCE_BYTES = 24

RandomBytes = Callable[[int], bytes]


@dataclass(frozen=True)
class Offer:
    """What a publisher wants and pays.

    `rounds` are paid with `reward` base units each; every one opens a test shard of its own.
    A model needs `target` correct images of a shard, and `margin` more than the model that won the
    round before. `key_holders` may open a shard, any of them alone.
    """

    space: Space
    profile: str
    protocol: str
    epochs: int
    rounds: int
    reward: int
    target: int
    margin: int | None
    key_holders: tuple[bytes, ...]


@dataclass(frozen=True)
class Prepared:
    """A task with all its bytes: what the network may have, without the secret."""

    terms: Publish
    training: bytes
    ciphers: tuple[bytes, ...]

    @property
    def blobs(self) -> dict[bytes, bytes]:
        """Every chunk and manifest by its hash, as full nodes serve them."""
        blobs = []
        for content in (self.training, *self.ciphers):
            chunks = chunks_of(content)
            blobs += [*chunks, make_manifest(chunks)]
        return {blob_hash(blob): blob for blob in blobs}


def prepare(
    parts: Parts, offer: Offer, max_mac_images: int, secret: bytes, random_bytes: RandomBytes
) -> Prepared:
    """Split, seal and describe.

    The test images are dealt to the rounds by a hash under the secret, so that nobody can tell
    which are whose. Raises PublishingError, or DatasetError for images that can't be learnt from.
    """
    train, validation = stratified_split(parts.train)
    training = pack_training(train, validation)
    per_shard = len(parts.test.labels) // offer.rounds
    if not per_shard:
        raise PublishingError(
            f"{len(parts.test.labels)} test images do not go round {offer.rounds} rounds"
        )
    shards, ciphers = _seal_shards(parts.test, per_shard, offer.rounds, secret, random_bytes)
    channels = _channels(train)
    data = PublishedData(
        blob_hash(training),
        InputShape(*train.images.shape[1:]),
        parts.classes,
        len(train.labels),
        len(validation.labels),
        per_shard,
        tuple((channel.mean, channel.deviation) for channel in channels),
    )
    terms = Publish(
        nonce=0,
        fee=0,
        height=data.shape.height,
        width=data.shape.width,
        channels=channels,
        classes=data.classes,
        train_images=data.train,
        validation_images=data.validation,
        test_images=data.test,
        training_chunks=blob_hash(make_manifest(chunks_of(training))),
        training=data.training,
        shards=shards,
        layers=offer.space.layers,
        ranges=_ranges(offer.space),
        profile=offer.profile.encode("ascii"),
        protocol=offer.protocol.encode("ascii"),
        epochs=offer.epochs,
        witness=find_witness(_task(data, offer, max_mac_images)).to_bytes(),
        reward=offer.reward,
        target=offer.target,
        # Two standard errors of a count of which half are right: a smaller lead may be luck.
        margin=math.isqrt(per_shard) if offer.margin is None else offer.margin,
        key_holders=tuple(sorted(set(offer.key_holders))),
    )
    return Prepared(terms, training, ciphers)


def find_witness(task: Task) -> Genotype:
    """A feasible design of the task's space, the same at each call.

    Raises PublishingError if none of TRIES is: nobody could win such a task.
    """
    for design in draw_designs(task):
        return design.genotype
    raise PublishingError(
        f"none of {TRIES} designs of the space fits profile {task.profile} and the "
        "network's bound on evaluation; take a smaller space or fewer test images"
    )


def check_prepared(prepared: Prepared, secret: bytes) -> None:
    """Whether the bytes are the ones in the terms, and the secret opens every shard.

    Raises Rejected or DatasetError with what is wrong.
    """
    terms = prepared.terms
    check(training_data(terms), prepared.training)
    blobs = prepared.blobs
    named = (terms.training_chunks, *(shard.cipher for shard in terms.shards))
    if not all(name in blobs for name in named) or len(prepared.ciphers) != len(terms.shards):
        raise PublishingError("the chunks are not the ones that the terms name")
    for number, (shard, cipher) in enumerate(zip(terms.shards, prepared.ciphers, strict=True)):
        check(shard_data(terms, number), open_shard(shard, cipher, shard_key(secret, number)))


def _seal_shards(
    test: Labelled, per_shard: int, rounds: int, secret: bytes, random_bytes: RandomBytes
) -> tuple[tuple[SealedShard, ...], tuple[bytes, ...]]:
    order = sorted(
        range(len(test.labels)), key=lambda image: blake("ponas/task/deal", secret, u64(image))
    )
    shards, ciphers = [], []
    for number in range(rounds):
        dealt = np.array(order[number * per_shard : (number + 1) * per_shard])
        part = Labelled(test.images[dealt], test.labels[dealt])
        plain, key = pack_shard(part, random_bytes(PAD_BYTES)), shard_key(secret, number)
        cipher = seal(plain, key, random_bytes(_NONCE_BYTES))
        if len(cipher) != len(plain) + SEAL_BYTES:
            raise PublishingError("the seal is longer than the protocol takes")
        manifest = make_manifest(chunks_of(cipher))
        shards.append(SealedShard(blob_hash(manifest), blob_hash(plain), hash_key(key)))
        ciphers.append(cipher)
    return tuple(shards), tuple(ciphers)


def _channels(train: Labelled) -> tuple[Channel, ...]:
    means, deviations = normalisation(train.images)
    return tuple(
        Channel(int(mean * SCALE), int(deviation * SCALE))
        for mean, deviation in zip(means, deviations, strict=True)
    )


def _ranges(space: Space) -> tuple[ValueRange, ...]:
    if len(set(space.ranges)) != 1:
        raise PublishingError("a published space has the same ten ranges in every layer")
    return tuple(ValueRange(bytes(values)) for values in space.ranges[0])


def _task(data: PublishedData, offer: Offer, max_mac_images: int) -> Task:
    return Task(data.name, offer.space, offer.protocol, offer.epochs, offer.profile, max_mac_images)
