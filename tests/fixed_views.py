"""Views of a node that never changes, for tests of whatever shows or serves them."""

from node.chain.codec import encode
from node.chain.messages import Envelope, Kind
from node.inspection.proofs import ShelfProofs
from node.store.base import Store
from node.store.memory import MemoryStore
from node.views.blocks import BlockBytesView, BlockView, LayerView, PayoutView, WinnerView
from node.views.ledger import (
    AccountProofView,
    AccountView,
    BondsView,
    BondView,
    EntryView,
    HistoryView,
    SubmittedView,
    UnbondingView,
)
from node.views.listings import ListedCommitView, ListerView, ListsView
from node.views.status import (
    BanView,
    BestView,
    ClaimView,
    CommitView,
    InvalidQuery,
    LayerRangesView,
    ListView,
    MinersView,
    MinerView,
    NotOffered,
    PeersView,
    PeerView,
    PoolEventsView,
    PoolEventView,
    PoolView,
    RoundView,
    SealView,
    StatusView,
    TaskView,
    UnknownItem,
    ViewPhase,
    VoteView,
)
from node.views.tasks import (
    ModelPartView,
    QueuedTaskView,
    RoundTasksView,
    RoundTaskView,
    TaskQueueView,
    TaskResultsView,
    TaskResultView,
    TaskTermsView,
)
from pool.proofs.openpage import OpenPage, close_page
from pool.proofs.shelf import PageShelf, ReceiptShelf
from tools.vectors import compute_network, compute_objects


def hash_of(number: int) -> bytes:
    return bytes([number]) * 32


PEER = PeerView("127.0.0.1:7700", hash_of(6), True, 6, 12, {"malformed": 1, "replayed": 1}, None)
PEERS = PeersView((PEER,), (BanView("203.0.113.9", "bad-proof", 1_800_000_000_000),), 17)
STATUS = StatusView(
    version="0.1.0",
    network="devnet",
    network_id=hash_of(1),
    role="full",
    public_key=hash_of(2),
    payout_address="pn-payout",
    round=7,
    phase=ViewPhase.CLAIM,
    phase_remaining_ms=1_500,
    height=5,
    head_round=6,
    head=hash_of(3),
    justified_round=5,
    justified=hash_of(4),
    final_round=4,
    final_height=3,
    final=hash_of(5),
    peers=(PEER,),
    refused={"bad-signature": 2, "replayed": 1},
    activity="idle: no best yet",
    clock_offset_ms=-12,
    not_signing="",
    checkpoint="",
    missing_blocks=0,
)
WINNER = WinnerView(
    unit=1,
    layers=(LayerView(3, 3, 8, 1, 1, 2, 2, 3, 1, 4),),
    model_hash=hash_of(7),
    verified_correct=300,
    test_size=360,
    luts=41_000,
    images_per_s=900,
    genotype=bytes(range(10)),
    secrets=(hash_of(15),),
)
BLOCK = BlockView(
    id=hash_of(3),
    height=5,
    round=6,
    parent=hash_of(8),
    proposer="pn-producer",
    fallback=False,
    final=False,
    winner=WINNER,
    payouts=(PayoutView("pn-miner", 3, 90),),
    attester_rewards=(PayoutView("pn-attester", 1, 10),),
    listed_commitments=2,
    lists=3,
    votes=3,
    transactions=0,
    state_root=hash_of(9),
    missing=(),
)
MODEL = b"a model"
TASKS = TaskQueueView(
    (
        QueuedTaskView(
            hash_of(20), "pn-owner", 10**10, 3, 1, 900, 3, 4, 7, False, 2 * 10**10, (9,), 2, 1
        ),
    )
)
RESULTS = TaskResultsView(
    (
        TaskResultView(
            block=hash_of(21),
            round=9,
            shard=0,
            producer="pn-producer",
            correct=180,
            test_images=200,
            incumbent_correct=0,
            genotype=b"\1" * 30,
            model_hash=hash_of(22),
            luts=4_000,
            images_per_s=900,
            final=True,
        ),
    )
)
_GOLDEN = compute_network()
_OBJECTS, _BODY = compute_objects(_GOLDEN)
BLOCK_BYTES = BlockBytesView(encode(_OBJECTS[2].envelope), _BODY)
"""The golden block, a claim."""
FALLBACK = BlockView(
    id=hash_of(8),
    height=4,
    round=5,
    parent=hash_of(10),
    proposer="pn-attester",
    fallback=True,
    final=True,
    winner=None,
    payouts=(),
    attester_rewards=(),
    listed_commitments=0,
    lists=0,
    votes=0,
    transactions=0,
    state_root=hash_of(11),
    missing=(hash_of(13),),
)
ROUND = RoundView(
    round=7,
    phase=ViewPhase.CLAIM,
    commits=(CommitView(hash_of(12), "pn-producer", 0, True),),
    lists=(ListView(hash_of(13), (hash_of(12),)),),
    claims=(ClaimView(hash_of(14), "pn-producer", 300, "pending"),),
    votes=(VoteView(hash_of(13), hash_of(4), hash_of(3)),),
    seals=(SealView(hash_of(13), True),),
)
RANGES = LayerRangesView((1, 3), (1, 3), (4, 8), (1,), (1,), (1, 2), (1, 2), (3,), (1,), (2, 5))
TASK = TaskView(
    round=7,
    dataset="digits",
    protocol="qat",
    epochs=10,
    profile="paper",
    max_luts=100_000,
    min_images_per_s=10,
    max_mac_images=87_000_000_000,
    test_size=360,
    classes=10,
    min_correct=108,
    insecure_standing_task=True,
    layers=(RANGES, RANGES, RANGES),
)
ACCOUNT = AccountView(
    "pn-miner",
    90,
    0,
    AccountProofView(hash_of(3), 6, False, (hash_of(7), hash_of(8)), (hash_of(9),), b"", b""),
    2,
    0,
)
BONDS = BondsView(
    3, (BondView("attest", "pn-miner", "pn-payout", 7, (UnbondingView(2, 14),), 7, 9),)
)
HISTORY = HistoryView(
    (EntryView(5, 6, True, hash_of(3), "transfer", 7, 2, "pn-payout", hash_of(4)),), 5
)
POOL = PoolView(
    manager=hash_of(15),
    round=7,
    strong_miners=2,
    weak_miners=1,
    best=BestView(hash_of(16), bytes(range(30)), 310, 360, True),
    committed=True,
    results_accepted=12,
    results_refused={"count-differs": 1},
    shared_bests=3,
    weak_improvements=1,
    fee_permille=15,
)
MINERS = MinersView(
    (
        MinerView(
            public_key=hash_of(16),
            payout_address="pn-miner",
            strength="weak",
            connected=True,
            activity="trains on from the best",
            episodes=4,
            best_correct=310,
            size=360,
            work=12_345,
            accepted=4,
            stale=0,
            refused={},
        ),
    )
)


EVENTS = PoolEventsView(
    [PoolEventView(7, 1_000, "rested", hash_of(16), '{"reason":"no round is open"}')], 8
)
PAGE_HASH, _PAGE, _ = close_page(OpenPage(), hash_of(15), 7)


def _store_with_page() -> Store:
    store = MemoryStore()
    store.write(PageShelf(store).keep(7, PAGE_HASH, _PAGE))
    return store


LISTS = ListsView(
    round=7,
    block=hash_of(2),
    weight=3,
    left_out=1,
    commits=[ListedCommitView(hash_of(5), "", None, 2, False, True, [hash_of(6)])],
    attesters=[ListerView(hash_of(6), 1, True, 0, 1)],
)


class FixedLedger:
    """One account, and a way in for transactions that takes only those of kind 6."""

    def account(self, address: str, block: bytes | None) -> AccountView:
        if address != ACCOUNT.address:
            raise InvalidQuery("address has a wrong checksum")
        if block not in (None, ACCOUNT.proof.block):
            raise UnknownItem("this node keeps no state of that block")
        return ACCOUNT

    def bonds(self, address: str) -> BondsView:
        self.account(address, None)
        return BONDS

    async def history(self, address: str, below: int) -> HistoryView:
        self.account(address, None)
        return HISTORY

    async def submit(self, envelope: Envelope) -> SubmittedView:
        if envelope.kind != Kind.TRANSFER:
            return SubmittedView(b"", "wrong-kind", "expected a transaction")
        return SubmittedView(hash_of(4), "", "")


class FixedListings:
    """The lists of one round."""

    def lists(self, number: int | None) -> ListsView:
        return LISTS


class FixedTasks:
    """One task in the queue, with one result and its model."""

    def queue(self) -> TaskQueueView:
        return TASKS

    def terms(self, task_id: bytes) -> TaskTermsView:
        return TaskTermsView("pn-owner", b"terms")

    def results(self, task_id: bytes) -> TaskResultsView:
        if task_id != TASKS.tasks[0].id:
            raise UnknownItem("this node knows no such task")
        return RESULTS

    def of_rounds(self, since: int, below: int) -> RoundTasksView:
        return RoundTasksView((RoundTaskView(since, "digits", 20, 1 << 40),), below)

    def model(self, model_hash: bytes, offset: int) -> ModelPartView:
        return ModelPartView(MODEL[offset:], len(MODEL))


class FixedViews:
    """`Views` of a full node with one block and one fallback block; runs no pool unless told."""

    def __init__(self, *, has_pool: bool = True, store: Store | None = None) -> None:
        self._has_pool = has_pool
        shelved = _store_with_page() if store is None else store
        self.ledger = FixedLedger()
        self.listings = FixedListings()
        self.published = FixedTasks()
        self.proofs = ShelfProofs(ReceiptShelf(shelved), PageShelf(shelved))

    def status(self) -> StatusView:
        return STATUS

    def block(self, which: bytes | int | None) -> BlockView:
        for block in (BLOCK, FALLBACK):
            if which is None or which in (block.id, block.height):
                return block
        raise UnknownItem("this node has no such block")

    def round(self, number: int | None) -> RoundView:
        if number not in (None, ROUND.round):
            raise UnknownItem(f"this node has nothing of round {number}")
        return ROUND

    def task(self, number: int | None) -> TaskView:
        return TASK

    def pool(self) -> PoolView:
        if not self._has_pool:
            raise NotOffered("this node runs no pool")
        return POOL

    def peers(self) -> PeersView:
        return PEERS

    def miners(self) -> MinersView:
        if not self._has_pool:
            raise NotOffered("this node runs no pool")
        return MINERS

    def pool_events(self, since: int) -> PoolEventsView:
        if not self._has_pool:
            raise NotOffered("this node runs no pool")
        return EVENTS

    def block_bytes(self, which: bytes | int | None) -> BlockBytesView:
        self.block(which)
        return BLOCK_BYTES
