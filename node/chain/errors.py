"""Why an object is refused: one stable value per rule.

Values are part of the interface (metrics, query service, tests); never reuse one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum


class Reason(StrEnum):
    """The rule that an object breaks."""

    # Any signed object.
    UNKNOWN_KIND = "unknown-kind"
    WRONG_KIND = "wrong-kind"
    NOT_CANONICAL = "not-canonical"
    BAD_KEY = "bad-key"
    BAD_SIGNATURE = "bad-signature"
    # Messages of a round.
    WRONG_ROUND = "wrong-round"
    NOT_ATTESTER = "not-attester"
    NO_UNIT = "no-unit"
    LIST_ORDER = "list-order"
    LIST_TOO_LONG = "list-too-long"
    NOT_SEALER = "not-sealer"
    SEAL = "seal"
    # Place of a block in the chain.
    UNKNOWN_PARENT = "unknown-parent"
    ROUND_NOT_RISING = "round-not-rising"
    UNKNOWN_RULES = "unknown-rules"
    BODY_TOO_LARGE = "body-too-large"
    BODY_HASH = "body-hash"
    TOO_MUCH_WORK = "too-much-work"
    # Claims.
    COMMITMENT_NOT_LISTED = "commitment-not-listed"
    NOT_CERTIFIED = "not-certified"
    SECRETS = "secrets"
    GENOTYPE_MALFORMED = "genotype-malformed"
    OUTSIDE_SPACE = "outside-space"
    INFEASIBLE = "infeasible"
    MAC_BOUND = "mac-bound"
    BELOW_FLOOR = "below-floor"
    CORRECT_ABOVE_SIZE = "correct-above-size"
    MODEL_LENGTH = "model-length"
    MODEL_HASH = "model-hash"
    COUNT_DIFFERS = "count-differs"
    # Fallback blocks.
    FALLBACK_ORDER = "fallback-order"
    FALLBACK_BODY = "fallback-body"
    MISSING = "missing"
    MISSING_UNPROVED = "missing-unproved"
    # Bodies.
    PAYOUT_EMPTY = "payout-empty"
    PAYOUT_ORDER = "payout-order"
    PAYOUT_WEIGHT = "payout-weight"
    PAYOUT_ROOT = "payout-root"
    COMMIT_IDS_ORDER = "commit-ids-order"
    COMMIT_IDS_UNUSED = "commit-ids-unused"
    PROOF_ORDER = "proof-order"
    PROOF_BITMAP = "proof-bitmap"
    VOTE_ORDER = "vote-order"
    VOTE_TARGET = "vote-target"
    VOTE_SOURCE = "vote-source"
    VOTE_REPEATED = "vote-repeated"
    STATE_ROOT = "state-root"
    # Bonds.
    BOND_KIND = "bond-kind"
    BOND_OWNER = "bond-owner"
    BOND_AMOUNT = "bond-amount"
    # Evidence.
    NO_OFFENCE = "no-offence"
    EVIDENCE_ROUND = "evidence-round"
    OFFENCE_PUNISHED = "offence-punished"
    NO_BOND = "no-bond"
    TOO_MANY_COUNTS = "too-many-counts"
    # Published tasks.
    TASK_IMAGES = "task-images"
    TASK_CLASSES = "task-classes"
    TASK_SIZES = "task-sizes"
    TASK_SHARDS = "task-shards"
    TASK_SPACE = "task-space"
    TASK_EPOCHS = "task-epochs"
    TASK_TARGET = "task-target"
    TASK_KEY_HOLDERS = "task-key-holders"
    TASK_REWARD = "task-reward"
    TASK_DATA = "task-data"
    TASK_ENGINE = "task-engine"
    TASK_WITNESS = "task-witness"
    TASK_PUBLISHER = "task-publisher"
    TASK_QUEUE = "task-queue"
    TASK_UNKNOWN = "task-unknown"
    TASK_SUSPENDED = "task-suspended"
    INCUMBENT = "incumbent"
    UNITS = "units"
    NOT_KEY_HOLDER = "not-key-holder"
    KEY = "key"
    # Transactions.
    FEE = "fee"
    NONCE = "nonce"
    BALANCE = "balance"
    TRANSFER_AMOUNT = "transfer-amount"
    FAUCET = "faucet"
    FAUCET_DRAWN = "faucet-drawn"
    # Transactions that may not wait for a block here.
    KNOWN = "known"
    ORPHAN_NONCE = "orphan-nonce"
    UNDERPRICED = "underpriced"
    SENDER_FULL = "sender-full"
    MEMPOOL_FULL = "mempool-full"
    # Gossip that came too late to matter.
    STALE = "stale"


class Rejected(Exception):
    """An object breaks a rule; `reason` is the rule, `detail` a sentence for people."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class InvalidBlock(Rejected):
    """A block that no honest node may build on, whoever sends it."""


@contextmanager
def as_invalid_block() -> Iterator[None]:
    """Whatever rule is broken inside, the block is invalid."""
    try:
        yield
    except InvalidBlock:
        raise
    except Rejected as error:
        raise InvalidBlock(error.reason, error.detail) from error


class NotCanonical(Rejected):
    """Bytes that are not the one encoding of a message."""

    def __init__(self, detail: str) -> None:
        super().__init__(Reason.NOT_CANONICAL, detail)


class NetworkError(ValueError):
    """Parameters or a genesis that contradict themselves; the message names the field."""


class SafetyAlarm(Exception):
    """Two conflicting blocks are final: more than a third of the weight is hostile.

    A node stops for its operator; there is no rule to go on by (consensus A4).
    """
