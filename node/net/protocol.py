"""The peer protocol: what nodes refuse, how much they allow, and what they ask of the chain."""

from collections.abc import Sequence
from enum import Enum, StrEnum
from typing import Protocol

from node.chain.messages import Envelope
from node.wire import WireBlock

PROTOCOL_VERSION = 1

# Every chunk of a blob but the last is exactly this long, so that nobody can drip-feed one.
CHUNK_BYTES = 1024 * 1024
# Blocks asked for at once, and what an answer may weigh together with its votes.
SYNC_BATCH = 64
SYNC_BYTES = 3 * 1024 * 1024
MAX_LOCATOR = 64

HELLO_TIMEOUT_S = 10.0
# Short, because another peer can be asked instead within the phase of a round; and how long
# nothing may come until another one is asked as well, several times a round trip.
CHUNK_TIMEOUT_S = 3.0
HEDGE_MS = 200
SYNC_TIMEOUT_S = 15.0


class Refusal(StrEnum):
    """Why the peer protocol refuses a message or a link; rules of the chain have `Reason`.

    Values are part of the interface, like those of `Reason`.
    """

    NO_HELLO = "no-hello"
    WRONG_NETWORK = "wrong-network"
    WRONG_VERSION = "wrong-version"
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
    # A peer sends an object once a link, so it will not come again from the one it came from.
    DEFER = "not decidable yet: forget it was here, so that another peer may bring it"


class ChainHandler(Protocol):
    """What the peer protocol asks of the consensus node. Nothing here may block."""

    def head(self) -> tuple[int, bytes]:
        """Round and id of the head."""
        ...

    def on_gossip(self, envelope: Envelope) -> Gossip:
        """Judge an object.

        Raises:
            Rejected: it breaks a rule, which is counted against its sender.
        """
        ...

    def locator(self) -> Sequence[bytes]:
        """Ids of known blocks, newest first, thinning out towards genesis."""
        ...

    def blocks_after(
        self, locator: Sequence[bytes], limit: int
    ) -> tuple[Sequence[WireBlock], Sequence[Envelope]]:
        """Blocks in chain order after the newest of `locator`, and votes above the final block."""
        ...

    async def on_blocks(self, blocks: Sequence[WireBlock], votes: Sequence[Envelope]) -> bool:
        """Take in blocks and votes of a peer; True if something was new, to be asked for more.

        Raises:
            Rejected: one of them breaks a rule, which is counted against the peer.
        """
        ...

    def blob(self, blob_hash: bytes) -> bytes | None:
        """A blob this node serves, or None."""
        ...
