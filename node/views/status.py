"""What a node shows of itself: plain values, one class per message of query_service.proto.

Fields have the names and meanings of that file, with two freedoms: hashes, keys and ids are bytes
here, and counters by reason are mappings. Addresses are checksummed text already.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from node.views.blocks import BlockBytesView, BlockView
from node.views.ledger import Ledger
from node.views.listings import Listings
from node.views.proofs import Proofs
from node.views.tasks import PublishedTasks


class QueryError(Exception):
    """A query that can't be answered; the message is one sentence for the asker."""


class UnknownItem(QueryError):
    """This node has no such block, round or account."""


class InvalidQuery(QueryError):
    """The request itself makes no sense, for example a damaged address."""


class NotOffered(QueryError):
    """This node doesn't play the role that was asked about."""


class ViewPhase(IntEnum):
    """Where a round stands; values as in the wire's enum `Phase`."""

    BEFORE_GENESIS = 1
    TRAIN = 2
    LIST = 3
    CLAIM = 4
    VALIDATE = 5
    CONFIRM = 6


@dataclass(frozen=True)
class PeerView:
    address: str
    public_key: bytes
    outbound: bool
    head_round: int
    score: int
    offences: Mapping[str, int]
    clock_offset_ms: int | None


@dataclass(frozen=True)
class BanView:
    subject: str
    reason: str
    until_ms: int


@dataclass(frozen=True)
class PeersView:
    peers: Sequence[PeerView]
    bans: Sequence[BanView]
    known_addresses: int


@dataclass(frozen=True)
class StatusView:
    version: str
    network: str
    network_id: bytes
    role: str
    public_key: bytes
    payout_address: str
    round: int
    phase: ViewPhase
    phase_remaining_ms: int
    height: int
    head_round: int
    head: bytes
    justified_round: int
    justified: bytes
    final_round: int
    final_height: int
    final: bytes
    peers: Sequence[PeerView]
    refused: Mapping[str, int]
    activity: str
    clock_offset_ms: int | None
    not_signing: str
    checkpoint: str
    missing_blocks: int


@dataclass(frozen=True)
class CommitView:
    id: bytes
    producer: str
    unit: int
    certified: bool


@dataclass(frozen=True)
class ListView:
    attester: bytes
    ids: Sequence[bytes]


@dataclass(frozen=True)
class ClaimView:
    id: bytes
    producer: str
    correct: int
    verdict: str


@dataclass(frozen=True)
class VoteView:
    attester: bytes
    source: bytes
    target: bytes


@dataclass(frozen=True)
class SealView:
    attester: bytes
    revealed: bool


@dataclass(frozen=True)
class RoundView:
    round: int
    phase: ViewPhase
    commits: Sequence[CommitView]
    lists: Sequence[ListView]
    claims: Sequence[ClaimView]
    votes: Sequence[VoteView]
    seals: Sequence[SealView]


@dataclass(frozen=True)
class LayerRangesView:
    kernel_height: Sequence[int]
    kernel_width: Sequence[int]
    num_kernels: Sequence[int]
    stride_height: Sequence[int]
    stride_width: Sequence[int]
    pool_size: Sequence[int]
    act_int_bits: Sequence[int]
    act_frac_bits: Sequence[int]
    weight_int_bits: Sequence[int]
    weight_frac_bits: Sequence[int]


@dataclass(frozen=True)
class TaskView:
    round: int
    dataset: str
    protocol: str
    epochs: int
    profile: str
    max_luts: int
    min_images_per_s: int
    max_mac_images: int
    test_size: int
    classes: int
    min_correct: int
    insecure_standing_task: bool
    layers: Sequence[LayerRangesView]


@dataclass(frozen=True)
class BestView:
    finder: bytes
    genotype: bytes
    correct: int
    size: int
    from_weak_miner: bool


@dataclass(frozen=True)
class PoolView:
    manager: bytes
    round: int
    strong_miners: int
    weak_miners: int
    best: BestView | None
    committed: bool
    results_accepted: int
    results_refused: Mapping[str, int]
    shared_bests: int
    weak_improvements: int
    fee_permille: int


@dataclass(frozen=True)
class MinerView:
    public_key: bytes
    payout_address: str
    strength: str
    connected: bool
    activity: str
    episodes: int
    best_correct: int
    size: int
    work: int
    accepted: int
    stale: int
    refused: Mapping[str, int]


@dataclass(frozen=True)
class MinersView:
    miners: Sequence[MinerView]


@dataclass(frozen=True)
class PoolEventView:
    number: int
    at_ms: int
    kind: str
    miner: bytes
    detail: str


@dataclass(frozen=True)
class PoolEventsView:
    events: Sequence[PoolEventView]
    next: int


class Views(Protocol):
    """What the query service asks of the node; each method may raise a `QueryError`."""

    def status(self) -> StatusView: ...

    def block(self, which: bytes | int | None) -> BlockView:
        """The block of an id, at a height, or the head."""
        ...

    def round(self, number: int | None) -> RoundView:
        """A round, or the current one."""
        ...

    def task(self, number: int | None) -> TaskView:
        """The task of a round, or of the current one."""
        ...

    def pool(self) -> PoolView: ...

    def miners(self) -> MinersView: ...

    def pool_events(self, since: int) -> PoolEventsView:
        """What the pool has decided from event number `since` on."""
        ...

    def block_bytes(self, which: bytes | int | None) -> BlockBytesView:
        """The bytes of what `block` shows."""
        ...

    @property
    def listings(self) -> Listings:
        """Who listed which commitments."""
        ...

    @property
    def ledger(self) -> Ledger:
        """Accounts, their history, and the way in for transactions."""
        ...

    @property
    def published(self) -> PublishedTasks:
        """Tasks that somebody pays for, and what was found for them."""
        ...

    @property
    def proofs(self) -> Proofs:
        """What pools have signed for this node, and its own pool's share log."""
        ...

    def peers(self) -> PeersView: ...
