"""How a block lies in the store."""

from dataclasses import dataclass
from typing import Annotated, Self

from node.chain.block import Block, open_block
from node.chain.codec import Bytes, Uint, decode, encode
from node.chain.hashing import u64
from node.chain.messages import MAX_PAYLOAD_BYTES, Envelope
from node.chain.published.terms import MAX_SHARDS, Publish

_OVERHEAD_BYTES = 256


@dataclass(frozen=True)
class HeaderRecord:
    """What of a block lies apart from its body; `logits_hash` is empty if this node has not counted
    its model."""

    header: Annotated[bytes, Bytes(1, 1, MAX_PAYLOAD_BYTES + _OVERHEAD_BYTES)]
    logits_hash: Annotated[bytes, Bytes(2, 0)]

    @classmethod
    def of(cls, header: Envelope, logits_hash: bytes = b"") -> Self:
        return cls(encode(header), logits_hash)

    @property
    def envelope(self) -> Envelope:
        """The signed header."""
        return decode(Envelope, self.header)


@dataclass(frozen=True)
class BlockRecord:
    """A block as it came."""

    row: HeaderRecord
    body: bytes

    @classmethod
    def of(cls, block: Block, logits_hash: bytes) -> Self:
        return cls(HeaderRecord.of(block.header.envelope, logits_hash), block.body_bytes)

    def open(self, network_id: bytes) -> Block:
        """Raises Rejected, which only a damaged record does."""
        return open_block(self.row.envelope, self.body, network_id)


@dataclass(frozen=True)
class TaskWin:
    """The shard of a published task that a block has won; the chain itself forgets done tasks."""

    task_id: Annotated[bytes, Bytes(1)]
    shard: Annotated[int, Uint(2, MAX_SHARDS - 1)]
    terms_bytes: Annotated[bytes, Bytes(3, 1, MAX_PAYLOAD_BYTES)]
    publisher: Annotated[bytes, Bytes(4)]
    model_hash: Annotated[bytes, Bytes(5)]

    @property
    def terms(self) -> Publish:
        """What the task asks for; decoded here, since most who read wins need no terms."""
        return decode(Publish, self.terms_bytes)


def block_key(height: int, block_id: bytes) -> bytes:
    """Blocks lie in the order of their heights."""
    return u64(height) + block_id


def height_of(key: bytes) -> int:
    """The height in the key of a block."""
    return int.from_bytes(key[:8], "big")


def id_of(key: bytes) -> bytes:
    """The id in the key of a block."""
    return key[8:]
