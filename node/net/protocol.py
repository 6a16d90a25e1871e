"""The peer protocol: what nodes refuse, how much they allow, and what they ask of the chain."""

from collections.abc import Awaitable, Mapping, Sequence
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import NamedTuple, Protocol

from node.chain.envelope import Signed
from node.chain.messages import Claim, Envelope, Fallback
from node.store.blobs import PART_BYTES, Part
from node.wire import WireBlock

PROTOCOL_VERSION = 2

Header = Signed[Claim] | Signed[Fallback]

# Every chunk of a blob but the last is exactly this long, so that nobody can drip-feed one. As
# long as the rows that blobs lie in, so that to serve one takes one row.
CHUNK_BYTES = PART_BYTES
# Headers and bodies asked for at once, and what an answer may weigh.
MAX_HEADERS = 512
MAX_BODIES = 128
SYNC_BYTES = 3 * 1024 * 1024
MAX_LOCATOR = 64
# Addresses in an answer.
MAX_ADDRESSES = 64

HELLO_TIMEOUT_S = 10.0
# Short, because another peer can be asked instead within the phase of a round; and how long
# nothing may come until another one is asked as well, several times a round trip.
CHUNK_TIMEOUT_S = 3.0
HEDGE_MS = 200
# How long a question for a blob waits where the blob is itself on its way: about as long as it is
# from a neighbour, and less than until another peer is asked, since two may wait for each other.
BLOB_WAIT_MS = 100
SYNC_TIMEOUT_S = 15.0
# A peer is asked for its clock this often; one that is silent for the time-out is given up.
PING_EVERY_MS = 30_000
PING_TIMEOUT_S = 60.0
# Dialled peers are asked for other nodes when they connect, and then this often.
ADDRESSES_EVERY_MS = 3_600_000
ADDRESSES_TIMEOUT_S = 60.0
# Short, since the answers of all peers are waited for.
SNAPSHOT_TIMEOUT_S = 5.0


class KindLimit(NamedTuple):
    """How many messages of a kind a peer may send, and how large each may be."""

    at_once: int
    per_minute: int
    max_bytes: int


_REQUEST_BYTES = 4 * 1024
_ANSWER_BYTES = 4 * 1024 * 1024
# Faster peers are slowed by not reading on. Honest traffic is a few messages a second, and what
# was asked for: answers that nobody asked for are refused whatever their number.
KIND_LIMITS: Mapping[str, KindLimit] = MappingProxyType(
    {
        "gossip": KindLimit(2_000, 30_000, 16 * 1024),
        "get_blob": KindLimit(256, 3_840, _REQUEST_BYTES),
        "blob_chunk": KindLimit(256, 30_000, CHUNK_BYTES + _REQUEST_BYTES),
        "blob_missing": KindLimit(256, 30_000, _REQUEST_BYTES),
        "get_headers": KindLimit(16, 240, _REQUEST_BYTES),
        "headers": KindLimit(64, 30_000, _ANSWER_BYTES),
        "get_bodies": KindLimit(64, 1_200, 8 * 1024),
        "get_ancestors": KindLimit(16, 240, _REQUEST_BYTES),
        "bodies": KindLimit(64, 30_000, _ANSWER_BYTES),
        "ping": KindLimit(4, 12, _REQUEST_BYTES),
        "pong": KindLimit(64, 30_000, _REQUEST_BYTES),
        "get_addresses": KindLimit(2, 2, _REQUEST_BYTES),
        "addresses": KindLimit(64, 30_000, 8 * 1024),
        "get_snapshot": KindLimit(4, 30, _REQUEST_BYTES),
        "snapshot": KindLimit(64, 30_000, _REQUEST_BYTES),
    }
)
# What can't be told what it is, and greetings that come twice.
OTHER_LIMIT = KindLimit(32, 60, _REQUEST_BYTES)


class Refusal(StrEnum):
    """Why the peer protocol refuses a message or a link; rules of the chain have `Reason`.

    Values are part of the interface, like those of `Reason`.
    """

    NO_HELLO = "no-hello"
    WRONG_NETWORK = "wrong-network"
    WRONG_VERSION = "wrong-version"
    WRONG_RULES = "wrong-rules"
    OWN_IDENTITY = "own-identity"
    BAD_PROOF = "bad-proof"
    DUPLICATE_CONNECTION = "duplicate-connection"
    TOO_MANY_PEERS = "too-many-peers"
    MALFORMED = "malformed"
    OVERSIZED = "oversized"
    REPLAYED = "replayed"
    UNASKED = "unasked"
    WRONG_HASH = "wrong-hash"
    TOO_SLOW = "too-slow"
    TOO_MANY_REQUESTS = "too-many-requests"
    TOO_MANY_REFUSED = "too-many-refused"
    LOST_BRANCH = "lost-branch"
    BROKEN_HEADERS = "broken-headers"
    BAD_ADDRESS = "bad-address"
    FALSE_SNAPSHOT = "false-snapshot"
    BANNED = "banned"


class Refused(Exception):
    """A peer broke a rule of the protocol; `detail` is a sentence for people."""

    def __init__(self, reason: Refusal, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Gossip(Enum):
    """What is to become of a gossiped object that breaks no rule."""

    RELAY = "new and valid: pass it on"
    DROP = "known or stale: pass nothing on"
    DEFER = "not decidable yet: forget it was here, so that another peer may bring it"


class ChainHandler(Protocol):
    """What the peer protocol asks of the consensus node. Nothing here may block."""

    def head(self) -> tuple[int, bytes]:
        """Round and id of the head."""
        ...

    def on_gossip(self, envelope: Envelope) -> Gossip | Awaitable[Gossip]:
        """Judge an object; what takes long is judged while the loop goes on.

        Raises:
            Rejected: it breaks a rule, which is counted against its sender.
        """
        ...

    def locator(self) -> Sequence[bytes]:
        """Ids of known blocks, newest first, thinning out towards genesis."""
        ...

    def knows(self, block_id: bytes) -> bool:
        """Whether the block is here."""
        ...

    def headers_after(
        self, locator: Sequence[bytes], limit: int
    ) -> tuple[Sequence[Envelope], Sequence[Envelope]]:
        """Headers in chain order after the newest of `locator`, and votes above the final block."""
        ...

    def headers_down(self, block_id: bytes, limit: int) -> Sequence[Envelope]:
        """Headers of a block of the followed chain and of those below it, as far as they are here,
        the highest first."""
        ...

    def body(self, block_id: bytes) -> bytes | None:
        """The body of a block of this node, or None."""
        ...

    async def missing(
        self, headers: Sequence[Header], votes: Sequence[Envelope]
    ) -> Sequence[Header]:
        """Those of a peer's headers, a chain on a known block, whose bodies are to be asked for.

        Signatures are not checked before, but here, and only of what is missing.

        Raises:
            Refused: they lead nowhere.
            Rejected: one of them breaks a rule, which is counted against the peer.
        """
        ...

    async def on_blocks(
        self, blocks: Sequence[WireBlock], votes: Sequence[Envelope], *, more_follow: bool = False
    ) -> bool:
        """Take in blocks and votes of a peer; whether something was new.

        If `more_follow`, blocks that no quorum vouches for are left: votes may be on their way.

        Raises:
            Rejected: one of them breaks a rule, which is counted against the peer.
        """
        ...

    def snapshot(self, block_id: bytes) -> bytes:
        """The hash of the blob that holds the state after a block; empty if it is not kept."""
        ...

    def blob_part(self, blob_hash: bytes, offset: int) -> Part | None:
        """At most `CHUNK_BYTES` from an offset on of a blob that this node serves, or None."""
        ...
