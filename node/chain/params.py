"""The numbers of a network: every consensus constant with its unit, in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

from node.chain.errors import NetworkError
from node.chain.hashing import MAX_INT
from node.chain.messages import MAX_ATTESTERS, MAX_COMMITS, MAX_SECRETS
from node.chain.published.limits import TaskLimits
from node.chain.published.terms import MAX_EPOCHS, MAX_LAYERS

FLOOR_TIMES_CHANCE = 3
"""A claim must reach this multiple of chance, else constant designs win (consensus E5)."""

RULES_VERSION = 1
"""The newest version of the rules that this release knows."""

MAX_WEIGHT = MAX_INT // MAX_ATTESTERS
"""Keeps the weight of all seats together below 2**63."""

MAX_ROUND_MS = 2**40
MAX_ERA_ROUNDS = 2**32
"""Keep times in ms, and rounds some eras ahead, far below 2**63."""

MAX_FEE_PER_BYTE = 2**32
"""Keeps the least fee of every transaction far below 2**63."""


@dataclass(frozen=True)
class StandingTask:
    """What is mined while no published task waits.

    `ranges` are the allowed values of the ten hyperparameters of Tables 1 and 2 of the
    paper, in their order, the same for each of `layers` layers. `insecure` says that
    the test set is public, so that stored models and training on it can win.
    """

    dataset: str
    layers: int
    ranges: tuple[tuple[int, ...], ...]
    protocol: str
    epochs: int
    profile: str
    max_mac_images: int
    test_size: int
    classes: int
    insecure: bool

    def __post_init__(self) -> None:
        _require(len(self.ranges) == 10, "task.ranges", "one range for each of ten hyperparameters")
        _require(
            all(values and list(values) == sorted(set(values)) for values in self.ranges),
            "task.ranges",
            "ascending values, at least one in each range",
        )
        _require(1 <= self.layers <= MAX_LAYERS, "task.layers", f"1 to {MAX_LAYERS} layers")
        _require(1 <= self.epochs <= MAX_EPOCHS, "task.epochs", f"1 to {MAX_EPOCHS} epochs")
        _require(2 <= self.classes <= 256, "task.classes", "2 to 256 classes")
        _require(1 <= self.test_size <= 2**16, "task.test_size", "1 to 65536 images")
        _require(self.max_mac_images >= 1, "task.max_mac_images", "at least one")

    @property
    def min_correct(self) -> int:
        """Least count of correct test images that a claim may state."""
        return -(-FLOOR_TIMES_CHANCE * self.test_size // self.classes)


@dataclass(frozen=True)
class Timing:
    """Length of a round and when in it each phase ends, in milliseconds.

    Lists are signed at `lists_ms`, secrets are due at `secrets_ms`, claims at
    `claims_ms`, votes are signed at `vote_ms` (b, s, c, v of consensus H).
    """

    round_ms: int
    lists_ms: int
    secrets_ms: int
    claims_ms: int
    vote_ms: int

    def __post_init__(self) -> None:
        moments = (0, self.lists_ms, self.secrets_ms, self.claims_ms, self.vote_ms, self.round_ms)
        rising = all(before < after for before, after in pairwise(moments))
        _require(rising, "timing", "0 < lists_ms < secrets_ms < claims_ms < vote_ms < round_ms")
        _require(self.round_ms <= MAX_ROUND_MS, "timing.round_ms", f"at most {MAX_ROUND_MS}")


class Upgrade(NamedTuple):
    """From a round on, blocks follow this version of the rules."""

    round: int
    version: int


@dataclass(frozen=True)
class Parameters:
    """Everything the rules of a network depend on beside its genesis.

    `subsidy` is in base units a round, and halves every `halving_rounds`. `account_deposit` is
    the least balance of an account; below it the account vanishes. `fee_per_byte` is what
    a transaction costs at least for each byte of its envelope. `faucet` are the base units that
    whoever asks gets once an era, where the standing task is insecure anyway. `max_units` (U) are
    the units a producer may hold, `max_commits` (K) the commitments a list may name, `max_walked`
    (V) the models an attester evaluates in a round at most.

    `era_rounds` is the length of an era, for which seats are fixed; a seat weighs the base units
    of its bond, `max_weight` (W_CAP) at most. `unit_bond` (UNIT) is the least bond, and what one
    commitment a round takes of a producer's; `unit_fee` (FEE) what a certified one costs.

    `upgrades` are the later versions of the rules; version 1 begins with genesis. They are no part
    of the network's id, so that a running network can agree on one.

    `seals` (k) is the number of attesters whose seals together open the test images.
    """

    name: str
    public: bool
    timing: Timing
    task: StandingTask
    tasks: TaskLimits
    subsidy: int
    halving_rounds: int
    account_deposit: int
    fee_per_byte: int
    faucet: int
    era_rounds: int
    unit_bond: int
    unit_fee: int
    max_weight: int
    max_units: int
    max_commits: int
    max_walked: int
    seals: int
    upgrades: tuple[Upgrade, ...]

    def __post_init__(self) -> None:
        _require(0 <= self.subsidy <= MAX_INT, "subsidy", "an amount below 2**63")
        _require(self.halving_rounds >= 1, "halving_rounds", "at least one round")
        _require(1 <= self.account_deposit <= MAX_INT, "account_deposit", "at least one base unit")
        _require(
            0 <= self.fee_per_byte <= MAX_FEE_PER_BYTE,
            "fee_per_byte",
            f"at most {MAX_FEE_PER_BYTE}",
        )
        _require(0 <= self.faucet <= MAX_INT, "faucet", "an amount below 2**63")
        _require(2 <= self.era_rounds <= MAX_ERA_ROUNDS, "era_rounds", f"2 to {MAX_ERA_ROUNDS}")
        # V false claims in a round must cost more than two subsidies (consensus D3).
        _require(
            self.subsidy <= 8 * self.unit_bond and 1 <= self.unit_bond <= MAX_WEIGHT,
            "unit_bond",
            f"an eighth of the subsidy at least, from 1 to {MAX_WEIGHT}",
        )
        _require(0 <= self.unit_fee <= self.unit_bond, "unit_fee", "from 0 to the bond of a unit")
        _require(1 <= self.max_weight <= MAX_WEIGHT, "max_weight", f"1 to {MAX_WEIGHT}")
        _require(1 <= self.max_units <= MAX_COMMITS, "max_units", f"1 to {MAX_COMMITS}")
        _require(1 <= self.max_commits <= MAX_COMMITS, "max_commits", f"1 to {MAX_COMMITS}")
        _require(1 <= self.max_walked <= MAX_COMMITS, "max_walked", f"1 to {MAX_COMMITS}")
        steps = (Upgrade(0, 1), *self.upgrades)
        is_rising = all(a.round < b.round and a.version < b.version for a, b in pairwise(steps))
        _require(is_rising, "upgrades", "rounds rise from 1, versions from 2")
        _require(
            1 <= self.seals <= MAX_SECRETS if not self.task.insecure else self.seals == 0,
            "seals",
            f"1 to {MAX_SECRETS}, or 0 for an insecure standing task",
        )
        # On public data a stored model wins without work (consensus E).
        _require(
            not (self.public and self.task.insecure),
            "task.insecure",
            "a public network does not take an insecure standing task",
        )


def version_at(parameters: Parameters, round_number: int) -> int:
    """The version of the rules that the blocks of a round follow."""
    begun = (upgrade.version for upgrade in parameters.upgrades if upgrade.round <= round_number)
    return max(begun, default=1)


def _require(condition: bool, field: str, rule: str) -> None:
    if not condition:
        raise NetworkError(f"{field}: {rule}")


def compute_timing(round_ms: int) -> Timing:
    """Timing of a small local network: two thirds of the round is training."""
    return Timing(
        round_ms=round_ms,
        lists_ms=round_ms * 66 // 100,
        secrets_ms=round_ms * 70 // 100,
        claims_ms=round_ms * 80 // 100,
        vote_ms=round_ms * 92 // 100,
    )


DIGITS = StandingTask(
    dataset="digits",
    layers=3,
    ranges=(
        (1, 3, 5),  # kernel height
        (1, 3, 5),  # kernel width
        (4, 8, 12, 16, 24),  # kernels
        (1, 2),  # stride height
        (1, 2),  # stride width
        (1, 2),  # pool size
        (1, 2, 3),  # activation, integer bits
        (1, 2, 3, 4),  # activation, fraction bits
        (1, 2),  # weight, integer bits
        (2, 3, 4, 5),  # weight, fraction bits
    ),
    protocol="qat",
    epochs=10,
    profile="paper",
    max_mac_images=87_000_000_000,
    test_size=360,
    classes=10,
    insecure=True,
)

PROCEDURAL = replace(DIGITS, dataset="procedural", epochs=5, test_size=1_000, insecure=False)
"""Ten random figures a producer, drawn anew in every round (`nas.data.procedural`)."""


LOCAL_TASKS = TaskLimits(
    max_data_bytes=64 * 2**20,
    max_mac_images=87_000_000_000,
    min_test_images=100,
    publish_fee_per_kib=1_000,
    lifetime_rounds=1_000,
    download_bytes_per_s=10_000_000,
    evaluation_macs_per_s=10_000_000_000,
    training_macs_per_s=10_000_000_000,
    min_difficulty_ms=100,
)

# All of CIFAR-10 fits; fewer test images would let the best of several equal models win by luck.
PUBLIC_TASKS = replace(
    LOCAL_TASKS, max_data_bytes=256 * 2**20, min_test_images=2_000, min_difficulty_ms=1_000
)


def _local(name: str, round_ms: int) -> Parameters:
    return Parameters(
        name=name,
        public=False,
        timing=compute_timing(round_ms),
        task=DIGITS,
        tasks=LOCAL_TASKS,
        subsidy=5_000_000_000,
        halving_rounds=2_100_000,
        account_deposit=1_000_000,
        fee_per_byte=10,
        faucet=1_000_000_000,
        era_rounds=100,
        unit_bond=625_000_000,
        unit_fee=1_000_000,
        max_weight=625_000_000_000,
        max_units=4,
        max_commits=MAX_COMMITS,
        max_walked=16,
        upgrades=(),
        seals=0,
    )


DEVNET = _local("devnet", 40_000)
FAST = _local("fast", 10_000)
SEALED = replace(FAST, name="sealed", task=PROCEDURAL, seals=4)
"""The standing task of public networks in short rounds, for one's own machines."""
TESTNET = replace(
    SEALED,
    name="testnet",
    public=True,
    tasks=PUBLIC_TASKS,
    timing=Timing(
        round_ms=600_000, lists_ms=480_000, secrets_ms=498_000, claims_ms=516_000, vote_ms=582_000
    ),
)
