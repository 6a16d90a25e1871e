"""What a manager knows: plain frozen records. `pool.records.transition` makes the next one of each.

Keys and addresses are the 32 bytes of a public key; times are milliseconds of the injected clock.
Maps are persistent: a changed copy shares what did not change, so that every event is cheap.
"""

from __future__ import annotations

import msgspec
from immutables import Map

from nas.designs.genotype import Genotype
from nas.designs.space import Space
from nas.task import Task
from node.chain.messages import PayoutLine
from pool.records.books import Books
from pool.records.ranking import Ranking
from pool.records.refusals import Refusal
from pool.records.strengths import Strength
from pool.records.tables import Table, persistent
from pool.rules.audits import AuditKind
from pool.rules.bans import Conduct
from pool.rules.curve import Curve
from pool.rules.delivery import MAX_BUDGET, MIN_BUDGET, Delivery
from pool.rules.rhythm import Rhythm

KEPT_ASSIGNMENTS = 4
"""Newest assignments of a miner whose results still count; older ones were replaced long ago."""

KEPT_PROMISES = 4
"""Newest commitments whose notices miners are sent when they come back."""


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A frozen record; `but` makes a copy with some fields changed.

    Records hold no cycles, so that the collector need not look at them.
    """

    but = msgspec.Struct.__replace__


class RoundTask(Record, frozen=True):
    """The pool's job in a round.

    `space` is the round's space, inside `task.space`. Results count until `train_end_ms`; work
    begins at `start_ms`, which lies ahead for a round that is prepared early.
    """

    round: int
    task: Task
    space: Space
    train_end_ms: int
    start_ms: int = 0

    @property
    def phase_ms(self) -> int:
        """Length of the train phase."""
        return self.train_end_ms - self.start_ms


class Best(Record, frozen=True):
    """A design whose count the manager has confirmed by exact evaluation of its model."""

    genotype: Genotype
    training_seed: int
    correct: int
    size: int
    finder: bytes
    model_hash: bytes
    weights_hash: bytes
    from_weak_miner: bool


class Search(Record, frozen=True):
    """One subspace and all that is known of its search: the seed and the rewards in order.

    The lease is its `owner`'s. `holder` works on it now: the owner, a backup in the owner's
    absence, or nobody (empty). `curve` is that of the rewards. The last `fruitless` of them, all of
    results by `tried_by`, came without any training.
    """

    subspace: Space
    seed: int
    owner: bytes = b""
    holder: bytes = b""
    rewards: tuple[float, ...] = ()
    curve: Curve = Curve()
    fruitless: int = 0
    tried_by: bytes = b""


class Exploration(Record, frozen=True, tag=True):
    """Go on with search number `search` of the round."""

    search: int


class Exploitation(Record, frozen=True, tag=True):
    """Improve `base`, whose weights the manager has; from scratch unless it `gives_weights`."""

    base: Best
    gives_weights: bool = True

    @property
    def weights_hash(self) -> bytes:
        """The weights to train on from; empty to train from scratch."""
        return self.base.weights_hash if self.gives_weights else b""


Work = Exploration | Exploitation


class Assignment(Record, frozen=True):
    """A piece of the round's work in one miner's hands.

    `seed` is the search's, or for an exploitation its own. `budget` are the episodes that the
    manager counts on in an exploration, and `is_accepted` says that the miner has accepted its
    lease. `episodes` counts the results of an exploitation; those of an exploration are counted by
    its search.
    """

    id: int
    miner: bytes
    work: Work
    seed: int
    budget: int = 0
    episodes: int = 0
    is_accepted: bool = False


class KeptLease(Record, frozen=True):
    """A lease that its miner has accepted, as evidence: both signed envelopes, encoded.

    Until `last_round` is over the miner has promised to commit nothing under its own key.
    """

    last_round: int
    lease: bytes
    acceptance: bytes


class MinerState(Record, frozen=True):
    """One miner, connected or not; `number` counts miners in the order of their first joining.

    `given` are its newest assignments of the round, the newest last, and the last one is in its
    hands while `is_working`; else `resting` says why not. Those up to number `dropped` were
    replaced long ago. `is_awaited` says that it explored when the manager was started anew and is
    not back yet. `leases` holds its newest of this round
    and of the one before. `own` is the search whose lease it has,
    `covers` the one that it works on instead as a backup. `episodes`, `work`, `best_correct` and
    `rhythm` are of the current round. `delivery` is its measured speed, last changed at
    `measured_at_ms`; `budget` was its last, and `budget_results` have come since that changed.
    """

    key: bytes
    number: int
    payout_address: bytes
    declared: Strength
    strength: Strength
    strength_reason: str = ""
    connected: bool = True
    is_awaited: bool = False
    given: tuple[Assignment, ...] = ()
    dropped: int = 0
    leases: tuple[KeptLease, ...] = ()
    is_working: bool = False
    resting: str = ""
    own: int | None = None
    covers: int | None = None
    episodes: int = 0
    work: int = 0
    best_correct: int = 0
    accepted: int = 0
    stale: int = 0
    refused: Map[Refusal, int] = Map()
    delivery: Delivery = Delivery()
    measured_at_ms: int = 0
    budget: int = MIN_BUDGET
    budget_results: int = 0
    busy_ms: int = 0
    busy_since_ms: int = 0
    conduct: Conduct = Conduct()
    rhythm: Rhythm = Rhythm()

    @property
    def current(self) -> Assignment | None:
        """What the miner has in hand."""
        return self.given[-1] if self.is_working else None

    def worked_ms(self, now_ms: int) -> int:
        """How long the miner has had work in hand in this round."""
        return self.busy_ms + (max(0, now_ms - self.busy_since_ms) if self.is_working else 0)

    def assignment(self, id_: int) -> Assignment:
        """One of the miner's newest assignments. Raises LookupError for any other."""
        for assignment in reversed(self.given):
            if assignment.id == id_:
                return assignment
        raise LookupError(f"assignment {id_} is not this miner's")


class RoundState(Record, frozen=True):
    """One round of the pool.

    Every draw follows from `seed`; the space is split for `explorers` miners. `free` are the
    searches that nobody works on and nobody's lease waits for, by their best rewards. `base` is
    the newest best whose weights have arrived. `backups` are by the key of the miner that each
    would stand in for.
    """

    task: RoundTask
    seed: bytes
    explorers: int
    first_assignment: int
    is_open: bool = True
    searches: Table[int, Search] = persistent()
    free: Ranking = Ranking()
    best: Best | None = None
    base: Best | None = None
    backups: Map[bytes, bytes] = Map()


class Audit(Record, frozen=True):
    """A share that was drawn to be audited.

    `share` is unlike any other share's, and names its model. If its training is repeated, then
    `epoch` of it; `states` are the hashes that its miner has named for before and after that
    epoch, `weights_hash` the weights that it trained on from. Else these are empty.
    """

    share: bytes
    miner: bytes
    kind: AuditKind
    genotype: bytes
    training_seed: int
    correct: int
    epochs: int
    model_hash: bytes
    macs: int
    epoch: int = 0
    states: tuple[bytes, ...] = ()
    weights_hash: bytes = b""


class Pending(Record, frozen=True):
    """The audit of a miner that waits to be done, with all that it takes, after a restart too.

    `task` is that of the share's round.
    """

    audit: Audit
    task: Task


class Promise(Record, frozen=True):
    """What the pool has committed to in a round: the claim, which lacks count and hashes as yet,
    as canonical bytes, its payout lines, and the hash of the share log's last page."""

    round: int
    claim: bytes
    commitment: bytes
    model_hash: bytes
    lines: tuple[PayoutLine, ...]
    share_log: bytes


class PoolState(Record, frozen=True):
    """Everything a manager decides by. Miners stay listed when they leave.

    `strong` and `weak` count the connected miners treated so, `awaited` those that explored when
    the manager was started anew and are not back; `turned_away` counts failed registrations by
    reason. `audits` wait to be done, one of a miner at most, by its key. `promises` are the newest
    commitments, at most KEPT_PROMISES, the newest last. `paid_round` is the newest round whose
    block of this pool is known to be final; `last_best` is the best of the round before this one.
    """

    miners: Table[bytes, MinerState] = persistent()
    round: RoundState | None = None
    strong: int = 0
    weak: int = 0
    awaited: int = 0
    next_miner: int = 1
    next_assignment: int = 1
    results_accepted: int = 0
    shared_bests: int = 0
    weak_improvements: int = 0
    turned_away: Map[str, int] = Map()
    books: Books = Books()
    audits: Table[bytes, Pending] = persistent()
    promises: tuple[Promise, ...] = ()
    paid_round: int = 0
    last_best: Best | None = None

    @property
    def promise(self) -> Promise | None:
        """The newest commitment."""
        return self.promises[-1] if self.promises else None

    @property
    def is_weak_alone(self) -> bool:
        """Whether weak miners must explore because no strong one is connected, or about to be."""
        return self.strong == 0 and self.awaited == 0

    def connected(self, strength: Strength) -> list[bytes]:
        """Keys of the connected miners treated as `strength`, in the order of joining."""
        found = [m for m in self.miners.values() if m.connected and m.strength is strength]
        return [miner.key for miner in sorted(found, key=lambda miner: miner.number)]


def continued(search: Search, by: bytes) -> Search:
    """The search as a miner goes on with it: without what another one left without training at
    its end, for that costs nothing to do, and nothing to invent."""
    if not search.fruitless or search.tried_by == by:
        return search
    return taken_back(search)


def taken_back(search: Search) -> Search:
    """The search up to its last training."""
    rewards = search.rewards[: len(search.rewards) - search.fruitless]
    return search.but(rewards=rewards, curve=Curve.of(rewards), fruitless=0)


def is_full(search: Search) -> bool:
    """Whether the search has all the results that it may have."""
    return len(search.rewards) >= MAX_BUDGET
