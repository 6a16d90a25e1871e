"""What a publisher asks for and offers: the terms of a task, as they are signed (consensus C).

Sizes, lengths and hashes are declared here once; everything else about the data follows from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from node.chain.codec import MAX_UINT32, Bytes, RepeatedBytes, RepeatedMessage, Uint

MAX_SHARDS = 32
MAX_KEY_HOLDERS = 5
MAX_CHANNELS = 4
MAX_SIDE = 1024
"""Pixels of an image's height or width."""
MAX_TEST_IMAGES = 2**16
MAX_CLASSES = 256
MAX_LAYERS = 64
MAX_EPOCHS = 900
"""A pool's result names the state after each epoch, and has to fit its message."""
RANGES = 10
"""Hyperparameters of a layer, in the order of Tables 1 and 2 of the paper."""
GENES = 10
"""Bytes of a genotype for each layer."""
SCALE = 10_000
"""Means and deviations of pixels from 0 to 1 count in ten-thousandths."""
PAD_BYTES = 32
SEAL_BYTES = 40
"""What sealing adds to a shard: the nonce and the authenticator of NaCl's SecretBox."""


@dataclass(frozen=True)
class Channel:
    """How pixels of one channel are normalised, in ten-thousandths of the full scale."""

    mean: Annotated[int, Uint(1, SCALE)]
    deviation: Annotated[int, Uint(2, SCALE)]


@dataclass(frozen=True)
class SealedShard:
    """One test set for one paid round.

    `cipher` is the hash of the manifest of the sealed bytes (`node.chain.published.manifest`),
    `plain` that of the opened bytes, `key` that of the key (`node.chain.published.sealing`).
    """

    cipher: Annotated[bytes, Bytes(1)]
    plain: Annotated[bytes, Bytes(2)]
    key: Annotated[bytes, Bytes(3)]


@dataclass(frozen=True)
class ValueRange:
    """The values that one hyperparameter may take, ascending."""

    values: Annotated[bytes, Bytes(1, 1, 255)]


@dataclass(frozen=True)
class Publish:
    """A task in full, as its publisher signs it.

    `reward` is in base units for each shard, that is for each paid round. A claim needs at least
    `target` correct images and, once a shard was won, `margin` more than the last winner's model
    gets on the new shard. `training` is the hash of the training data, `training_chunks` that of
    their manifest. `witness` is a design that fits the task's own space and profile, so that there
    is one.
    """

    nonce: Annotated[int, Uint(1)]
    fee: Annotated[int, Uint(2)]
    height: Annotated[int, Uint(3, MAX_SIDE)]
    width: Annotated[int, Uint(4, MAX_SIDE)]
    channels: Annotated[tuple[Channel, ...], RepeatedMessage(5, MAX_CHANNELS, Channel)]
    classes: Annotated[int, Uint(6, MAX_CLASSES)]
    train_images: Annotated[int, Uint(7, MAX_UINT32)]
    validation_images: Annotated[int, Uint(8, MAX_UINT32)]
    test_images: Annotated[int, Uint(9, MAX_TEST_IMAGES)]
    training_chunks: Annotated[bytes, Bytes(10)]
    training: Annotated[bytes, Bytes(11)]
    shards: Annotated[tuple[SealedShard, ...], RepeatedMessage(12, MAX_SHARDS, SealedShard)]
    layers: Annotated[int, Uint(13, MAX_LAYERS)]
    ranges: Annotated[tuple[ValueRange, ...], RepeatedMessage(14, RANGES, ValueRange)]
    profile: Annotated[bytes, Bytes(15, 1, 32)]
    protocol: Annotated[bytes, Bytes(16, 1, 16)]
    epochs: Annotated[int, Uint(17, MAX_EPOCHS)]
    witness: Annotated[bytes, Bytes(18, 1, MAX_LAYERS * GENES)]
    reward: Annotated[int, Uint(19)]
    target: Annotated[int, Uint(20, MAX_TEST_IMAGES)]
    margin: Annotated[int, Uint(21, MAX_TEST_IMAGES)]
    key_holders: Annotated[tuple[bytes, ...], RepeatedBytes(22, most=MAX_KEY_HOLDERS)]

    @property
    def image_bytes(self) -> int:
        """Bytes of one image with its label."""
        return len(self.channels) * self.height * self.width + 1

    @property
    def training_bytes(self) -> int:
        """Length of the training data."""
        return (self.train_images + self.validation_images) * self.image_bytes

    @property
    def plain_bytes(self) -> int:
        """Length of an opened shard."""
        return self.test_images * self.image_bytes + PAD_BYTES

    @property
    def cipher_bytes(self) -> int:
        """Length of a sealed shard."""
        return self.plain_bytes + SEAL_BYTES

    @property
    def data_bytes(self) -> int:
        """Everything that a full node fetches and serves for the task."""
        return self.training_bytes + len(self.shards) * self.cipher_bytes

    @property
    def escrow(self) -> int:
        """Base units that the rewards of all shards come to."""
        return len(self.shards) * self.reward


@dataclass(frozen=True)
class Cancel:
    """Takes a task of the signer's out of the queue; what was not reserved is given back."""

    nonce: Annotated[int, Uint(1)]
    fee: Annotated[int, Uint(2)]
    task: Annotated[bytes, Bytes(3)]


@dataclass(frozen=True)
class Rebond:
    """A deposit of one reward, for a task that is suspended because a key was withheld."""

    nonce: Annotated[int, Uint(1)]
    fee: Annotated[int, Uint(2)]
    task: Annotated[bytes, Bytes(3)]


@dataclass(frozen=True)
class Key:
    """A key holder opens the shard of a round."""

    round: Annotated[int, Uint(1)]
    task: Annotated[bytes, Bytes(2)]
    shard: Annotated[int, Uint(3, MAX_SHARDS - 1)]
    key: Annotated[bytes, Bytes(4)]
