"""Why a result does not count, in one stable word each."""

from enum import StrEnum


class Refusal(StrEnum):
    """Why a result does not count."""

    UNKNOWN_ASSIGNMENT = "unknown-assignment"
    LEASE_NOT_ACCEPTED = "lease-not-accepted"
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
    STATES = "states"
    PRECISION = "precision"
    MODEL_MISSING = "model-missing"
    MODEL_FORMAT = "model-format"
    MODEL_TOO_WIDE = "model-too-wide"
    COUNT_DIFFERS = "count-differs"
