"""What a manager knows: plain frozen records. `pool.records.transition` makes the next one of each.

Keys and addresses are the 32 bytes of a public key; times are milliseconds of the injected clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from nas.designs.genotype import Genotype
from nas.designs.space import Space
from nas.task import Task


class Strength(StrEnum):
    """Miner types of the paper (section 3.2.2), and `auto` for a miner that lets us measure."""

    WEAK = "weak"
    STRONG = "strong"
    AUTO = "auto"


class Refusal(StrEnum):
    """Why a result does not count."""

    UNKNOWN_ASSIGNMENT = "unknown-assignment"
    DUPLICATE = "duplicate"
    OUT_OF_ORDER = "out-of-order"
    SIZE = "size"
    GENOTYPE = "genotype"
    OUTSIDE_SUBSPACE = "outside-subspace"
    OTHER_VARIANT = "other-variant"
    TRAINING_SEED = "training-seed"
    UNTRAINED_COUNT = "untrained-count"
    EPOCHS = "epochs"
    COUNT_ABOVE_SIZE = "count-above-size"
    HASHES = "hashes"
    MODEL_MISSING = "model-missing"
    MODEL_FORMAT = "model-format"
    MODEL_TOO_WIDE = "model-too-wide"
    COUNT_DIFFERS = "count-differs"


@dataclass(frozen=True)
class RoundTask:
    """The pool's job in a round.

    `space` is the round's space, inside `task.space`. Results count until `train_end_ms`.
    """

    round: int
    task: Task
    space: Space
    train_end_ms: int


@dataclass(frozen=True)
class Best:
    """A design whose count the manager has confirmed by exact evaluation of its model."""

    genotype: Genotype
    training_seed: int
    correct: int
    size: int
    finder: bytes
    model_hash: bytes
    weights_hash: bytes
    from_weak_miner: bool


@dataclass(frozen=True)
class Search:
    """One subspace and all that is known of its search: the seed and the rewards in order."""

    subspace: Space
    seed: int
    holder: bytes
    rewards: tuple[float, ...] = ()


@dataclass(frozen=True)
class Exploration:
    """Go on with search number `search` of the round."""

    search: int


@dataclass(frozen=True)
class Exploitation:
    """Train on from `base`, whose weights the manager has."""

    base: Best


Work = Exploration | Exploitation


@dataclass(frozen=True)
class Assignment:
    """A piece of the round's work in one miner's hands.

    `seed` is the search's, or for an exploitation its own. `episodes` counts the results of an
    exploitation; those of an exploration are counted by its search.
    """

    id: int
    miner: bytes
    work: Work
    seed: int
    episodes: int = 0


@dataclass(frozen=True)
class MinerState:
    """One miner, connected or not.

    `episodes`, `work` and `best_correct` are of the current round. `measured_results` candidates
    took `measured_ms` altogether since it first joined.
    """

    key: bytes
    payout_address: bytes
    declared: Strength
    strength: Strength
    strength_reason: str
    connected: bool = True
    episodes: int = 0
    work: int = 0
    best_correct: int = 0
    accepted: int = 0
    stale: int = 0
    refused: Mapping[Refusal, int] = field(default_factory=dict)
    measured_results: int = 0
    measured_ms: int = 0
    measured_at_ms: int = 0


@dataclass(frozen=True)
class RoundState:
    """One round of the pool.

    Every draw follows from `seed`. `current` maps a miner to the id of its newest assignment.
    `base` is the newest best whose weights have arrived. `work` is by payout address.
    """

    task: RoundTask
    seed: bytes
    first_assignment: int
    is_open: bool = True
    searches: tuple[Search, ...] = ()
    assignments: Mapping[int, Assignment] = field(default_factory=dict)
    current: Mapping[bytes, int] = field(default_factory=dict)
    best: Best | None = None
    base: Best | None = None
    paid: frozenset[bytes] = frozenset()
    work: Mapping[bytes, int] = field(default_factory=dict)


@dataclass(frozen=True)
class PoolState:
    """Everything a manager decides by. Miners stay listed when they leave.

    `turned_away` counts failed registrations by reason.
    """

    miners: Mapping[bytes, MinerState] = field(default_factory=dict)
    round: RoundState | None = None
    next_assignment: int = 1
    results_accepted: int = 0
    shared_bests: int = 0
    weak_improvements: int = 0
    turned_away: Mapping[str, int] = field(default_factory=dict)

    def assignment_of(self, key: bytes) -> Assignment | None:
        """What the miner has in hand in this round."""
        if self.round is None or key not in self.round.current:
            return None
        return self.round.assignments[self.round.current[key]]

    def connected(self, strength: Strength) -> tuple[bytes, ...]:
        """Keys of the connected miners treated as `strength`, in the order of joining."""
        return tuple(
            miner.key
            for miner in self.miners.values()
            if miner.connected and miner.strength is strength
        )
