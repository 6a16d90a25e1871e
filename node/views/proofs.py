"""Views of what pools have signed for this node's miner, and of the share log of its own pool.

One class per message of query_service.proto. Envelopes are shown as they came, so that whoever asks
can check the signature and need not believe this node.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class ReceiptView:
    manager: bytes
    round: int
    miner: bytes
    share: bytes
    model_hash: bytes
    correct: int
    size: int
    work: int
    confirmed: bool
    worth: str
    envelope: bytes


@dataclass(frozen=True)
class ReceiptsView:
    rounds: Sequence[int]
    round: int
    receipts: Sequence[ReceiptView]


@dataclass(frozen=True)
class PayoutNoticeView:
    manager: bytes
    round: int
    commitment: bytes
    payout_root: bytes
    share_log: bytes
    address: str
    weight: int
    index: int
    lines: int
    envelope: bytes


@dataclass(frozen=True)
class PayoutNoticesView:
    notices: Sequence[PayoutNoticeView]


@dataclass(frozen=True)
class ShareView:
    miner: bytes
    address: str
    assignment: int
    episode: int
    genotype: bytes
    training_seed: int
    epochs: int
    correct: int
    size: int
    model_hash: bytes
    work: int


@dataclass(frozen=True)
class ForfeitView:
    miner: bytes
    reason: str
    after: int


@dataclass(frozen=True)
class TermsView:
    finder: str
    manager: str
    fee_permille: int


@dataclass(frozen=True)
class HeldView:
    miner: bytes
    shares: int


@dataclass(frozen=True)
class SharePageView:
    pool: bytes
    round: int
    before: bytes
    shares: Sequence[ShareView]
    forfeits: Sequence[ForfeitView]
    terms: TermsView | None
    held: Sequence[HeldView]


class Proofs(Protocol):
    """What the query service asks of a node's records; each method may raise a `QueryError`."""

    def receipts(self, number: int | None, offset: int) -> ReceiptsView:
        """Receipts of a round, or of the newest kept one, from this place on."""
        ...

    def notices(self) -> PayoutNoticesView:
        """All kept payout notices, old to new."""
        ...

    def share_page(self, hash_: bytes) -> SharePageView:
        """A closed page of the share log, by its hash."""
        ...
